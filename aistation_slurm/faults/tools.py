"""What the rounds of recovery work with, and how they speak."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from aistation_slurm.faults.policy import Policy
from aistation_slurm.slurm.connect import Slurm


def utc_now() -> datetime:
    """Return this moment, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the rounds of recovery work with."""

    slurm: Slurm
    engine: Engine
    run_dir: Path
    policy: Policy
    actor: str = "aistation"
    """Who we are in the audit."""
    clock: Callable[[], datetime] = utc_now


@dataclass(slots=True)
class Teller:
    """Says a thing when it begins, and again each minute while it lasts: a round runs four times a second."""

    again: timedelta = timedelta(minutes=1)
    _said: dict[Hashable, datetime] = field(default_factory=dict)

    def __call__(self, about: Hashable, line: str, *, now: datetime) -> list[str]:
        """Return the line, or nothing where it was said a moment ago."""
        said = self._said.get(about)
        if said is not None and now - said < self.again:
            return []
        self._said = {key: at for key, at in self._said.items() if now - at < self.again}
        self._said[about] = now
        return [line]
