"""The plan: what must change so that Slurm is what the cluster file says. Decided here, done in `apply`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from aistation_slurm.cluster import policy
from aistation_slurm.cluster.accounting import accounting_changes, strangers
from aistation_slurm.cluster.changes import (
    NONE,
    RECONFIGURE,
    Change,
    DeleteAccounts,
    DeleteQos,
    Effect,
    Reconfigure,
    Refusal,
    RemoveUsers,
    WriteFile,
    WriteRules,
    restart_nodes,
    some,
    widest,
)
from aistation_slurm.cluster.desired import desired, job_qos, partition_qos
from aistation_slurm.cluster.files import GRES, body_of, gres_to_keep, is_edited, is_ours, line_changes, wanted_files
from aistation_slurm.cluster.keys import advice, lacking
from aistation_slurm.cluster.nodes import node_complaints
from aistation_slurm.cluster.observed import Observed, look
from aistation_slurm.cluster.site import CONF
from aistation_slurm.cluster.storage import look_at_storage, storage_changes, storage_refusals
from aistation_slurm.errors import SpecError, SpecErrors, UnsafePlan
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Partition
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.spec import ClusterSpec, GpuGroup

FEW = 3
"""So many deletions are never too many: in a small cluster every one is a large share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What must change so that Slurm is what the cluster file says; nothing is changed by having one."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    """What would be better, but is not ours to change."""
    existing: int = 0
    """How many accounts, users and QOS of ours there are now."""
    refusals: tuple[Refusal, ...] = ()
    """Why the plan must not be carried out now, whoever wants it: a job would be killed."""

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join([*self.lines(), self.summary()])

    def lines(self) -> list[str]:
        """Return every change as one line, and below a file's what changes in it."""
        return [line for change in self.changes for line in _lines(change)]

    def summary(self) -> str:
        """Return the last line of the plan: its name, and how much it would change."""
        if not self.changes:
            return "nothing to do: Slurm is what the cluster file says"
        counts = self.counts
        return (
            f"plan {self.checksum}: {counts['create']} to create, {counts['update']} to update, "
            f"{counts['delete']} to delete"
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many things would be created, updated and deleted."""
        found = Counter[str]()
        for change in self.changes:
            found[change.sign] += change.count
        return {"create": found["+"], "update": found["~"], "delete": found["-"]}

    @property
    def effect(self) -> Effect:
        """The effect of all its changes together."""
        return widest(change.effect for change in self.changes)

    @property
    def checksum(self) -> str:
        """Names the plan, so that what was reviewed is what is applied."""
        texts = [change.text for change in self.changes if isinstance(change, WriteFile)]
        return sha256("\n".join([*self.lines(), *texts]).encode()).hexdigest()[:12]

    def raise_if_unsafe(self, *, share: float = 0.3, force: bool = False) -> None:
        """Do nothing where the plan may be carried out.

        Raises:
            UnsafePlan: a job would be killed; or, without `force`, more than `share` of what exists would be deleted.
        """
        if self.refusals:
            first, *others = self.refusals
            raise UnsafePlan(first.text, hint="\n".join([first.safe_way, *map(str, others)]))
        kinds = (RemoveUsers, DeleteAccounts, DeleteQos)
        deletions = sum(change.count for change in self.changes if isinstance(change, kinds))
        if not force and deletions > max(FEW, share * self.existing):
            text = f"{deletions} of {self.existing} accounts, users and QOS would be deleted"
            raise UnsafePlan(text, hint="is it the right cluster file? say --force if you mean it")


def _lines(change: Change) -> list[str]:
    inside = [f"    {line}" for line in change.lines] if isinstance(change, WriteFile) else []
    return [str(change), *inside]


def make_plan(spec: ClusterSpec, slurm: Slurm, *, conf_dir: Path, gpu_device: str, source: str) -> Plan:
    """Look at Slurm and return what must change there so that it is what the cluster file says.

    Raises:
        SpecError: the site's slurm.conf or nodes lack what the cluster file rests on, or a name is taken.
        SlurmError: Slurm can't be asked.
    """
    observed = replace(look(slurm, conf_dir=conf_dir), storage=look_at_storage(spec))
    return decide(spec, observed, conf_dir=conf_dir, gpu_device=gpu_device, source=source)


def decide(spec: ClusterSpec, observed: Observed, *, conf_dir: Path, gpu_device: str, source: str) -> Plan:
    """Return what must change, from what is wanted and what is there. Changes nothing, asks nobody.

    Raises:
        SpecError: the site's slurm.conf or nodes lack what the cluster file rests on, or a name is taken.
    """
    wanted = desired(spec)
    _raise_all([*complaints(spec, observed), *strangers(wanted, observed)], where=str(observed.site.path))
    kept = gres_to_keep(observed.files.get(GRES), spec, observed.nodes)
    texts = wanted_files(spec, gpu_device=gpu_device, source=source, kept_gres=kept)
    changes: list[Change] = [*accounting_changes(wanted, observed), *_files(texts, observed, conf_dir, spec)]
    changes += _rules(spec, observed, conf_dir, source)
    stored, storage_notes = storage_changes(observed.storage, observed.jobs)
    changes += stored
    if why := _must_reconfigure(spec, observed, [each for each in changes if isinstance(each, WriteFile)]):
        changes.append(Reconfigure(why, frozenset(wanted.qos), effect=RECONFIGURE))
    changes.sort(key=lambda change: change.rank)
    return Plan(
        changes=tuple(changes),
        notes=(*_notes(spec, observed), *storage_notes),
        existing=_existing(observed),
        refusals=(*_refusals(spec, observed, changes), *storage_refusals(changes)),
    )


def complaints(spec: ClusterSpec, observed: Observed) -> Iterator[SpecError]:
    """Yield what the site's own files and nodes lack; none of it is changed by us."""
    yield from lacking(spec, observed.site, has_lua=observed.has_lua)
    yield from node_complaints(spec, observed.nodes, where=str(observed.site.path))
    for name, text in observed.files.items() if spec.is_ours else ():
        if text is not None and not is_ours(text) and name != GRES:
            where = str(observed.site.path.with_name(name))
            yield SpecError("was not written by aistation", where=where, hint=f"move it away: mv {where} {where}.site")


def _notes(spec: ClusterSpec, observed: Observed) -> Iterator[str]:
    yield from advice(spec, observed.site, observed.config, has_lua=observed.has_lua)
    if spec.managed_groups() and not is_ours(observed.files.get(GRES) or ""):
        yield f"{observed.site.path.with_name(GRES)} is the site's own, and is left as it is"


def _raise_all(errors: Sequence[SpecError], *, where: str) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SpecErrors(errors, where=where)


def _files(texts: dict[str, str], observed: Observed, conf_dir: Path, spec: ClusterSpec) -> Iterator[WriteFile]:
    for name, text in texts.items():
        old = observed.files.get(name)
        if (old is None and not spec.is_ours) or (old is not None and _may_stay(old, text)):
            continue
        lines = line_changes(old or "", text)
        effect = _gres_effect(spec, lines) if name == GRES else RECONFIGURE if lines else NONE
        yield WriteFile(conf_dir / name, text, old, lines, edited=bool(old) and is_edited(old or ""), effect=effect)


def _may_stay(old: str, text: str) -> bool:
    """True where the file says what it should, or is the site's own, such as a gres.conf that does."""
    return body_of(old) == body_of(text) or not is_ours(old)


def _rules(spec: ClusterSpec, observed: Observed, conf_dir: Path, source: str) -> Iterator[WriteRules]:
    """Yield the files of job_submit.lua, which slurmctld reads again by itself; none where this Slurm has no Lua.

    That one is written with any other, even as it was: slurmctld sees no change but its time.
    """
    if observed.has_lua is False or not (spec.is_ours or is_ours(observed.files.get(policy.RULES) or "site")):
        return
    texts = policy.rules_files(spec, source=source, exempt=policy.slurm_user(observed.config))
    changed = {name for name, text in texts.items() if body_of(observed.files.get(name) or "") != body_of(text)}
    for name in (each for each in texts if each in changed or (changed and each == policy.RULES)):
        old, text = observed.files.get(name), texts[name]
        lines = policy.table_changes(old, text) if old and name == policy.TABLE else ()
        yield WriteRules(conf_dir / name, text, old, lines, edited=bool(old) and is_edited(old or ""))


def _gres_effect(spec: ClusterSpec, lines: Sequence[str]) -> Effect:
    """Return who must be restarted: a slurmd reads gres.conf when it starts, and never again."""
    groups = spec.managed_groups().values()
    lists = [group.nodes for group in groups if any(f" {group.nodes} " in f"{line} " for line in lines)]
    return restart_nodes(",".join(lists))


def _must_reconfigure(spec: ClusterSpec, observed: Observed, files: Sequence[WriteFile]) -> str:
    """Return why slurmctld must read its files again, or nothing."""
    if any(each.effect for each in files):
        return "its files change"
    for name, group in spec.managed_groups().items():
        found = observed.partitions.get(name)
        if found is None:
            return f"it does not know partition {name} yet"
        if differs := _difference(name, group, found):
            return f"{differs} of its partition {name} is not the file's"
    return ""


def _difference(name: str, group: GpuGroup, found: Partition) -> str:
    """Return what slurmctld's partition has otherwise than the file; its state is the site's to set."""
    pairs = {
        "Nodes": (set(expand(found.nodes)), set(group.node_names())),
        "QOS": (found.qos, partition_qos(name)),
        "AllowQos": (set(found.allow_qos), set(job_qos(group))),
        "AllowAccounts": (set(found.allow_accounts), set(group.teams)),
        "MaxTime": (found.max_time, group.max_time),
        "DefaultTime": (found.default_time, group.default_time),
    }
    return next((key for key, (is_so, should) in pairs.items() if is_so != should), "")


def _existing(observed: Observed) -> int:
    rows = sum(observed.is_our_account(account) for account, _ in observed.associations)
    return rows + sum(map(observed.is_our_qos, observed.qos))


def _refusals(spec: ClusterSpec, observed: Observed, changes: Sequence[Change]) -> Iterator[Refusal]:
    """Yield what would vanish under its jobs: slurmctld kills those of a partition, slurmdbd those of a user."""
    old = line_changes(observed.files.get(CONF) or "", "")
    ours = {line.removeprefix("- partition ") for line in old if line.startswith("- partition ")}
    alive = [job for job in observed.jobs if not job.state.is_over]
    for name in sorted(ours - spec.managed_groups().keys()):
        if jobs := [job.job_id for job in alive if name in job.partition.split(",")]:
            yield _refusal(f"group {name!r} can't go while it has jobs", jobs)
    for change in changes:
        if not isinstance(change, RemoveUsers):
            continue
        for user in change.users:
            if jobs := [job.job_id for job in alive if (job.account, job.user) == (change.account, user)]:
                yield _refusal(f"{user} can't leave team {change.account!r} while having jobs there", jobs)


def _refusal(what: str, jobs: Sequence[int]) -> Refusal:
    return Refusal(text=f"{what}: {some(jobs)}", safe_way="wait for those jobs, or cancel them", jobs=tuple(jobs))
