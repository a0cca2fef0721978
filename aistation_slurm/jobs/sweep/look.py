"""How the members of a sweep stand: in the queue, in accounting, or, where Slurm has forgotten them, by their logs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import SlurmError
from aistation_slurm.jobs.sweep.folder import Array, Sweep
from aistation_slurm.jobs.sweep.tasks import is_cut, unfold
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

if TYPE_CHECKING:
    from aistation_slurm.slurm.connect import Slurm

_TAIL = 4096
_ENDED = re.compile(r"^aistation: run \d+ of job \d+ ended with code (\d+) at ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last array that was submitted for a member, and what Slurm says of it there."""

    member: int
    array: Array | None
    """None where it was never submitted."""
    job: Job | None = None
    """Of a member that still waits, the record of all that wait; None where Slurm knows nothing of it."""
    code: int | None = None
    """What its script ended with, as the log tells where Slurm does not."""
    tries: int = 1
    """How many arrays were submitted for it."""

    @property
    def state(self) -> JobState:
        """The state; UNKNOWN where neither Slurm nor the log tells."""
        if self.job:
            return self.job.state
        return JobState.UNKNOWN if self.code is None else JobState.FAILED if self.code else JobState.COMPLETED

    @property
    def is_unknown(self) -> bool:
        """True where it was submitted, and nothing tells what became of it."""
        return self.array is not None and self.state is JobState.UNKNOWN

    @property
    def job_name(self) -> str:
        """What Slurm calls it: `12_3`."""
        return f"{self.array.job_id}_{self.member - self.array.first}" if self.array else ""


def look(sweep: Sweep, slurm: Slurm) -> list[Attempt]:
    """Return the last attempt of each member, by what slurmctld says of it, else slurmdbd, else its log."""
    latest = {member: arrays[-1] for member, arrays in sweep.arrays_of().items()}
    wanted = {array.job_id for array in latest.values()}
    queue = [job for job in slurm.read.jobs(with_over=True) if (job.array_job_id or job.job_id) in wanted]
    past: list[Job] = []
    found = records(sweep.arrays, queue)
    if missing := {array.job_id for member, array in latest.items() if (array.job_id, member) not in found}:
        with suppress(SlurmError):  # without accounting there is nothing more to know
            past = slurm.read.history(job_ids=sorted(missing))
    found = records(sweep.arrays, past) | found
    return attempts(sweep, remainders(sweep.arrays, [*past, *queue]) | found)


def records(arrays: Sequence[Array], jobs: Iterable[Job]) -> dict[tuple[int, int], Job]:
    """Return (array, member) -> the job; members that wait together have one record, which is each one's own.

    A member that has a record of its own has left the rest: its own one counts.
    """
    by_id = {array.job_id: array for array in arrays}
    rest: dict[tuple[int, int], Job] = {}
    own: dict[tuple[int, int], Job] = {}
    for job in jobs:
        array = by_id.get(job.array_job_id or 0)
        if array is None or is_cut(job.array_task):
            continue
        named = {(array.job_id, array.first + task): job for task in unfold(job.array_task)}
        if job.array_task.isdecimal():
            own |= named
        else:
            rest |= named
    return rest | own


def remainders(arrays: Sequence[Array], jobs: Iterable[Job]) -> dict[tuple[int, int], Job]:
    """Return (array, member) -> a record that stands for every member of which nothing better is known.

    A rest that was cancelled names no members any more, only the array (seen on 22.05.8); slurmdbd cuts a long list of
    them short after some 64 characters.
    """
    by_id = {array.job_id: array for array in arrays}
    found: dict[tuple[int, int], Job] = {}
    for job in jobs:
        array = by_id.get(job.array_job_id or job.job_id)
        if array and (is_cut(job.array_task) or not job.array_task):
            found |= {(array.job_id, member): job for member in array.members()}
    return found


def attempts(sweep: Sweep, found: Mapping[tuple[int, int], Job]) -> list[Attempt]:
    """Return the last attempt of each member."""
    arrays = sweep.arrays_of()
    return [_attempt(sweep, member, arrays.get(member, []), found) for member in range(sweep.count)]


def _attempt(sweep: Sweep, member: int, arrays: Sequence[Array], found: Mapping[tuple[int, int], Job]) -> Attempt:
    if not arrays:
        return Attempt(member, None, tries=0)
    job = found.get((arrays[-1].job_id, member))
    return Attempt(member, arrays[-1], job, None if job else _code(sweep.log(arrays[-1], member)), len(arrays))


def _code(log: Path) -> int | None:
    """Return what the script ended with, as it says in the last line of its log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            codes = _ENDED.findall(file.read().decode(errors="replace"))
    except OSError:
        return None
    return int(codes[-1]) if codes else None
