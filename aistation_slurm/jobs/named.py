"""A job as a person names it: `1234`, a member of an array `1234_5`, a part of a heterogeneous job `1234+1`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aistation_slurm.errors import RequestError, UnknownToSlurm
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job

_NAME = re.compile(r"(?P<job_id>[1-9]\d{0,9})(?:_(?P<task>\d{1,9})|\+(?P<offset>\d{1,4}))?")
_RANGE = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+)(?::(?P<stride>\d+))?)?")


@dataclass(frozen=True, slots=True)
class JobName:
    """What a person wrote."""

    job_id: int
    task: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        task = "" if self.task is None else f"_{self.task}"
        return f"{self.job_id}{task}" + ("" if self.offset is None else f"+{self.offset}")

    def fits(self, job: Job) -> bool:
        """True where the job is meant: of an array or a heterogeneous job by its bare number, each of its parts."""
        if self.task is not None:
            return job.array_job_id == self.job_id and has_task(job.array_task, self.task)
        if self.offset is not None:
            return (job.het_job_id or job.job_id) == self.job_id and job.het_offset == self.offset
        return self.job_id in {job.job_id, job.array_job_id, job.het_job_id}


def read_job_name(text: str) -> JobName:
    """Return the job that is meant.

    Raises:
        RequestError: it names none.
    """
    match = _NAME.fullmatch(text.strip())
    if not match:
        raise RequestError(
            f"{text!r} is not the id of a job", hint="1234; of an array 1234_5; of a heterogeneous job 1234+1"
        )
    task, offset = match["task"], match["offset"]
    return JobName(int(match["job_id"]), None if task is None else int(task), None if offset is None else int(offset))


def shown_id(job: Job) -> str:
    """Return the id by which Slurm's commands show the job: `1234`, `1234_5`, `1234_[6-9]`, `1234+1`."""
    if job.array_job_id is not None and job.array_task:
        tasks = job.array_task.strip("[]").partition("%")[0]
        return f"{job.array_job_id}_{tasks if tasks.isdecimal() else f'[{tasks}]'}"
    return f"{job.het_job_id}+{job.het_offset}" if job.het_job_id is not None else str(job.job_id)


def find_jobs(slurm: Slurm, name: JobName) -> list[Job]:
    """Return the job, or all that the name means, in the order of their parts; from slurmdbd what is forgotten.

    Raises:
        UnknownToSlurm: there is none.
    """
    if name.task is None and name.offset is None:
        job = slurm.read.job(name.job_id)
        if job.array_job_id is None and job.het_job_id is None and job.job_id == name.job_id:
            return [job]
    held = [each for each in slurm.read.jobs(with_over=True) if name.fits(each)]
    known = {each.job_id for each in held}
    if not held or name.task is None:
        past = slurm.read.history(job_ids=(name.job_id,))
        held += [each for each in past if name.fits(each) and each.job_id not in known]
    if not held:
        raise UnknownToSlurm(f"no job {name}")
    return sorted(held, key=_order)


def find_job(slurm: Slurm, name: JobName) -> Job:
    """Return the one job that the name means; of a heterogeneous job its first part.

    Raises:
        UnknownToSlurm: there is none.
        RequestError: it is an array with more than one member.
    """
    found = find_jobs(slurm, name)
    if len(found) > 1 and found[0].array_job_id is not None:
        raise RequestError(
            f"job {name} is an array of {len(found)} members",
            hint=f"name one of them, such as {shown_id(found[0])}; `aistation job list --members` shows them",
        )
    return found[0]


def has_task(tasks: str, task: int) -> bool:
    """True where the array's members that the text names, `7` or `[1-9:2,12%4]`, are with this one."""
    parts: Sequence[str] = tasks.strip("[]").partition("%")[0].split(",")
    return any(_is_in(match, task) for part in parts if (match := _RANGE.fullmatch(part)))


def _is_in(match: re.Match[str], task: int) -> bool:
    first = int(match["first"])
    return task in range(first, int(match["last"] or first) + 1, max(1, int(match["stride"] or 1)))


def _order(job: Job) -> tuple[int, int]:
    first = re.match(r"\[?(\d+)", job.array_task)
    return job.het_offset, int(first[1]) if first else job.job_id
