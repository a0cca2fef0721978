"""Why a job waits, put together: looked at once, decided purely, the changes tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aistation_slurm.jobs.why.ahead import Ahead
from aistation_slurm.jobs.why.changes import Change, changes
from aistation_slurm.jobs.why.facts import facts_of, never
from aistation_slurm.jobs.why.limits import Limit, in_the_way, limits_of
from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.plan import Plan
from aistation_slurm.jobs.why.reasons import Reason, read_reason
from aistation_slurm.jobs.why.start import Start, estimate, expected
from aistation_slurm.jobs.why.tries import Tried
from aistation_slurm.slurm.model import Job

NOW = timedelta(seconds=5)
"""A start within so long is now: Slurm's next look at the queue."""
_WORTH_IT = timedelta(minutes=1)
"""A gain below that is none."""
_MOST_TRIED = 10

_ONE_OF_SEVERAL = frozenset({"Partition", "Account", "QOS"})

Try = Callable[[Change], Tried | None]
"""Asks Slurm about a change; None where it may not be asked now."""


@dataclass(frozen=True, slots=True)
class Better:
    """A change that would start the job sooner."""

    change: Change
    start: datetime
    is_now: bool
    was_tried: bool
    """True where Slurm itself was asked; False where its start is our estimate alone."""
    preempts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why a job waits."""

    job: Job
    reason: Reason
    limits: Sequence[Limit] = ()
    """Those in the way, the one that Slurm names first."""
    ahead: Sequence[Ahead] = ()
    start: Start
    never: str = ""
    """Why it can never start as it is; nothing where it can."""
    facts: Sequence[str] = ()
    """More that belongs to this reason: which job it depends on, who drained the node, ..."""
    better: Sequence[Better] = ()
    unseen: Sequence[str] = ()


def answer(look: Look, attempt: Try) -> Answer:
    """Return why the job waits, and what would start it sooner."""
    plan, reason = Plan(look), read_reason(look.job.reason)
    limits = in_the_way(limits_of(look.shape, look.rules, gpu_type=look.gpu_type), reason.limit)
    why_never = never(look)
    start = Start(None, "", "sure", ("it never starts as it is",)) if why_never else expected(plan)
    return Answer(
        job=look.job, reason=reason, limits=limits, ahead=plan.ahead(), start=start, never=why_never,
        facts=facts_of(look), better=find_better(plan, start, attempt), unseen=look.unseen,
    )  # fmt: skip


def find_better(plan: Plan, start: Start, attempt: Try) -> list[Better]:
    """Return the changes that help, those that gain most first.

    Each is reckoned first: one that quotas or those ahead would keep waiting just as long costs Slurm no try.
    """
    look = plan.look
    reckoned = [(change, at) for change in changes(plan) if (at := reckon(plan, change)) and _helps(at, start, look)]
    reckoned.sort(key=lambda pair: (pair[1] > look.now + NOW, pair[0].size))
    found = [judged(change, at, attempt(change), look) for change, at in reckoned[:_MOST_TRIED]]
    return _sorted([each for each in found if each and _helps(each.start, start, look)])


def reckon(plan: Plan, change: Change) -> datetime | None:
    """Return when the changed job would start by our estimate; None where it would not, or that can't be told."""
    if change.preempts:
        look = plan.look
        blocking = in_the_way(limits_of(change.shape, look.rules, gpu_type=look.gpu_type))
        return None if blocking else look.now
    return estimate(change.shape, plan, begin=change.begin)


def judged(change: Change, at: datetime, tried: Tried | None, look: Look) -> Better | None:
    """Return the change with its start, the later one of ours and of Slurm's; None where Slurm refuses it.

    Slurm's own word counts for the nodes, ours for the quotas and for those ahead.
    """
    if tried and tried.start is None:
        return None
    found = tried.start if tried and tried.start and not tried.is_now else look.now
    start = max(at, look.now, found)
    return Better(change, start, start <= look.now + NOW, tried is not None, tried.preempts if tried else ())


def _helps(at: datetime, start: Start, look: Look) -> bool:
    if start.at is None:
        return True
    return max(at, look.now) + _WORTH_IT <= start.at


def _sorted(found: list[Better]) -> list[Better]:
    """Return them by gain, then by size; without those that give up more than another of their kind for no gain."""
    found.sort(key=lambda each: (not each.is_now, 0.0 if each.is_now else each.start.timestamp(), each.change.size))
    kept: list[Better] = []
    for each in found:
        kind = _kind(each.change)
        if not any(_kind(one.change) == kind and one.change.size <= each.change.size for one in kept):
            kept.append(each)
    return kept


def _kind(change: Change) -> str:
    """Return what it changes; of a value that is more or less of something, without the value."""
    word = (change.command[3:] or change.command[1:2])[0]
    key = word.partition("=")[0]
    return word if key in _ONE_OF_SEVERAL else key
