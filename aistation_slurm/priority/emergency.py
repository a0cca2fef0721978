"""Emergency jobs: who may submit them, which there are, and one of them sent ahead of others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aistation_slurm.errors import RequestError, SlurmRefused, UsageError
from aistation_slurm.priority.order import SetSiteFactor, Waiting, gap_of, in_order, reorder
from aistation_slurm.priority.rights import EMERGENCY
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Association, Job
from aistation_slurm.spec import ClusterSpec

PATIENCE = 10.0
"""Seconds that slurmctld has to count a job's priority anew; it takes a tenth of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Who may submit emergency jobs, as the file and Slurm say it."""

    user: str
    team: str
    in_file: bool
    in_slurm: bool

    @property
    def note(self) -> str:
        """What is not as it should be, or nothing."""
        if self.in_file == self.in_slurm:
            return ""
        return "not in Slurm yet: aistation cluster apply" if self.in_file else "in Slurm only: aistation cluster apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyJob:
    """One emergency job that runs or waits."""

    place: int | None
    """1 is the next to start; None while it runs."""
    job: Job
    since: datetime | None
    """Since when it runs, or waits."""
    for_: timedelta | None


def rights(spec: ClusterSpec, associations: Iterable[Association]) -> list[Right]:
    """Return everybody who may submit emergency jobs by the file or by Slurm, team by team."""
    file = [(team, user) for team, each in spec.teams.items() for user in each.emergency]
    slurm = [(each.account, each.user) for each in associations if each.user and EMERGENCY in each.qos]
    ours = [pair for pair in slurm if pair[0] in spec.teams]
    return [
        Right(user=user, team=team, in_file=(team, user) in file, in_slurm=(team, user) in slurm)
        for team, user in dict.fromkeys([*file, *ours])
    ]


def is_emergency(job: Job) -> bool:
    """True where the job runs under the emergency QOS, whose name knows no capitals."""
    return job.qos.lower() == EMERGENCY


def listed(jobs: Iterable[Job], now: datetime) -> list[EmergencyJob]:
    """Return the emergency jobs: those that run, longest first, and those that wait, in their order."""
    urgent = [job for job in jobs if is_emergency(job)]
    running = sorted(
        (job for job in urgent if job.state.is_running), key=lambda job: (job.start_time or now, job.job_id)
    )
    waiting = sorted(
        (job for job in urgent if job.state.is_waiting), key=lambda job: (not job.priority, -job.priority, job.job_id)
    )
    return [
        *(_row(job, None, job.start_time, now) for job in running),
        *(_row(job, place, job.submit_time, now) for place, job in enumerate(waiting, 1)),
    ]


def _row(job: Job, place: int | None, since: datetime | None, now: datetime) -> EmergencyJob:
    return EmergencyJob(place=place, job=job, since=since, for_=now - since if since else None)


def label(job: Job) -> str:
    """Return the job's number as people write it; a member of an array is `12_3`."""
    if job.array_job_id is None or not job.array_task:
        return str(job.job_id)
    return f"{job.array_job_id}_{job.array_task}"


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """How a job is to come before others."""

    job: Job
    before: Job | None
    changes: tuple[SetSiteFactor, ...]
    jobs: tuple[Job, ...]
    """Those that the changes are about, and the others that wait."""

    def lines(self) -> list[str]:
        """Return each change as one line."""
        return [str(change) for change in self.changes]

    def summary(self) -> str:
        """Return what was asked for in one line: what the audit remembers."""
        where = f"before {label(self.before)}" if self.before else "first"
        return f"emergency job {label(self.job)} of {self.job.user} goes {where}"


def plan_order(slurm: Slurm, name: str, *, before: str | None) -> OrderPlan:
    """Look at the jobs, and return what must be set so that one comes before another, or first; changes nothing.

    Raises:
        RequestError: one of the two is no emergency job that waits for its turn.
        UsageError: both are the same.
        SlurmError: Slurm can't be asked.
    """
    jobs, factors = slurm.read.jobs(), slurm.read.site_factors()
    job = orderable(jobs, factors, name)
    other = orderable(jobs, factors, before) if before is not None else None
    if other is not None and other.job_id == job.job_id:
        raise UsageError(f"job {name} can't come before itself")
    line = [each for each in jobs if _trouble(each, factors) == ""]
    waiting = [
        Waiting(job_id=each.job_id, priority=each.priority, site_factor=factors[each.job_id], nice=each.nice)
        for each in line
    ]
    gap = gap_of(slurm.read.config())
    changes = reorder(waiting, job.job_id, before=other.job_id if other else None, gap=gap)
    return OrderPlan(job, other, changes, tuple(line))


def orderable(jobs: Iterable[Job], factors: dict[int, int], name: str) -> Job:
    """Return the job of this number, once it is an emergency job that waits for its turn.

    Raises:
        RequestError: there is none, or it is something else; the text says what.
    """
    found = next((job for job in jobs if name in {label(job), str(job.job_id)}), None)
    if found is None:
        raise RequestError(f"no job {name} waits or runs", hint="see: aistation emergency list")
    if trouble := _trouble(found, factors):
        raise RequestError(f"job {name} {trouble}", hint="only emergency jobs that wait for their turn have an order")
    return found


def _trouble(job: Job, factors: dict[int, int]) -> str:
    """Return why the job has no place in the order, or nothing."""
    if not is_emergency(job):
        return f"runs under QOS {job.qos}, not {EMERGENCY}" if job.state.is_running else f"is of QOS {job.qos}"
    if job.state.is_running:
        return "runs already"
    if not job.state.is_waiting:
        return "is ending"
    if job.het_job_id is not None:
        return "is a heterogeneous job, whose parts have priorities of their own"
    if not job.priority:
        return "is held: release it first"
    if job.job_id not in factors:
        return f"may not start yet ({job.reason or 'no reason given'})"
    return ""


def carry_out(plan: OrderPlan, slurm: Slurm) -> Iterator[str]:
    """Set what the plan says, the foremost job first, and yield each change once it is done.

    Raises:
        SlurmRefused: slurmctld took it, but the job did not move.
        SlurmError: Slurm refused, or can't be asked.
    """
    jobs = {job.job_id: job for job in plan.jobs}
    for change in reversed(plan.changes):
        slurm.write.update_job(jobs[change.job_id], site_factor=change.new)
        yield str(change)
    if plan.changes:
        _wait_until_moved(plan, slurm)


def _wait_until_moved(plan: OrderPlan, slurm: Slurm) -> None:
    give_up = time.monotonic() + PATIENCE
    while not _has_moved(plan, slurm.read.jobs()):
        if time.monotonic() > give_up:
            hint = f"was its priority set by hand? scontrol release {label(plan.job)} lets Slurm count it again"
            raise SlurmRefused(f"job {label(plan.job)} did not move", hint=hint)
        time.sleep(0.1)


def _has_moved(plan: OrderPlan, jobs: Sequence[Job]) -> bool:
    """True once the job is where it was sent, or waits no more."""
    known = {job.job_id for job in plan.jobs}
    waiting = [
        Waiting(job_id=job.job_id, priority=job.priority)
        for job in jobs
        if job.job_id in known and job.state.is_waiting
    ]
    ids = [each.job_id for each in in_order(waiting)]
    if plan.job.job_id not in ids:
        return True
    place = ids.index(plan.job.job_id)
    return place == 0 if plan.before is None else plan.before.job_id not in ids[:place]
