"""Is Slurm worse off than before? Its nodes, partitions and jobs are looked at before an apply, and after it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from aistation_slurm.cluster.applying.slurmds import USUAL_PORT, listening
from aistation_slurm.cluster.changes import some
from aistation_slurm.errors import SlurmError, UnknownToSlurm
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.marks import is_ours
from aistation_slurm.slurm.model import Job, Node, Partition
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.states import JobState

PATIENCE = 90.0
"""Seconds that nodes have to answer again after a reconfigure or a restart."""
CERTAIN = 4.0
"""Seconds after which any other fault is one: a node that is down, or does not fit its files, has registered."""
WATCH = 2.0
"""Seconds that are looked at in any case where slurmctld was told: each slurmd takes the files in its own time."""
_BROKEN = frozenset({JobState.NODE_FAIL, JobState.BOOT_FAIL, JobState.LAUNCH_FAILED})


@dataclass(frozen=True, slots=True)
class Health:
    """Slurm's nodes, partitions and jobs at one moment."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    jobs: Mapping[int, Job] = field(default_factory=dict)
    """Those that wait, run or end; after an apply those that are over, too."""
    listening: frozenset[str] = frozenset()
    """The nodes, of those that were asked, whose slurmd is there."""


def with_slurmds(health: Health, *, port: int) -> Health:
    """Return the same with the slurmd that are there, of the nodes that Slurm could use."""
    usable = [node for node in health.nodes.values() if node.state.is_usable]
    return replace(health, listening=listening(usable, port=port))


def look_at_health(slurm: Slurm, *, with_over: bool = False) -> Health:
    """Return Slurm's nodes, partitions and jobs now.

    Raises:
        SlurmError: it can't be asked.
    """
    read = slurm.read
    return Health(
        nodes={each.name: each for each in read.nodes()},
        partitions={each.name: each for each in read.partitions()},
        jobs={each.job_id: each for each in read.jobs(with_over=with_over)},
    )


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is worse than before."""

    text: str
    may_pass: bool = False
    """True where it is only that somebody does not answer yet."""

    def __str__(self) -> str:
        return self.text


def look_again(slurm: Slurm, before: Health, *, slurm_user: str, watch: float, port: int = USUAL_PORT) -> list[str]:
    """Return what is worse than before, or nothing, after `watch` seconds; some faults are given time to pass.

    A slurmd that is not there any more is looked for at its `port` (SlurmdPort), of those that were there before.
    """
    begun = time.monotonic()
    while True:
        found = [*_worse_now(slurm, before, slurm_user), *_silent(before, port)]
        patience = PATIENCE if all(each.may_pass for each in found) else CERTAIN
        passed = time.monotonic() - begun
        if passed >= (max(watch, patience) if found else watch):
            return [each.text for each in found]
        time.sleep(0.3)


def _worse_now(slurm: Slurm, before: Health, slurm_user: str) -> list[Fault]:
    try:
        now = look_at_health(slurm, with_over=True)
        lost = [job for job in before.jobs.values() if job.job_id not in now.jobs and _is_forgotten(slurm, job)]
    except SlurmError as error:
        return [Fault(f"slurmctld does not answer: {error}", may_pass=True)]
    numbers = [job.job_id for job in lost]
    gone = [Fault(f"jobs are gone: {some(numbers)}")] if numbers else []
    return [*gone, *worse(before, now, slurm_user=slurm_user)]


def _silent(before: Health, port: int) -> Iterator[Fault]:
    there = [before.nodes[name] for name in before.listening]
    if gone := before.listening - listening(there, port=port):
        yield Fault(f"no slurmd listens on {fold(gone)} any more", may_pass=True)


def _is_forgotten(slurm: Slurm, job: Job) -> bool:
    """True where neither slurmctld nor slurmdbd knows the job; one that ended is forgotten after MinJobAge."""
    try:
        slurm.read.job(job.job_id)
    except UnknownToSlurm:
        return True
    return False


def worse(before: Health, now: Health, *, slurm_user: str) -> Iterator[Fault]:
    """Yield what is worse now than before; that a job ended by itself, or a person drained a node, is not."""
    bad = {name: node for name, node in now.nodes.items() if name in before.nodes}
    bad = {name: node for name, node in bad.items() if _fell(before.nodes[name], node, slurm_user)}
    for text, names in _alike(bad).items():
        silent = all(bad[name].state.is_not_responding for name in names)
        yield Fault(f"{fold(names)} {'is' if len(names) == 1 else 'are'} {text}", may_pass=silent)
    for name, partition in before.partitions.items():
        found = now.partitions.get(name)
        if found and partition.state == "UP" and found.state != "UP":
            yield Fault(f"partition {name} is {found.state}")
    for number, job in before.jobs.items():
        if number in now.jobs and (harm := _harm(job, now.jobs[number], bad)):
            yield Fault(f"job {number} of {job.user} {harm}")


def _alike(nodes: Mapping[str, Node]) -> dict[str, list[str]]:
    """Return the nodes by what is said of them."""
    found: dict[str, list[str]] = {}
    for name, node in nodes.items():
        found.setdefault(f"{node.state}{f' ({node.reason})' if node.reason else ''}", []).append(name)
    return found


def _fell(before: Node, now: Node, slurm_user: str) -> bool:
    """True where Slurm could use the node before, and can't now, and no person wanted it so."""
    if not before.state.is_usable or now.state.is_usable or is_ours(now.reason):
        return False
    by_person = now.state.is_draining and now.reason_user not in {"", slurm_user}
    return not by_person or now.state.is_not_responding


def _harm(before: Job, now: Job, bad: Mapping[str, Node]) -> str:
    """Return what Slurm did to the job that it would not have done by itself, or nothing."""
    if now.state in _BROKEN:
        return f"was ended by Slurm: {now.state}"
    never_ran = before.state.is_waiting and now.state is JobState.FAILED and not now.nodes
    if never_ran:
        return f"was thrown out of the queue: {now.reason or now.state}"
    if now.restart_count > before.restart_count and set(expand(before.nodes)) & set(bad):
        return f"was requeued from {before.nodes}"
    return ""
