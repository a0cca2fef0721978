"""A job's life as a line of time: what happened when, from slurmdbd, the log, the reports and the checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aistation_slurm.jobs.logs import log_of
from aistation_slurm.jobs.metrics import read_metrics
from aistation_slurm.jobs.run_folder import run_folder
from aistation_slurm.jobs.run_log import LogLine, read_run_log
from aistation_slurm.jobs.saved import Saved, Taken, saved_in, takers
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

_SIGNALS = {137: "KILL", 143: "TERM"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    at: datetime
    rank: int
    """Of those of the same second, what comes first: Slurm tells whole seconds, others do not."""
    what: str
    detail: str = ""


def events_of(slurm: Slurm, job: Job) -> list[Event]:
    """Return the job's life so far, oldest first; what this user may not read is left out."""
    folder = run_folder(job)
    log = log_of(job)
    rows = slurm.read.history(job_ids=(job.array_job_id or job.job_id,), duplicates=True)
    own = [each for each in rows if each.job_id == job.job_id]
    checkpoints = folder.checkpoints if folder else None
    return timeline(
        job,
        own,
        read_run_log(log) if log else [],
        read_metrics(job, folder, log),
        takers(checkpoints) if checkpoints else [],
        saved_in(checkpoints) if checkpoints else [],
    )


def timeline(  # noqa: PLR0917  (what each of them tells is of a kind of its own)
    job: Job,
    rows: Sequence[Job],
    told: Sequence[LogLine],
    reports: Sequence[Progress],
    taken: Sequence[Taken],
    saved: Sequence[Saved],
) -> list[Event]:
    """Return the events that all these tell, oldest first. Pure."""
    found = [
        *_of_slurm(job, rows or [job]),
        *_of_log(told, known=bool(rows)),
        *_of_reports(reports),
        *(_taken(each) for each in taken if each.step is not None),
        *(Event(each.at, 5, "checkpoint saved", f"step {each.step}") for each in saved),
    ]
    return sorted(found, key=lambda event: (int(event.at.timestamp()), event.rank, event.at))


def _of_slurm(job: Job, rows: Sequence[Job]) -> Iterator[Event]:
    ordered = sorted(rows, key=lambda row: (row.submit_time or _NEVER, row.start_time or _NEVER))
    for index, row in enumerate(ordered):
        is_last = index == len(ordered) - 1
        if index == 0 and row.submit_time:
            yield Event(row.submit_time, 0, "submitted", f"to {row.partition}" if row.partition else "")
        if row.eligible_time and row.submit_time and (row.eligible_time - row.submit_time).total_seconds() > 1:
            yield Event(row.eligible_time, 1, "may start", "the wait after its requeue was over" if index else "")
        if row.start_time and not (is_last and job.state.is_waiting):
            yield Event(row.start_time, 2, "started", f"on {row.nodes}, run {index}")
        state = job.state if is_last else row.state
        if row.end_time and (state.is_over or not is_last):
            yield Event(row.end_time, 8, _END.get(state, state.value.lower()), _how(row if not is_last else job, state))


_NEVER = datetime.max.replace(tzinfo=UTC)
_END = {
    JobState.REQUEUED: "requeued",
    JobState.NODE_FAIL: "lost its node",
    JobState.PREEMPTED: "preempted",
    JobState.TIMEOUT: "ended by its time limit",
    JobState.OUT_OF_MEMORY: "ran out of memory",
}


def _how(row: Job, state: JobState) -> str:
    code, _, signal = row.exit_code.partition(":")
    if state.is_success or state in {JobState.REQUEUED, JobState.NODE_FAIL, JobState.PREEMPTED}:
        return ""
    if signal not in {"", "0"}:
        return f"by signal {signal}"
    return f"exit code {code}" if code not in {"", "0"} else ""


def _of_log(told: Iterable[LogLine], *, known: bool) -> Iterator[Event]:
    for line in told:
        if line.at is None:
            continue
        if line.what == "began":
            yield Event(line.at, 3, "script began", f"run {line.run}" + ("" if known else f" on {line.nodes}"))
        elif line.what == "ended":
            signal = _SIGNALS.get(line.code or 0, "")
            yield Event(line.at, 6, "script ended", f"code {line.code}" + (f", by {signal}" if signal else ""))
        elif line.what == "requeued":
            yield Event(line.at, 6, "asked to be requeued", "by its script, to go on from its checkpoint")
        elif line.what == "told":
            yield Event(line.at, 4, "told to end", line.why.removeprefix("DUE TO ").lower() or "cancelled")


def _of_reports(reports: Sequence[Progress]) -> Iterator[Event]:
    for run in sorted({each.restart_count for each in reports}):
        own = [each for each in reports if each.restart_count == run and each.time]
        if not own:
            continue
        yield Event(_moment(own[0]), 5, "first report", f"step {_step(own[0])}")
        if len(own) > 1:
            yield Event(_moment(own[-1]), 5, "last report", f"step {_step(own[-1])}")


def _taken(each: Taken) -> Event:
    return Event(each.at, 4, "went on", f"from the checkpoint of step {each.step}, on {each.host}")


def _step(report: Progress) -> str:
    return f"{report.step} of {report.total}" if report.total else str(report.step)


def _moment(report: Progress) -> datetime:
    return datetime.fromtimestamp(report.time, UTC)
