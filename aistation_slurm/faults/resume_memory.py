"""What is remembered of trainings that may be started again: which there are, and what was decided about each run.

A row of `resumption` is written before anything is ordered, and there can be one for each run only: whoever writes it
acts, and of several at once that is one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, CursorResult, Engine, insert, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from aistation_slurm.errors import StoreError
from aistation_slurm.faults.resume import STALE, Past, Restart, Stop
from aistation_slurm.jobs.tag import Tag, read_tag
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.engine import session
from aistation_slurm.store.tables import Resumption, WatchedJob

_MANY = 400
"""SQLite takes a limited number of values in one question."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What was decided about one run of a job, for people."""

    job_id: int
    name: str
    user: str
    restart_count: int
    action: str
    rule: str
    why: str
    step: int | None
    decided_at: datetime
    done_at: datetime | None
    told_at: datetime | None
    note: str


def watch(engine: Engine, jobs: Sequence[tuple[Job, Tag]], now: datetime) -> None:
    """Remember the jobs, so that those which slurmctld forgets are known by what it said of them last."""
    with session(engine) as work:
        known = {(each.job_id, each.submission): each for each in _watched(work, [job.job_id for job, _ in jobs])}
        for job, tag in jobs:
            row = known.get((job.job_id, tag.submission))
            if row is None:
                work.add(_new(job, tag, now))
            elif row.restart_count != job.restart_count or (row.over and not job.state.is_over):
                row.restart_count, row.seen_at, row.over = job.restart_count, now, False
                work.add(row)


def _new(job: Job, tag: Tag, now: datetime) -> WatchedJob:
    return WatchedJob(
        job_id=job.job_id, submission=tag.submission, array_job_id=job.array_job_id, array_task=job.array_task[:64],
        name=job.name[:1024], user=job.user, comment=job.comment[:4096], work_dir=job.work_dir[:4096],
        stdout=job.stdout[:4096], restart_count=job.restart_count, seen_at=now,
    )  # fmt: skip


def _watched(work: Session, job_ids: Sequence[int]) -> list[WatchedJob]:
    found: list[WatchedJob] = []
    for start in range(0, len(job_ids), _MANY):
        few = job_ids[start : start + _MANY]
        found += work.exec(select(WatchedJob).where(col(WatchedJob.job_id).in_(few)))
    return found


def forgotten(engine: Engine, held: Collection[tuple[int, str]]) -> list[tuple[Job, Tag]]:
    """Return the watched jobs that slurmctld no longer holds, as it described them last."""
    with session(engine) as work:
        rows = list(work.exec(select(WatchedJob).where(col(WatchedJob.over).is_(False))))
    pairs = ((_job(row), read_tag(row.comment)) for row in rows if (row.job_id, row.submission) not in held)
    return [(job, tag) for job, tag in pairs if tag is not None]


def _job(row: WatchedJob) -> Job:
    return Job(
        job_id=row.job_id, array_job_id=row.array_job_id, array_task=row.array_task, name=row.name, user=row.user,
        comment=row.comment, work_dir=row.work_dir, stdout=row.stdout, restart_count=row.restart_count,
        state=JobState.UNKNOWN,
    )  # fmt: skip


def close(engine: Engine, keys: Iterable[tuple[int, str]], now: datetime) -> None:
    """Watch these jobs no more: nothing is left to do for them."""
    with session(engine) as work:
        for job_id, submission in keys:
            whom = (col(WatchedJob.job_id) == job_id, col(WatchedJob.submission) == submission)
            work.execute(update(WatchedJob).where(*whom).values(over=True, seen_at=now))


def history(engine: Engine, keys: Sequence[tuple[int, str]]) -> list[Past]:
    """Return what was decided about the runs of these jobs."""
    found: list[Past] = []
    with session(engine) as work:
        for start in range(0, len(keys), _MANY):
            pair = tuple_(col(Resumption.job_id), col(Resumption.submission))
            rows = work.exec(select(Resumption).where(pair.in_(list(keys[start : start + _MANY]))))
            found += [_past(row) for row in rows]
    return found


def _past(row: Resumption) -> Past:
    return Past(
        job_id=row.job_id, submission=row.submission, restart_count=row.restart_count, action=row.action,
        whose=row.whose, rule=row.rule, step=row.step, progressed=row.progressed, nodes=row.nodes, tries=row.tries,
        at=row.decided_at,
    )  # fmt: skip


def claim(engine: Engine, step: Restart | Stop, now: datetime) -> bool:
    """Write down what is going to be done; True for the one that may do it.

    What somebody else was to do, and did not within two minutes, is taken over, by one again.
    """
    ended = step.ended
    values: dict[str, object] = {
        "name": ended.job.name[:1024], "user": ended.job.user, "nodes": ended.job.nodes[:4096],
        "action": "restart" if isinstance(step, Restart) else "stop", "whose": ended.verdict.whose,
        "rule": ended.verdict.rule, "why": step.why[:1024], "step": ended.sight.step, "progressed": step.progressed,
        "decided_at": now, "done_at": None, "told_at": None, "note": "",
    }  # fmt: skip
    run = {"job_id": ended.job.job_id, "submission": ended.tag.submission, "restart_count": ended.job.restart_count}
    try:
        with session(engine) as work:
            work.execute(insert(Resumption).values(**run, tries=1, **values))
    except StoreError as error:
        if isinstance(error.__cause__, IntegrityError):
            return _take_over(engine, step, values, now)
        raise
    return True


def _take_over(engine: Engine, step: Restart | Stop, values: dict[str, object], now: datetime) -> bool:
    stale = (*_run(step), col(Resumption.action) == "restart", col(Resumption.decided_at) <= now - STALE)
    with session(engine) as work:
        done = work.execute(update(Resumption).where(*stale).values(tries=col(Resumption.tries) + 1, **values))
    return isinstance(done, CursorResult) and done.rowcount == 1


def _run(step: Restart | Stop) -> tuple[ColumnElement[bool], ...]:
    job = step.ended.job
    return (
        col(Resumption.job_id) == job.job_id,
        col(Resumption.submission) == step.ended.tag.submission,
        col(Resumption.restart_count) == job.restart_count,
    )


def settle(engine: Engine, step: Restart | Stop, **values: object) -> None:
    """Write down what came of it."""
    with session(engine) as work:
        work.execute(update(Resumption).where(*_run(step)).values(**values))


def resumed(engine: Engine, *, job_id: int | None = None, limit: int = 20) -> list[Resumed]:
    """Return what was decided last, newest first; of one job or of all."""
    asked = select(Resumption).order_by(col(Resumption.decided_at).desc(), col(Resumption.id).desc()).limit(limit)
    if job_id is not None:
        asked = asked.where(col(Resumption.job_id) == job_id)
    with session(engine) as work:
        return [
            Resumed(
                row.job_id, row.name, row.user, row.restart_count, row.action, row.rule, row.why, row.step,
                row.decided_at, row.done_at, row.told_at, row.note,
            )
            for row in work.exec(asked)
        ]  # fmt: skip
