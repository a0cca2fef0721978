"""A training's log, as it grows: one file, in which a requeued run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from aistation_slurm.errors import RequestError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job

_LOOK_SECONDS = 0.3
_ASK_SECONDS = 2.0
_BLOCK = 1 << 16


def read_log(slurm: Slurm, job_id: int, *, tail: int | None = None) -> Iterator[str]:
    """Yield what the job has printed so far, or the last lines of it.

    Raises:
        RequestError: it has printed nothing yet, or this user may not read it.
        UnknownToSlurm: there is no such job.
    """
    with _open(log_of(slurm.read.job(job_id))) as file:
        text = file.read().decode(errors="replace")
    yield text if tail is None else "".join(text.splitlines(keepends=True)[-tail:] if tail else [])


def follow_log(
    slurm: Slurm, job_id: int, *, tail: int | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """Yield what the job prints until it is over, through every requeue.

    Raises:
        RequestError: this user may not read it.
        UnknownToSlurm: there is no such job.
    """
    job = slurm.read.job(job_id)
    path = log_of(job)
    while not path.exists() and not job.state.is_over:
        sleep(_ASK_SECONDS)
        job = slurm.read.job(job_id)
    with _open(path) as file:
        text = file.read().decode(errors="replace")
        yield text if tail is None else "".join(text.splitlines(keepends=True)[-tail:] if tail else [])
        asked = time.monotonic()
        while True:
            while block := file.read(_BLOCK):
                yield block.decode(errors="replace")
            if job.state.is_over:
                return
            sleep(_LOOK_SECONDS)
            if time.monotonic() - asked >= _ASK_SECONDS:  # asked before the file is read once more: nothing is missed
                job, asked = slurm.read.job(job_id), time.monotonic()


def log_of(job: Job) -> Path:
    """Return the job's log.

    Raises:
        RequestError: Slurm does not tell, as of jobs that slurmctld has forgotten.
    """
    if not job.stdout:
        raise RequestError(
            f"Slurm no longer knows where job {job.job_id} printed to",
            hint=f"it ran in {job.work_dir}; look there for {job.name}-{job.job_id}.log" if job.work_dir else "",
        )
    return Path(job.stdout)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise RequestError(
            "there is no such log (yet)", where=str(path), hint="`aistation job show` says why"
        ) from error
    except OSError as error:
        raise RequestError(f"can't be read: {error.strerror}", where=str(path)) from error
