"""Who goes first, and by which part of the priority. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.reasons import Kind, read_reason
from aistation_slurm.slurm.model import Job, Partition, PriorityFactors
from aistation_slurm.slurm.nodelist import expand

_HOLDS_NOTHING = frozenset({Kind.LIMIT, Kind.HELD, Kind.DEPENDENCY, Kind.TIME, Kind.RULE, Kind.STAGING})
"""What a job waits for that keeps no node for it: Slurm starts others before it."""
_PARTS = {
    "qos": "QOS", "fair_share": "fair share", "age": "age", "job_size": "size", "partition_factor": "partition",
    "association": "association", "site": "site's order", "tres": "TRES",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ahead:
    """A job that goes first."""

    job: Job
    by: str
    """Why: `priority 1100 to 100, by QOS`, or that it was submitted earlier."""
    is_in_line: bool
    """True where Slurm keeps nodes for it; one that waits for something else lets others by."""


def ahead_of(job: Job, look: Look, *, partition: str = "") -> list[Ahead]:
    """Return the waiting jobs that go before it and could want the same nodes, the first of all first.

    With `partition`, as if the job stood in that one, with the priority that it has.
    """
    mine = partition or job.partition
    near = {name for name, each in look.partitions.items() if share_nodes(look.partitions.get(mine), each)} | {mine}
    others = [each for each in look.queue if each.state.is_waiting and each.job_id != job.job_id]
    first = [each for each in others if near & set(each.partition.split(",")) and _goes_first(each, job, look, mine)]
    first.sort(key=lambda each: _order(each, look.partitions))
    return [Ahead(each, _by(each, job, look, mine), _is_in_line(each)) for each in first]


def share_nodes(one: Partition | None, other: Partition) -> bool:
    """True where two partitions, both open, have nodes in common."""
    if one is None or other.state != "UP":
        return False
    return one.name == other.name or bool(set(expand(one.nodes)) & set(expand(other.nodes)))


def parts(theirs: PriorityFactors | None, ours: PriorityFactors | None) -> Mapping[str, int]:
    """Return by how much each part of their priority is greater than ours (negative: less), the largest first."""
    if theirs is None or ours is None:
        return {}
    found = {word: getattr(theirs, name) - getattr(ours, name) for name, word in _PARTS.items()}
    found["nice"] = ours.nice - theirs.nice
    return dict(sorted(((word, more) for word, more in found.items() if more), key=lambda pair: -pair[1]))


def in_line(ahead: Iterable[Ahead]) -> list[Job]:
    """Return those for which Slurm keeps nodes."""
    return [each.job for each in ahead if each.is_in_line]


def _is_in_line(job: Job) -> bool:
    return read_reason(job.reason).kind not in _HOLDS_NOTHING and job.priority > 0


def _goes_first(other: Job, job: Job, look: Look, partition: str) -> bool:
    """True where Slurm tries the other one before: tier, then priority, then who was submitted first."""
    tier = _tier(partition, look.partitions)
    return (_tier(other.partition, look.partitions), other.priority, -other.job_id) > (tier, job.priority, -job.job_id)


def _order(job: Job, partitions: Mapping[str, Partition]) -> tuple[int, int, int]:
    return (-_tier(job.partition, partitions), -job.priority, job.job_id)


def _tier(partition: str, partitions: Mapping[str, Partition]) -> int:
    tiers = [partitions[name].priority_tier for name in partition.split(",") if name in partitions]
    return max(tiers, default=1)


def _by(other: Job, job: Job, look: Look, partition: str) -> str:
    tier, their_tier = _tier(partition, look.partitions), _tier(other.partition, look.partitions)
    if their_tier > tier:
        return f"its partition {other.partition} goes first (tier {their_tier} to {tier})"
    if other.priority == job.priority:
        return f"the same priority {job.priority}, and submitted earlier"
    more = parts(_factors(other, look), _factors(job, look))
    best = next(((word, much) for word, much in more.items() if much > 0), None)
    by = f", by {best[0]} (+{best[1]})" if best else ""
    return f"priority {other.priority} to {job.priority}{by}"


def _factors(job: Job, look: Look) -> PriorityFactors | None:
    found = (look.factors.get((job.job_id, name)) for name in job.partition.split(","))
    return next((each for each in found if each), None)
