"""What was changed for the user: a value that says itself in one line, the same words in command, page and mail."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADJUSTED = re.compile(r"(?P<what>\w+): (?P<asked>\S+) -> (?P<given>\S+) \((?P<why>.*)\)")


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One thing that was changed for the user, and why."""

    what: str
    asked: int | str
    given: int | str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.asked} -> {self.given} ({self.why})"


def read_adjustment(line: str) -> Adjustment | None:
    """Return what slurmctld's rules of submission say of one change; None where the line says something else."""
    found = _ADJUSTED.fullmatch(line)
    return Adjustment(found["what"], found["asked"], found["given"], found["why"]) if found else None
