"""The answer in words, for a person and for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from aistation_slurm.jobs.why.ahead import Ahead
from aistation_slurm.jobs.why.answer import Answer, Better
from aistation_slurm.jobs.why.limits import Limit, amount
from aistation_slurm.jobs.why.reasons import Kind
from aistation_slurm.slurm.model import Job

_FEW = 3
_MANY = 100
"""So many of those ahead are named to a program."""
_IN_THE_QUEUE = frozenset({Kind.TURN, Kind.NODES, Kind.LIMIT, Kind.NOTHING, Kind.SLURM, Kind.UNKNOWN})
"""What a job waits for while who is ahead of it matters."""
Line = tuple[str, str]
"""What the line is about (empty: the same as the one before), and its text."""


def lines(answer: Answer, now: datetime) -> Iterator[Line]:
    """Yield the answer line by line, the sentence that matters most first."""
    yield "why", answer.reason.says + f" ({answer.reason.name})"
    if answer.never:
        yield "never", answer.never
    for limit in answer.limits:
        if str(limit) != answer.never:
            yield "limit", str(limit)
            yield from (("", text) for text in held_by(limit, now))
    yield from (("fact", text) for text in answer.facts if text != answer.never)
    if answer.reason.kind in _IN_THE_QUEUE and not answer.never:
        yield from _ahead(answer.ahead)
    yield from _start(answer, now)
    yield from (("unseen", each) for each in answer.unseen)


def held_by(limit: Limit, now: datetime) -> list[str]:
    """Return by whose jobs a limit is used up, those that hold most first; nothing where none runs."""
    holders = limit.holders if limit.used and not limit.is_for_ever else ()
    if not holders:
        return []
    texts = [_holder(each, limit, now) for each in holders[:_FEW]]
    more = f", and {len(holders) - _FEW} more" if len(holders) > _FEW else ""
    return ["held by " + ", ".join(texts) + more]


def start_of(better: Better, now: datetime) -> str:
    """Return `now`, `14:20` or `11-28 09:00`; with a mark where Slurm itself was not asked."""
    word = "now" if better.is_now else clock(better.start, now)
    return word if better.was_tried else f"{word} (not tried)"


def clock(moment: datetime, now: datetime) -> str:
    """Return the time of day on this machine's wall; with the date where that is another day."""
    here = moment.astimezone()
    return f"{here:%H:%M}" if here.date() == now.astimezone().date() else f"{here:%m-%d %H:%M}"


def as_json(answer: Answer) -> dict[str, Any]:
    """Return the answer for a program; times are ISO 8601."""
    return {
        "job_id": answer.job.job_id,
        "name": answer.job.name,
        "user": answer.job.user,
        "partition": answer.job.partition,
        "state": answer.job.state,
        "reason": {"name": answer.reason.name, "kind": answer.reason.kind, "says": answer.reason.says,
                   "text": answer.reason.text},
        "never": answer.never,
        "limits": [_limit(each) for each in answer.limits],
        "facts": list(answer.facts),
        "ahead": [
            {"job_id": each.job.job_id, "user": each.job.user, "priority": each.job.priority, "by": each.by,
             "is_in_line": each.is_in_line}
            for each in answer.ahead[:_MANY]
        ],
        "ahead_count": len(answer.ahead),
        "start": {"at": answer.start.at, "by": answer.start.by, "sure": answer.start.sure,
                  "because": list(answer.start.because)},
        "better": [_better(each) for each in answer.better],
        "unseen": list(answer.unseen),
    }  # fmt: skip


def _ahead(ahead: Sequence[Ahead]) -> Iterator[Line]:
    line = [each for each in ahead if each.is_in_line]
    if line:
        yield "ahead", f"{len(line)} {'job goes' if len(line) == 1 else 'jobs go'} first"
    for each in line[:_FEW]:
        yield "", f"{each.job.job_id} of {each.job.user} ({_wish(each.job)}): {each.by}"
    if len(line) > _FEW:
        yield "", f"... and {len(line) - _FEW} more"


def _start(answer: Answer, now: datetime) -> Iterator[Line]:
    start = answer.start
    if start.at is None:
        yield "start", "never, as it is" if answer.never else f"nobody knows: {start.because[0]}"
        return
    yield "start", f"about {clock(start.at, now)}, by {start.by}; {start.sure}"
    yield from (("", text) for text in start.because)


def _wish(job: Job) -> str:
    if job.gpus:
        return amount("gres/gpu", job.gpus)
    return amount("gres/shard", job.shards) if job.shards else amount("cpu", max(1, job.cpus))


def _holder(job: Job, limit: Limit, now: datetime) -> str:
    what = "" if limit.what == "jobs" else f"{amount(limit.what, job.tres.get(limit.what, 0))}, "
    until = f"until {clock(job.end_time, now)}" if job.end_time else "without a time limit"
    return f"{job.job_id} of {job.user} ({what}{until})"


def _limit(each: Limit) -> dict[str, Any]:
    return {
        "of": each.of, "name": each.name, "bound": each.bound, "whose": each.whose, "group": each.group,
        "what": each.what, "limit": each.most, "used": each.used, "wanted": each.wanted, "says": str(each),
        "held_by": [job.job_id for job in each.holders],
    }  # fmt: skip


def _better(each: Better) -> dict[str, Any]:
    return {
        "change": each.change.what, "command": list(each.change.command), "start": each.start, "is_now": each.is_now,
        "was_tried": each.was_tried, "size": round(each.change.size, 3), "preempts": list(each.preempts),
    }  # fmt: skip
