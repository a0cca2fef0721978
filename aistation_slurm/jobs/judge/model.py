"""How a job ended, the rules that class it, and what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

from aistation_slurm.slurm.states import JobState

Whose = Literal["success", "user", "platform", "unknown"]
Weight = Literal["decides", "cause", "general", "symptom", "last"]
WEIGHTS: tuple[Weight, ...] = get_args(Weight)
"""Strongest first: what stands whatever the log says, what breaks a job, what is said of many breaks, what only follows
from another rank's break, and what is left where the log says nothing."""
_WORDS: dict[Whose, str] = {
    "success": "ended well",
    "user": "the job's own fault",
    "platform": "not the job's fault",
    "unknown": "nobody's fault that can be told",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How one run of a job ended."""

    state: JobState
    exit_code: int = 0
    signal: int = 0
    derived: str = ""
    """`9:0`: the highest exit code of its steps, where slurmdbd was asked."""
    log_tail: str = ""
    """What this run printed last."""
    restart_count: int = 0
    elapsed: timedelta | None = None

    @property
    def exit_codes(self) -> frozenset[int]:
        """The exit codes of the script, and of its worst step."""
        return frozenset({self.exit_code, self._derived[0]} - {0})

    @property
    def signals(self) -> frozenset[int]:
        """The signals that ended the script or a step; a shell tells of them as 128 and the signal (bash(1))."""
        codes = {code - 128 for code in self.exit_codes if 128 < code <= 192}
        return frozenset((codes | {self.signal, self._derived[1]}) - {0})

    @property
    def _derived(self) -> tuple[int, int]:
        code, _, signal = self.derived.partition(":")
        return (int(code) if code.isdecimal() else 0, int(signal) if signal.isdecimal() else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table: it fits where everything that it names is so."""

    name: str
    whose: Whose
    why: str
    """A sentence for the job's owner."""
    retry: bool
    weight: Weight
    states: frozenset[JobState] = frozenset()
    exit_codes: frozenset[int] = frozenset()
    signals: frozenset[int] = frozenset()
    log: re.Pattern[str] | None = None
    """Looked for in each line of the log, without the rank that launchers put before it."""
    is_sites: bool = False

    def fits(self, ending: Ending) -> bool:
        """True where state, exit code and signal are as the rule says; its log line is another question."""
        return (
            (not self.states or ending.state in self.states)
            and (not self.exit_codes or bool(self.exit_codes & ending.exit_codes))
            and (not self.signals or bool(self.signals & ending.signals))
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whose fault it was, by which rule, and whether another try can help."""

    whose: Whose
    rule: str
    why: str
    retry: bool
    line: str = ""
    """The line of the log that says so, where one does."""

    def __str__(self) -> str:
        return f"{_WORDS[self.whose]}: {self.why} ({self.rule})"
