"""Asks Slurm when a changed job would start, by `sbatch --test-only`, and no more often than a minute allows.

A try costs slurmctld a submission's work under its locks, so that 120 impatient users must not try as they like: each
user's tries of the last minute stand in a file of theirs, for all their terminals together.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aistation_slurm.errors import SlurmError, SlurmUnreadable
from aistation_slurm.jobs.why.shape import Shape
from aistation_slurm.slurm.model import Job, Partition
from aistation_slurm.slurm.units import read_time
from aistation_slurm.slurm.writer import SlurmWriter

PER_MINUTE = 10
_MINUTE = timedelta(minutes=1)
_ANSWER = re.compile(
    r"Job \d+ to start at (?P<start>\S+)(?: [^;]*?)? using \d+ processors on nodes? (?P<nodes>[^\s;]+)"
)
_PREEMPTS = re.compile(r"Preempts: (?P<jobs>[\d,]+)")
_NO_LIMIT = 2**32 - 1
_CENTURY = 100 * 365 * 24 * 60
_SAME = timedelta(seconds=2)
"""How far apart our clock and slurmctld's may be."""
_SCRIPT = "#!/bin/sh\nexit 0\n"
"""In place of a script that we may not read."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What Slurm says of one try."""

    start: datetime | None = None
    """None where Slurm refused it."""
    is_now: bool = False
    """True where nodes are free at once."""
    nodes: str = ""
    preempts: tuple[int, ...] = ()
    refused: str = ""
    """Why, in Slurm's words."""


class Tries:
    """Up to so many tries a minute, counted in a file; where none can be written, within this object alone."""

    def __init__(self, file: Path, *, per_minute: int = PER_MINUTE) -> None:
        self.file = file
        self.per_minute = per_minute
        self._here: list[float] = []

    def allowed(self, now: datetime) -> bool:
        """True where one more try may be made now; then it is counted."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            self._here, is_allowed = one_more(self._here, now, self.per_minute)
            return is_allowed
        with open(descriptor, "r+", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            made, is_allowed = one_more(_read(held.read()), now, self.per_minute)
            held.seek(0)
            held.truncate()
            json.dump(made, held)
        return is_allowed


def one_more(made: list[float], now: datetime, per_minute: int) -> tuple[list[float], bool]:
    """Return the tries of the last minute, with one made now if that is allowed, and whether it is.

    A time that is yet to come, of a clock that was put back, counts no longer than a minute either.
    """
    second = now.timestamp()
    recent = [each for each in made if abs(second - each) < _MINUTE.total_seconds()]
    if len(recent) >= per_minute:
        return recent, False
    return [*recent, second], True


def tries_file(environ: Mapping[str, str]) -> Path:
    """Return where a user's tries are counted: below XDG_STATE_HOME, else in the home folder."""
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path(environ.get("HOME", "/nonexistent")) / ".local" / "state"
    return base / "aistation" / "tries.json"


def try_shape(write: SlurmWriter, shape: Shape, script: str, *, delays: Sequence[timedelta] = ()) -> Tried | None:
    """Return when Slurm would find nodes for a job of this shape; nothing is submitted. None where it tells no time.

    Slurm looks at what runs and at reservations, and at neither quotas in use nor who waits (job_start_data in
    src/slurmctld/job_scheduler.c, 22.05 to 26.05): those are looked at here, by `start.estimate`. What it adds for
    the queue is taken off again.
    """
    asked_at = datetime.now(UTC)
    try:
        tried = read_answer(write.sbatch_test(script or _SCRIPT, *shape.options()))
    except SlurmUnreadable:
        return None
    except SlurmError as error:
        return Tried(refused=error.text)
    if tried.start is None:
        return None
    if is_at_once(tried.start, (asked_at, datetime.now(UTC)), delays):
        return replace(tried, start=asked_at, is_now=True)
    return replace(tried, start=max(asked_at, tried.start - delays[0]) if delays else tried.start)


def delays_of(partition: Partition, queue: Iterable[Job], priority: int) -> list[timedelta]:
    """Return what slurmctld may have added for the queue to the start that it tells, the likeliest first.

    It adds the work of all that wait in the partition with at least the tried job's priority (ours among them),
    whatever they wait for, over the partition's CPUs, in whole minutes (_delayed_job_start_time in
    src/slurmctld/job_scheduler.c, 22.05 to 26.05). A job that was never submitted has a priority a little below ours.
    """
    waiting = [each for each in queue if each.state.is_waiting and each.partition.split(",")[0] == partition.name]
    on_each = max(1, partition.total_cpus // max(1, partition.total_nodes))
    total, found = 0, list[timedelta]()
    for level in sorted({each.priority for each in waiting}, reverse=True):
        of_level = (each for each in waiting if each.priority == level)
        total += sum(_work(each, on_each, partition.max_time) for each in of_level)
        minutes = min(total // max(1, partition.total_cpus), _CENTURY)
        if level <= priority:
            found.append(timedelta(minutes=minutes))
    return found or [timedelta(minutes=min(total // max(1, partition.total_cpus), _CENTURY))]


def is_at_once(start: datetime, asked: tuple[datetime, datetime], delays: Sequence[timedelta]) -> bool:
    """True where Slurm found nodes while it was asked (from, to), and then added one of these delays for the queue."""
    since, until = asked[0] - _SAME, asked[1] + _SAME
    return any(since <= start - delay <= until for delay in (timedelta(), *delays))


def _work(job: Job, cpus_on_each: int, longest: timedelta | None) -> int:
    limit = job.time_limit or longest
    minutes = int(limit.total_seconds()) // 60 if limit else _NO_LIMIT
    nodes = max(1, job.tres.get("node", 0) or job.node_count)
    return max(job.tres.get("cpu", job.cpus), nodes * cpus_on_each) * minutes


def read_answer(text: str) -> Tried:
    """Return what `sbatch --test-only` says; `Preempts:` names whose place it would take.

    Raises:
        SlurmUnreadable: no start is told.
    """
    match = _ANSWER.search(text)
    if not match:
        raise SlurmUnreadable(f"no start in {text!r}", where="sbatch --test-only")
    preempts = _PREEMPTS.search(text)
    jobs = tuple(map(int, preempts["jobs"].strip(",").split(","))) if preempts else ()
    return Tried(start=read_time(match["start"]), nodes=match["nodes"], preempts=jobs)


def _read(text: str) -> list[float]:
    try:
        made = json.loads(text or "[]")
    except ValueError:
        return []
    return [float(each) for each in made if isinstance(each, int | float)] if isinstance(made, list) else []
