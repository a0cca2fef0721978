"""The table of a sweep: each member with its parameters, its state and what it last reported; best first."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.metrics import last_metrics
from aistation_slurm.jobs.sweep.folder import Array, Sweep
from aistation_slurm.jobs.sweep.look import Attempt
from aistation_slurm.jobs.sweep.values import Params
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.states import JobState

_MORE_IS_BETTER = re.compile(r"acc|auc|f1|score|reward|return|precision|recall|bleu|map|r2|iou|dice", re.IGNORECASE)
_WRONG = re.compile(r"loss|err|perplexity|mae|mse", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Member:
    """One row."""

    attempt: Attempt
    params: Params
    progress: Progress | None = None
    """Its last report; of a member that was started again, an earlier array's until it reports anew."""

    @property
    def number(self) -> int:
        """Which member it is, from 0 on."""
        return self.attempt.member

    @property
    def state(self) -> JobState:
        """Its state."""
        return self.attempt.state

    @property
    def metrics(self) -> Mapping[str, float]:
        """What it last reported."""
        return self.progress.metrics if self.progress else {}


@dataclass(frozen=True, slots=True)
class Table:
    """All members of a sweep, best first."""

    sweep: Sweep
    members: Sequence[Member]
    by: str = ""
    """The metric that they are sorted by; empty where there is none, and they stand by number."""
    is_max: bool = False
    """True where the largest is the best."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many are in which state."""

    @property
    def best(self) -> Member | None:
        """The member with the best metric; None where none has reported it."""
        first = self.members[0] if self.members and self.by else None
        return first if first and is_number(first.metrics.get(self.by)) else None

    @property
    def metric_names(self) -> list[str]:
        """Every metric that a member reported, the one that they are sorted by first."""
        names = {name for member in self.members for name in member.metrics}
        return sorted(names, key=lambda name: (name != self.by, name))

    @property
    def param_names(self) -> list[str]:
        """Every parameter, in the order in which they were named."""
        return list(dict.fromkeys(name for member in self.members for name in member.params))


def table_of(sweep: Sweep, attempts: Sequence[Attempt], *, by: str | None = None, is_max: bool | None = None) -> Table:
    """Return the table; without `by`, sorted by the metric that is most likely meant.

    Raises:
        RequestError: no member has reported such a metric.
    """
    params, arrays = sweep.members(), sweep.arrays_of()
    reports = (last_report(sweep, each, arrays.get(each.member, [])) for each in attempts)
    members = [Member(each, params[each.member], report) for each, report in zip(attempts, reports, strict=True)]
    chosen = chosen_metric(members, by)
    largest = better_if_more(chosen) if is_max is None else is_max
    counts = Counter(member.state.value for member in members)
    return Table(sweep, ranked(members, chosen, is_max=largest), chosen, largest, dict(counts.most_common()))


def last_report(sweep: Sweep, attempt: Attempt, arrays: Sequence[Array]) -> Progress | None:
    """Return what the member last measured, in whichever array it did; None where it has not.

    It need not have reported: its TensorBoard files and its log are looked at, too.
    """
    for array in reversed(arrays):
        folder, job = sweep.run_folder(array, attempt.member), attempt.job
        log = sweep.log(array, attempt.member)
        if found := last_metrics(job, folder, log) if job else folder.latest():
            return found
    return None


def chosen_metric(members: Sequence[Member], by: str | None) -> str:
    """Return the metric to sort by: the one that was named, else `loss`, else one of a loss, else the only one.

    Raises:
        RequestError: no member has reported such a metric.
    """
    names = sorted({name for member in members for name in member.metrics})
    if by is not None:
        if by not in names:
            hint = f"there are: {', '.join(names)}" if names else "no member has reported any metric yet"
            raise RequestError(f"no metric called {by!r}", where="--by", hint=hint)
        return by
    likely = [name for name in names if name == "loss"] or [name for name in names if "loss" in name.lower()]
    return (likely or names or [""])[0]


def better_if_more(metric: str) -> bool:
    """True where the largest is the best, by the metric's name: an accuracy, a score; not a loss, an error."""
    return bool(_MORE_IS_BETTER.search(metric)) and not _WRONG.search(metric)


def ranked(members: Sequence[Member], by: str, *, is_max: bool) -> list[Member]:
    """Return the members, best first; those without the metric, or with NaN, are last, by number."""

    def rank(member: Member) -> tuple[bool, float, int]:
        value = member.metrics.get(by)
        if value is None or not is_number(value):
            return (True, 0.0, member.number)
        return (False, -value if is_max else value, member.number)

    return sorted(members, key=rank)


def is_number(value: float | None) -> bool:
    """True where the value can be compared: not None, not NaN."""
    return value is not None and not math.isnan(value)
