"""When a job may start, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Literal

from aistation_slurm.jobs.why.ahead import Ahead, in_line
from aistation_slurm.jobs.why.limits import Limit, in_the_way, limits_of
from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.plan import MOST_PLANNED, Plan
from aistation_slurm.jobs.why.reasons import Kind, read_reason
from aistation_slurm.jobs.why.shape import Shape, usual_gpu
from aistation_slurm.slurm.model import Job

Sure = Literal["sure", "fairly sure", "a guess", "not known"]
_FEW = 8
"""Fewer jobs that ended lately tell nothing about how time limits are used up."""
_FORESEEN = timedelta(days=365)
"""What is later than that only begins when a job without a time limit ends."""


@dataclass(frozen=True, slots=True)
class Start:
    """When a job may start."""

    at: datetime | None
    by: str
    """Who says so: `Slurm's plan`, `our estimate`; empty where nobody can."""
    sure: Sure
    because: tuple[str, ...] = ()
    """What makes it so sure, or unsure."""


def expected(plan: Plan) -> Start:
    """Return when the job may start: as Slurm plans it, else by our estimate; with how sure that is."""
    look = plan.look
    kind = read_reason(look.job.reason).kind
    if kind in {Kind.RULE, Kind.HELD, Kind.DEPENDENCY}:
        return Start(None, "", "not known", (_UNKNOWN[kind],))
    planned, own = look.job.start_time, estimate(look.shape, plan, begin=begin_of(look))
    if kind is Kind.LIMIT:  # the backfill scheduler plans as if there were no quota
        at, by = own, "our estimate" if own else ""
    else:
        at, by = (planned, "Slurm's plan") if planned else (own, "our estimate" if own else "")
    if at is None:
        return Start(None, "", "not known", (_too_deep(plan) or _ENDLESS,))
    sure, because = how_sure(look, plan.ahead(), by, kind)
    return Start(max(at, look.now), by, sure, because)


def _too_deep(plan: Plan) -> str:
    if not plan.is_too_deep():
        return ""
    return f"{len(in_line(plan.ahead()))} jobs go first, and only {MOST_PLANNED} are planned here"


def estimate(shape: Shape, plan: Plan, *, begin: datetime | None = None) -> datetime | None:
    """Return when a job of this shape would start: when its quotas and the nodes have room, after those ahead.

    Not before `begin`; None where that can't be told.
    """
    look = plan.look
    gpu_type = usual_gpu(shape.partition, look.nodes)
    blocking = in_the_way(limits_of(shape, look.rules, gpu_type=gpu_type))
    moments = [room_in(limit) for limit in blocking]
    if any(each is None for each in moments) or plan.is_too_deep(shape.partition):
        return None
    earliest = max((each for each in moments if each), default=look.now)
    place = plan.room(shape.partition).place(shape, earliest=max(earliest, begin or look.now, look.now))
    return place.start if place and place.start < look.now + _FORESEEN else None


def begin_of(look: Look) -> datetime | None:
    """Return before when the job can't start: its begin time, or the end of the array's member that it waits for."""
    if read_reason(look.job.reason).name != "JobArrayTaskLimit":
        return look.job.eligible_time
    ends = [each.end_time or _LATE for each in look.rules.running if each.array_job_id == look.job.array_job_id]
    return min(ends, default=None)


def room_in(limit: Limit) -> datetime | None:
    """Return when enough of a limit is given back, by the time limits of its holders; None where that can't be told."""
    used = limit.used
    for job in sorted(limit.holders, key=lambda each: each.end_time or _LATE):
        if job.end_time is None:
            return None
        used -= 1 if limit.what == "jobs" else job.tres.get(limit.what, 0)
        if used + limit.wanted <= limit.most:
            return job.end_time
    return None


def how_sure(look: Look, ahead: Sequence[Ahead], by: str, kind: Kind) -> tuple[Sure, tuple[str, ...]]:
    """Return how sure an expected start is, and why.

    A plan stands on the time limits of what runs and of those ahead. It is sure where nobody is ahead and limits are
    mostly used up; a guess where a limit is missing, where jobs end long before their limits, or where Slurm does not
    plan this far.
    """
    because, doubts = list[str](), 0
    line = in_line(ahead)
    if without := _without_limit(look.rules.running, look.job) + _without_limit(line, look.job):
        because.append(f"{without} jobs that run or are ahead have no time limit: it may be much later")
        doubts += 2
    if (used := limits_used_up(look.history)) is not None:
        because.append(f"jobs here used up {used:.0%} of their time limits lately (the middle one of them)")
        doubts += 1 if used < 0.5 else 0
        if used < 0.5:
            because.append("so it may well be earlier")
    depth = int(look.scheduler.get("bf_max_job_test") or 500)
    if len(line) >= depth:
        because.append(f"{len(line)} are ahead, and Slurm plans only {depth} deep (bf_max_job_test)")
        doubts += 1
    elif line:
        because.append(f"{len(line)} ahead; a new one of higher priority may still come")
        doubts += 1
    if by != "Slurm's plan":
        because.append(_NO_PLAN_OF_QUOTAS if kind is Kind.LIMIT else _NO_PLAN)
        doubts += 1
    sure: tuple[Sure, ...] = ("sure", "fairly sure", "a guess")
    return sure[min(doubts, 2)], tuple(because)


def limits_used_up(history: Iterable[Job]) -> float | None:
    """Return which part of its time limit the middle one of the jobs used; None of too few."""
    parts = [each.elapsed / each.time_limit for each in history if each.elapsed and each.time_limit]
    return min(1.0, median(parts)) if len(parts) >= _FEW else None


def _without_limit(jobs: Iterable[Job], ours: Job) -> int:
    names = set(ours.partition.split(","))
    return sum(each.time_limit is None for each in jobs if names & set(each.partition.split(",")))


_ENDLESS = "a job that runs, or one ahead, has no end that could be foreseen"
_NO_PLAN = "Slurm has no plan for it yet: reckoned from the time limits of what runs"
_NO_PLAN_OF_QUOTAS = "Slurm plans as if there were no quotas: reckoned from the time limits of what runs"
_UNKNOWN = {
    Kind.RULE: "it never starts as it is",
    Kind.HELD: "nobody can say when it is released",
    Kind.DEPENDENCY: "it depends on when another job ends, and how",
}
_LATE = datetime.max.replace(tzinfo=UTC)
