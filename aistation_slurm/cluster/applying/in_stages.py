"""The safe way to a refused plan is gone: what its jobs are on is set aside, they are waited for, then it is applied.

Nodes that were set aside carry our reason: whoever goes on after an interruption finds them by it, and only those are
given back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.cluster.changes import some
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.cluster.planning.staged import (
    REASON,
    CloseAccount,
    CloseGroup,
    DrainNodes,
    Step,
    WaitForJobs,
    stages,
)
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.units import write_duration

Say = Callable[[str], None]
EVERY = 2.0
"""Seconds between two looks at the jobs."""


def steps_to(plan: Plan, target: Target) -> tuple[Step, ...]:
    """Return the steps to this plan, as they are from now on.

    Raises:
        UnsafePlan: it is refused for something that no waiting helps against.
    """
    cluster = target.slurm.read.config().get("ClusterName", "").lower()
    nodes = target.slurm.read.nodes()
    others = [node.name for node in nodes if node.state.is_draining and not is_waiting(node)]
    return stages(plan, cluster=cluster, drained=others)


def make_way(steps: Sequence[Step], slurm: Slurm, say: Say, *, every: float = EVERY) -> None:
    """Set aside what is in the way, and return once no job is on it any more.

    Raises:
        SlurmError: Slurm refused an order, or can't be asked.
    """
    for step in steps:
        match step:
            case DrainNodes():
                say(str(step))
                for name in expand(step.nodes):
                    slurm.write.drain_node(name, REASON)
            case CloseGroup():
                say(str(step))
                slurm.write.update_partition(step.group, state="DRAIN")
            case CloseAccount():
                say(str(step))
                slurm.write.sacctmgr(*step.argv()[1:])
            case WaitForJobs():
                _wait(step, slurm, say, every)


def _wait(step: WaitForJobs, slurm: Slurm, say: Say, every: float) -> None:
    said = ""
    while left := step.left(slurm.read.jobs()):
        if (line := waiting_line(left, datetime.now(UTC))) != said:
            say(line)
            said = line
        time.sleep(every)


def waiting_line(jobs: Sequence[Job], now: datetime) -> str:
    """Return which jobs are waited for, and for how long at most, in one line."""
    numbers = [job.job_id for job in jobs]
    ends = [_end(job, now) for job in jobs]
    latest = max((each for each in ends if each), default=None)
    if latest is None or None in ends:
        until = "nobody knows for how long: not all have a time limit, or wait themselves"
    else:
        minutes = timedelta(minutes=max(1, -(-(latest - now) // timedelta(minutes=1))))
        until = f"for {write_duration(minutes)} at most, until {latest:%Y-%m-%d %H:%M} UTC"
    return f"waiting for {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'} ({some(numbers)}): {until}"


def _end(job: Job, now: datetime) -> datetime | None:
    """Return when the job is over at the latest; None where that can't be told."""
    if job.state.is_leaving:
        return now
    if not job.state.is_running or job.start_time is None or job.time_limit is None:
        return None
    return job.start_time + job.time_limit


def is_waiting(node: Node) -> bool:
    """True where it is we who drained the node, to wait for its jobs."""
    return node.state.is_draining and node.reason.startswith(REASON)


def give_back(slurm: Slurm) -> str:
    """Return the nodes that we had drained, once they take jobs again; nothing where there were none.

    Raises:
        SlurmError: Slurm refused it, or can't be asked.
    """
    ours = [node for node in slurm.read.nodes() if is_waiting(node)]
    for node in ours:
        slurm.write.undrain_node(node)
    return fold(node.name for node in ours)


def way_on(steps: Sequence[Step]) -> list[str]:
    """Return how to go on after an interruption, and how to take back what was set aside, as lines."""
    back = [" ".join(step.back()) for step in steps if step.back()]
    return ["go on:     aistation cluster apply --staged", *(f"take back: {each}" for each in back)]
