"""What every kind of change has in common: it says itself in one line, and knows the command that makes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from aistation_slurm.cluster.changes.effect import NONE, Effect
from aistation_slurm.slurm.writer.limits import Values


@dataclass(frozen=True, slots=True)
class Change:
    """What all changes have in common. They are made in the order of their rank."""

    rank: ClassVar[int] = 0

    effect: Effect = field(default=NONE, kw_only=True)
    """What must happen so that Slurm sees it."""
    jobs: tuple[int, ...] = field(default=(), kw_only=True)
    """The jobs that it touches, by id."""
    by_hand: tuple[str, ...] = field(default=(), kw_only=True)
    """What somebody changed in Slurm since the last apply, and this would undo."""

    def __str__(self) -> str:
        return "~"

    @property
    def sign(self) -> str:
        """`+` where it creates, `~` where it changes, `-` where it deletes."""
        return str(self)[0]

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change; nothing for a file."""
        return ()

    @property
    def count(self) -> int:
        """How many things it changes."""
        return 1


def words(values: Values) -> tuple[str, ...]:
    """Return sacctmgr's words for these values."""
    return tuple(f"{key}={value}" for key, value in values.items())


def line(what: str, names: tuple[str, ...], rest: Iterable[str]) -> str:
    """Return a change of things with names as one line."""
    return "  ".join(filter(None, [f"{what} {','.join(names)}", " ".join(each for each in rest if each)]))
