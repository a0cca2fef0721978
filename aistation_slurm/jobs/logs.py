"""A training's log as it grows: one file through every requeue, and what goes to stderr; of an array one a member."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import RequestError, SlurmError
from aistation_slurm.jobs.growing import GrowingFile
from aistation_slurm.jobs.named import JobName, find_jobs, shown_id
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.output_path import output_path

_LOOK_SECONDS = 0.3
_ASK_SECONDS = 2.0
_RESTART = re.compile(rb"^aistation: run \d+ of job \d+ on ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What of a log is wanted."""

    tail: int | None = None
    """The last so many lines of what stands already; None is all."""
    since_restart: bool = False
    """Only what the last run printed."""
    pattern: re.Pattern[str] | None = None
    """Only lines in which this is found."""
    only_stderr: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file that a job prints to; the prefix tells it from others."""

    path: Path
    prefix: str = ""


def read_log(slurm: Slurm, name: JobName, look: Look = Look()) -> Iterator[str]:
    """Yield what the job has printed so far, or the part of it that is wanted; of an array each member's in turn.

    Raises:
        RequestError: it has printed nothing yet, or this user may not read it.
        UnknownToSlurm: there is no such job.
    """
    jobs = _printing(slurm, name)
    sources = sources_of(slurm, jobs, look)
    if not sources:
        raise _nowhere(jobs[0])
    files = [_begun(each, look) for each in sources]
    if not any(each.exists for each in files):
        raise RequestError(
            "there is no such log (yet)", where=str(sources[0].path), hint="`aistation job show` says why"
        )
    for source, file in zip(sources, files, strict=True):
        yield from _shown(source, file, look, is_alone=len(sources) == 1)
        yield from _rest(source, file, look, is_alone=len(sources) == 1)


def follow_log(
    slurm: Slurm, name: JobName, look: Look = Look(), *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:  # fmt: skip
    """Yield what the job prints until it is over, through every requeue; of an array, members that start later too.

    Of one file every character is handed on as it comes; of several, whole lines, so that none is torn.

    Raises:
        RequestError: this user may not read it.
        UnknownToSlurm: there is no such job.
    """
    jobs = _printing(slurm, name)
    is_array = jobs[0].array_job_id is not None and name.task is None
    files: dict[Source, GrowingFile] = {}
    asked = time.monotonic()
    while True:
        is_over = all(each.state.is_over for each in jobs)
        if is_array or not any(each.exists for each in files.values()):  # a pattern such as %N is known late
            fresh = [each for each in sources_of(slurm, jobs, look) if each not in files]
            files |= {each: GrowingFile(each.path) if files else _begun(each, look) for each in fresh}
        if not files and is_over:
            raise _nowhere(jobs[0])
        is_alone = len(files) == 1 and not is_array
        for source, file in files.items():
            yield from _shown(source, file, look, is_alone=is_alone)
        if is_over:
            break
        sleep(_LOOK_SECONDS)
        if time.monotonic() - asked >= _ASK_SECONDS:  # asked before the files are read once more: nothing is missed
            jobs, asked = _asked_again(slurm, name, jobs), time.monotonic()
    if not any(each.exists for each in files.values()):
        raise RequestError(
            "there is no such log", where=str(next(iter(files)).path), hint="`aistation job show` says why"
        )
    for source, file in files.items():
        yield from _rest(source, file, look, is_alone=is_alone)


def sources_of(slurm: Slurm, jobs: Sequence[Job], look: Look) -> list[Source]:
    """Return the files that these jobs print to: each script's output, and its stderr where that goes elsewhere."""
    found: list[Source] = []
    is_array = len(jobs) > 1 or (jobs[0].array_job_id is not None and not jobs[0].array_task.isdecimal())
    for job in jobs:
        if job.array_job_id is not None and not job.array_task.isdecimal():
            continue  # members that wait together
        prefix = f"{shown_id(job)}: " if is_array else ""
        stdout, stderr = log_of(job), _stderr(slurm, job) if not is_array or look.only_stderr else None
        if stdout and not look.only_stderr:
            found.append(Source(stdout, prefix))
        if stderr and stderr != stdout:
            found.append(Source(stderr, prefix))
    return found


def log_of(job: Job) -> Path | None:
    """Return the job's log; of a job that slurmctld has forgotten the file where our templates, or Slurm, put it.

    None where it is in neither place.
    """
    if job.stdout:
        return Path(job.stdout)
    if not job.work_dir or job.state.is_waiting:
        return None
    names = [f"{job.name}-{job.job_id}.log", f"slurm-{job.job_id}.out"]
    if job.array_job_id is not None:
        member = f"{job.array_job_id}_{job.array_task}"
        names = [f"{job.name}-{member}.log", f"slurm-{member}.out"]
    return next((path for name in names if os.path.isfile(path := Path(job.work_dir, name))), None)


def _stderr(slurm: Slurm, job: Job) -> Path | None:
    """Return the file that the script complains to; None where slurmctld does not know it any more."""
    try:
        told = next((each.stderr for each in slurm.read.asked(job.job_id) if each.job_id == job.job_id), "")
    except SlurmError:
        return None
    path = output_path(
        told,
        work_dir=job.work_dir,
        job_id=job.job_id,
        array_job_id=job.array_job_id,
        array_task=job.array_task,
        user=job.user,
        name=job.name,
        node=job.batch_host,
    )
    return Path(path) if path else None


def _nowhere(job: Job) -> RequestError:
    return RequestError(
        f"Slurm no longer knows where job {shown_id(job)} printed to",
        hint=f"it ran in {job.work_dir}; look there for {job.name}-{shown_id(job)}.log" if job.work_dir else "",
    )


def _asked_again(slurm: Slurm, name: JobName, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs as they are now; a slurmctld that is away for a while ends nothing."""
    try:
        return _printing(slurm, name)
    except SlurmError:
        return list(jobs)


def _printing(slurm: Slurm, name: JobName) -> list[Job]:
    """Return the jobs that have a log: of a heterogeneous job the first part alone, which runs its script."""
    found = find_jobs(slurm, name)
    het = found[0].het_job_id
    if het is None:
        return found
    return found[:1] if not found[0].het_offset else find_jobs(slurm, JobName(het))[:1]


def _begun(source: Source, look: Look) -> GrowingFile:
    file = GrowingFile(source.path)
    if look.since_restart:
        file.go_to_last(_RESTART)
    if look.tail is not None:
        file.go_to_last_lines(look.tail)
    return file


def _shown(source: Source, file: GrowingFile, look: Look, *, is_alone: bool) -> Iterator[str]:
    """Yield what is new in the file."""
    if is_alone and look.pattern is None:
        yield from file.more()
        return
    for line in file.more_lines():
        if look.pattern is None or look.pattern.search(line):
            yield source.prefix + line


def _rest(source: Source, file: GrowingFile, look: Look, *, is_alone: bool) -> Iterator[str]:
    """Yield the last line, where it has no end."""
    if (rest := file.rest()) and (is_alone and look.pattern is None):
        yield rest
    elif rest and (look.pattern is None or look.pattern.search(rest)):
        yield f"{source.prefix}{rest}\n"
