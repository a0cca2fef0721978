"""The runs of a job: each start, where, how it ended, and how far it came; from slurmdbd, the log and the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from aistation_slurm.jobs.run_log import LogLine
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One start of a job, and what came of it."""

    number: int
    nodes: str = ""
    start: datetime | None = None
    end: datetime | None = None
    state: JobState = JobState.UNKNOWN
    """How it ended, as slurmdbd has it; of the last one the job's own."""
    why: str = ""
    """What its log says about its end."""
    first_step: int | None = None
    last_step: int | None = None

    @property
    def ended(self) -> str:
        """How it ended, in words; nothing while it runs."""
        words = _ENDS.get(self.state, "" if self.state.is_running else self.state.value.lower().replace("_", " "))
        return f"{words} ({self.why})" if words and self.why and self.why not in words else words or self.why


_ENDS: Mapping[JobState, str] = {
    JobState.REQUEUED: "requeued",
    JobState.TIMEOUT: "over its time limit",
    JobState.NODE_FAIL: "lost its node",
    JobState.PREEMPTED: "made room for another",
    JobState.CANCELLED: "cancelled",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.OUT_OF_MEMORY: "ran out of memory",
    JobState.PENDING: "",
    JobState.COMPLETING: "",
    JobState.UNKNOWN: "",
}

_SAID = {"DUE TO JOB REQUEUE": "", "DUE TO TIME LIMIT": "", "DUE TO NODE FAILURE": "", "DUE TO PREEMPTION": ""}
"""What slurmstepd says, where the state says it already."""


def runs_of(job: Job, rows: Sequence[Job], told: Sequence[LogLine], reports: Sequence[Progress]) -> list[Run]:
    """Return every run, oldest first.

    slurmdbd has a row for each, in which 22.05 does not say which restart it is: they are counted in the order of their
    starts. The log knows the numbers, and is there before slurmdbd has heard.
    """
    started = sorted((each for each in rows if each.start_time), key=lambda row: (row.start_time, row.submit_time))
    numbers = {line.run for line in told} | {report.restart_count for report in reports} | set(range(len(started)))
    last = max(numbers, default=-1)
    return [_run(number, job, started, told, reports, is_last=number == last) for number in sorted(numbers)]


def steps_lost(runs: Sequence[Run]) -> int:
    """Return how many steps were done again, over all restarts."""
    return sum(
        max(0, before.last_step - after.first_step + 1)
        for before, after in pairwise(runs)
        if before.last_step is not None and after.first_step is not None
    )


def time_running(runs: Sequence[Run], now: datetime) -> timedelta:
    """Return how long its runs took, all together."""
    return sum(((run.end or now) - run.start for run in runs if run.start), timedelta())


def _run(
    number: int,
    job: Job,
    started: Sequence[Job],
    told: Sequence[LogLine],
    reports: Sequence[Progress],
    *,
    is_last: bool,
) -> Run:
    row = started[number] if number < len(started) else None
    lines = [line for line in told if line.run == number]
    began = next((line for line in lines if line.what == "began"), None)
    steps = [report.step for report in reports if report.restart_count == number]
    state = job.state if is_last else row.state if row else JobState.REQUEUED
    end = row.end_time if row and (row.state.is_over or not is_last) else None
    if is_last and job.state.is_over:
        end = job.end_time or end
    return Run(
        number=number,
        nodes=row.nodes if row else began.nodes if began else "",
        start=(row.start_time if row else None) or (began.at if began else None),
        end=end or _end_told(lines),
        state=state,
        why=_why(lines),
        first_step=steps[0] if steps else None,
        last_step=max(steps, default=None),
    )


def _end_told(lines: Sequence[LogLine]) -> datetime | None:
    return next((line.at for line in reversed(lines) if line.what in {"ended", "requeued"}), None)


def _why(lines: Sequence[LogLine]) -> str:
    for line in lines:
        if line.what == "told" and line.why:
            return _SAID.get(line.why, line.why.removeprefix("DUE TO ").lower())
        if line.what == "ended" and line.code:
            return f"code {line.code}"
    return "before its time limit" if any(line.what == "requeued" for line in lines) else ""
