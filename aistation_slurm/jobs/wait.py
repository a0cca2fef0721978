"""Waiting for a job, or all members of an array, to be over: what `--wait` does, through every requeue."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aistation_slurm.errors import SlurmUnreachable
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job

PAUSE = 2.0
PATIENCE = 300.0
"""Seconds without an answer from slurmctld after which we give up: it may be restarted meanwhile."""


def wait_for(
    slurm: Slurm,
    job_id: int,
    *,
    tell: Callable[[Sequence[Job]], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Return the exit code that `sbatch --wait` would have; `tell` is called with the jobs at each look.

    Raises:
        UnknownToSlurm: neither slurmctld nor slurmdbd knows the job.
        SlurmUnreachable: nobody answered for a long time.
    """
    silent_since: float | None = None
    while True:
        try:
            jobs = _look(slurm, job_id)
            silent_since = None
        except SlurmUnreachable:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE:
                raise
        else:
            tell(jobs)
            if all(each.state.is_over for each in jobs):
                return max(exit_code(each) for each in jobs)
        sleep(PAUSE)


def exit_code(job: Job) -> int:
    """Return the script's exit code; 1 where a signal or Slurm ended the job, as sbatch(1) has it."""
    code, _, signal = job.exit_code.partition(":")
    if code.isdecimal() and int(code):
        return int(code)
    return 0 if job.state.is_success and signal in {"", "0"} else 1


def _look(slurm: Slurm, job_id: int) -> list[Job]:
    jobs = [each for each in slurm.read.jobs(with_over=True) if job_id in {each.job_id, each.array_job_id}]
    return jobs or [slurm.read.job(job_id)]
