"""A sweep that is under way: how many of its members run at once, and its end before its time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aistation_slurm.jobs.sweep.folder import Sweep, locked, save
from aistation_slurm.jobs.sweep.tasks import is_cut, unfold
from aistation_slurm.slurm.model import Job

if TYPE_CHECKING:
    from aistation_slurm.slurm.connect import Slurm


def set_limit(slurm: Slurm, sweep: Sweep, at_once: int) -> bool:
    """Let so many members run at once from now on, also when some are started again; False where none waits.

    Raises:
        RequestError: another command works on the sweep.
    """
    waiting = {job.array_job_id for job in _alive(slurm, sweep) if job.state.is_waiting}
    for array_id in sorted(filter(None, waiting)):
        slurm.write.update_job(array_id, array_task_throttle=at_once)
    with locked(sweep.path) as now:
        save(replace(now, at_once=at_once or None))
    return bool(waiting)


def cancel_members(slurm: Slurm, sweep: Sweep, *, only_waiting: bool = False) -> int:
    """Cancel the members that wait or run, and return how many those were."""
    jobs = [job for job in _alive(slurm, sweep) if job.state.is_waiting or not only_waiting]
    if not jobs:
        return 0
    slurm.write.scancel(*jobs)
    return sum(_members_of(job, sweep) for job in jobs)


def _alive(slurm: Slurm, sweep: Sweep) -> list[Job]:
    ids = {array.job_id for array in sweep.arrays}
    return [job for job in slurm.read.jobs() if job.array_job_id in ids and not job.state.is_over]


def _members_of(job: Job, sweep: Sweep) -> int:
    """Return how many members the record stands for."""
    if is_cut(job.array_task):
        return next(len(array.members()) for array in sweep.arrays if array.job_id == job.array_job_id)
    return len(unfold(job.array_task))
