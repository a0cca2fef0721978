"""Which jobs a change touches: none of them is ended, but they have less than before, or wait for longer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from aistation_slurm.cluster.changes import (
    Change,
    DeleteAccounts,
    DeleteQos,
    EditLines,
    ModifyAssociations,
    ModifyQos,
    RemoveUsers,
    RestartNodes,
    WriteFile,
)
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.site.conf import CONF
from aistation_slurm.cluster.wanted.files import read_lines
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.slurm.units import read_duration
from aistation_slurm.slurm.writer.limits import TRES_KEYS, Values

K = TypeVar("K")


class Jobs:
    """The jobs that are not over, by what a change may be about."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.alive = [job for job in jobs if not job.state.is_over]

    @cached_property
    def by_group(self) -> Mapping[str, list[Job]]:
        """Partition -> the jobs that run in it, or may start there."""
        return _gathered((name, job) for job in self.alive for name in job.partition.split(","))

    @cached_property
    def by_qos(self) -> Mapping[str, list[Job]]:
        """QOS -> the jobs under it."""
        return _gathered((job.qos, job) for job in self.alive)

    @cached_property
    def by_member(self) -> Mapping[tuple[str, str], list[Job]]:
        """(account, user) -> the user's jobs there; (account, "") -> all of the account's."""
        pairs = ((job.account, job.user) for job in self.alive)
        found = _gathered(zip(pairs, self.alive, strict=True))
        return found | _gathered(((job.account, ""), job) for job in self.alive)

    @cached_property
    def by_node(self) -> Mapping[str, list[Job]]:
        """Node -> the jobs on it."""
        return _gathered((name, job) for job in self.alive if job.nodes for name in expand(job.nodes))


def _gathered(pairs: Iterable[tuple[K, Job]]) -> dict[K, list[Job]]:
    found: dict[K, list[Job]] = defaultdict(list)
    for key, job in pairs:
        found[key].append(job)
    return dict(found)


def with_jobs(changes: Sequence[Change], jobs: Jobs, observed: Observed) -> list[Change]:
    """Return the changes, each with the jobs that it touches."""
    if not jobs.alive:
        return list(changes)
    return [
        replace(change, jobs=found) if (found := _ids(touched(change, jobs, observed))) else change
        for change in changes
    ]


def touched(change: Change, jobs: Jobs, observed: Observed) -> Iterator[Job]:
    """Yield the jobs that the change touches."""
    match change:
        case ModifyQos() if is_less(change.old, change.new):
            groups = [name for name, partition in observed.partitions.items() if partition.qos == change.name]
            yield from (job for name in groups for job in jobs.by_group.get(name, ()))
            yield from jobs.by_qos.get(change.name, ())
        case ModifyAssociations():
            yield from _of_members(change, jobs)
        case RemoveUsers():
            yield from (job for user in change.users for job in jobs.by_member.get((change.account, user), ()))
        case DeleteAccounts():
            yield from (job for name in change.names for job in jobs.by_member.get((name, ""), ()))
        case DeleteQos():
            yield from (job for name in change.names for job in jobs.by_qos.get(name, ()))
        case RestartNodes():
            yield from (job for name in expand(change.nodes) for job in jobs.by_node.get(name, ()))
        case EditLines():
            yield from _of_edits(change, jobs, observed)
        case WriteFile() if change.path.name == CONF:
            yield from _of_groups(change, jobs)


def _of_members(change: ModifyAssociations, jobs: Jobs) -> Iterator[Job]:
    for user in change.users or ("",):
        for job in jobs.by_member.get((change.account, user), ()):
            if is_less(change.old, change.new) or job.qos in change.rights.take:
                yield job


def _of_edits(change: EditLines, jobs: Jobs, observed: Observed) -> Iterator[Job]:
    """Yield the jobs on nodes whose line changes, and those that enforced limits leave without an association."""
    for edit in change.edits:
        said = (edit.new or "").lower()
        if said.startswith("nodename"):
            for name in expand((edit.new or "").split()[0].partition("=")[2]):
                yield from jobs.by_node.get(name, ())
        if said.startswith("accountingstorageenforce"):
            yield from (job for job in jobs.alive if (job.account, job.user) not in observed.associations)


def _of_groups(change: WriteFile, jobs: Jobs) -> Iterator[Job]:
    """Yield the jobs of partitions that get less: shorter times, fewer nodes, fewer who may."""
    before, after = read_lines(change.old or ""), read_lines(change.text)
    for name, line in before.items():
        kind, _, what = name.partition(" ")
        new = after.get(name)
        if kind == "partition":
            yield from (
                job for job in jobs.by_group.get(what, ()) if new is None or _is_out(job, line.pairs, new.pairs)
            )
        elif kind == "nodeset" and new is not None and line.pairs != new.pairs:
            lost = set(expand(line.pairs.get("Nodes", ""))) - set(expand(new.pairs.get("Nodes", "")))
            group = what.removeprefix("nodes-")
            yield from (job for node in lost for job in jobs.by_node.get(node, ()) if group in job.partition.split(","))


def _is_out(job: Job, old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """True where the partition as it is to be would not take the job, and as it is would."""
    if old == new:
        return False
    accounts, qos = new.get("AllowAccounts"), new.get("AllowQos")
    if accounts and accounts != old.get("AllowAccounts") and job.account not in accounts.split(","):
        return True
    if qos and qos != old.get("AllowQos") and job.qos not in qos.split(","):
        return True
    limit = read_duration(new.get("MaxTime", "UNLIMITED"))
    is_changed = new.get("MaxTime") != old.get("MaxTime")
    return is_changed and limit is not None and (job.time_limit is None or job.time_limit > limit)


def is_less(old: Values, new: Values) -> bool:
    """True where any of the new limits allows less than the old ones."""
    for key, value in new.items():
        had = old.get(key)
        if key in TRES_KEYS:
            before = read_tres(had or "")
            if any(name not in before or amount < before[name] for name, amount in read_tres(value).items()):
                return True
        elif value.isdigit() and key.startswith(("Max", "Grp")) and (had is None or int(value) < int(had)):
            return True
    return False


def _ids(jobs: Iterable[Job]) -> tuple[int, ...]:
    return tuple(sorted({job.job_id for job in jobs}))
