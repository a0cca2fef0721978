"""What the live view shows: running jobs with what they use now, and how their metric moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite

from aistation_slurm import progress
from aistation_slurm.errors import SlurmError
from aistation_slurm.jobs.efficiency import Efficiency, efficiency_of
from aistation_slurm.jobs.listing import Training, Wanted, headline, trainings
from aistation_slurm.jobs.pace import Pace, pace_of
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job, JobStep

_MOST = 64
"""Jobs whose nodes are asked in one go, and whose reports are read whole: those that fit on a screen."""
_SPAN = timedelta(seconds=10)
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Sample:
    """A job's CPU time at one look."""

    at: datetime
    cpu_time: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job of the view."""

    training: Training
    used: Efficiency | None = None
    """What its steps use now, of its own jobs; CPUs over its whole run."""
    cpus_now: float | None = None
    """CPUs that were busy since the look before."""
    pace: Pace | None = None
    line: str = ""
    """How the metric moved, as a row of blocks."""
    metric: str = ""

    @property
    def job(self) -> Job:
        """The job."""
        return self.training.job


@dataclass(frozen=True, slots=True)
class Frame:
    """One look at everything."""

    at: datetime
    rows: Sequence[Row]
    waiting: Sequence[Training] = ()
    ended: Sequence[Training] = ()
    trouble: str = ""
    """Why this look is an old one."""


@dataclass(slots=True)
class Looker:
    """Looks again and again, and remembers what it needs of the look before."""

    slurm: Slurm
    wanted: Wanted
    _before: dict[int, Sample] = field(default_factory=dict)
    _last: Frame | None = None

    def look(self, now: datetime) -> Frame:
        """Return what is to be seen now; while Slurm does not answer, the last look, and why it is old.

        Raises:
            SlurmError: Slurm does not answer at the first look.
        """
        try:
            found = trainings(self.slurm, self.wanted)
            running = [each for each in found if each.job.state.is_running or each.job.state.is_leaving][:_MOST]
            steps = self.slurm.read.running_usage(*(each.job.job_id for each in running))
        except SlurmError as error:
            if self._last is None:
                raise
            return Frame(self._last.at, self._last.rows, self._last.waiting, self._last.ended, trouble=str(error))
        rows = list(rows_of(running, steps, self._before, now))
        self._remember(rows, now)
        waiting = [each for each in found if each.job.state.is_waiting]
        ended = [each for each in found if each.job.state.is_over]
        self._last = Frame(now, rows, waiting, sorted(ended, key=_end, reverse=True))
        return self._last

    def _remember(self, rows: Sequence[Row], now: datetime) -> None:
        """Keep the CPU times, those of a moment ago for longer: sstat tells whole seconds."""
        for row in rows:
            last = self._before.get(row.job.job_id)
            if row.used and row.used.cpu_time is not None and (last is None or now - last.at >= _SPAN):
                self._before[row.job.job_id] = Sample(now, row.used.cpu_time)


def rows_of(
    running: Iterable[Training], steps: Iterable[JobStep], before: Mapping[int, Sample], now: datetime
) -> Iterable[Row]:
    """Yield a row for each running job; usage only of those whose steps are told."""
    of_job: dict[int, list[JobStep]] = defaultdict(list)
    for step in steps:
        of_job[step.job_id].append(step)
    for each in running:
        used = efficiency_of(each.job, of_job[each.job.job_id]) if each.job.job_id in of_job else None
        reports = list(progress.read(each.folder.progress_file)) if each.folder else []
        name = headline(each.progress, most=1).partition("=")[0]
        yield Row(
            training=each,
            used=used,
            cpus_now=_cpus_now(used, before.get(each.job.job_id), now),
            pace=pace_of(reports),
            line=sparkline([report.metrics[name] for report in reports if name in report.metrics]),
            metric=headline(each.progress, most=1),
        )


def sparkline(values: Sequence[float], *, width: int = 16) -> str:
    """Return how the values moved as a row of blocks, the newest last; long rows by the mean of each part."""
    told = [each for each in values if isfinite(each)]
    if len(told) < 2:
        return ""
    parts = min(width, len(told))
    cuts = [len(told) * index // parts for index in range(parts + 1)]
    means = [sum(told[start:end]) / (end - start) for start, end in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((each - low) * scale)] for each in means)


def _cpus_now(used: Efficiency | None, before: Sample | None, now: datetime) -> float | None:
    """Return the CPUs that were busy lately; over the whole run where there was no look for long enough."""
    if used is None or used.cpu_time is None or before is None or now - before.at < _SPAN / 2:
        return used.cpus_used if used else None
    return max(0.0, (used.cpu_time - before.cpu_time) / (now - before.at))


def _end(each: Training) -> float:
    return each.job.end_time.timestamp() if each.job.end_time else 0.0
