"""How fast a training is, and when it will be done, by what it reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aistation_slurm.progress import Progress

_REPORTS = 50
"""The last so many tell the pace: an epoch's validation shall count, yesterday's slow file system not."""
_LEAST = 1.0
"""Seconds between the first and the last of them, below which they tell nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a training is."""

    seconds_a_step: float
    left: timedelta | None = None
    """Until its last step; None where nobody said which that is."""
    done_at: datetime | None = None

    def __str__(self) -> str:
        rate = 1 / self.seconds_a_step
        return f"{rate:.3g} steps/s" if rate >= 1 else f"{self.seconds_a_step:.3g} s/step"


def pace_of(reports: Sequence[Progress]) -> Pace | None:
    """Return the pace of the last run, by the clock of its own reports; None where it reported too little."""
    last = reports[-1] if reports else None
    run = [each for each in reports if last and each.restart_count == last.restart_count and each.time][-_REPORTS:]
    if last is None or len(run) < 2 or run[-1].time - run[0].time < _LEAST or run[-1].step <= run[0].step:
        return None
    seconds = (run[-1].time - run[0].time) / (run[-1].step - run[0].step)
    total = next((each.total for each in reversed(run) if each.total), None)
    if total is None or total < last.step:
        return Pace(seconds)
    left = timedelta(seconds=seconds * (total - last.step))
    return Pace(seconds, left, datetime.fromtimestamp(last.time, UTC) + left)
