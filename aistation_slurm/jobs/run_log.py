"""What a log says of the job's life: the lines that our scripts print, and those of Slurm's own step daemon.

aistation: run 0 of job 12 on v100-[01-02] at 1795690466.301
aistation: run 0 of job 12 is requeued at 1795690480.012
aistation: run 1 of job 12 ended with code 0 at 1795690499.700
slurmstepd: error: *** JOB 12 ON v100-01 CANCELLED AT 2026-11-26T11:00:00 DUE TO TIME LIMIT ***
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

What = Literal["began", "ended", "requeued", "twice", "told"]

_AT = r"(?: at (?P<at>\d+(?:\.\d+)?))?"
_OURS = re.compile(
    rf"aistation: run (?P<run>\d+) of job \d+ (?:on (?P<nodes>\S+)|ended with code (?P<code>\d+)"
    rf"|is (?P<requeued>requeued)|was started (?P<twice>twice)){_AT}"
)
_SLURMS = re.compile(
    r"\*\*\* (?:JOB|STEP) \S+ ON (?P<node>\S+) CANCELLED AT (?P<when>[\dT:-]+)"
    r"(?P<why> DUE TO [A-Za-z0-9 ,()]+?)? \*\*\*"
)
_WORTH = ("aistation: run ", " CANCELLED AT ")
_LONGEST = 1 << 28
"""Bytes of a log that are gone through from its beginning."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that tells of the job's life."""

    what: What
    run: int
    at: datetime | None = None
    nodes: str = ""
    code: int | None = None
    why: str = ""
    """What slurmstepd says: `DUE TO TIME LIMIT`, `DUE TO PREEMPTION`; nothing where somebody cancelled it."""


def read_run_log(path: Path) -> list[LogLine]:
    """Return the lines that tell of the job's life, in their order; none where this user may not read the log."""
    try:
        if not path.is_file():
            return []
        with path.open(encoding="utf-8", errors="replace") as file:
            return list(run_lines(_up_to(file, _LONGEST)))
    except OSError:
        return []


def run_lines(lines: Iterable[str]) -> Iterator[LogLine]:
    """Yield what each line tells; one line of slurmstepd's counts for all the steps and nodes that say the same."""
    run, told = 0, set[tuple[int, str]]()
    for line in lines:
        if not any(each in line for each in _WORTH):
            continue
        if match := _OURS.search(line):
            run = int(match["run"])
            yield _ours(match, run)
        elif (match := _SLURMS.search(line)) and (run, match["why"] or "") not in told:
            told.add((run, match["why"] or ""))
            yield LogLine("told", run, _local(match["when"]), match["node"], why=(match["why"] or "").strip())


def _ours(match: re.Match[str], run: int) -> LogLine:
    at = datetime.fromtimestamp(float(match["at"]), UTC) if match["at"] else None
    if match["nodes"]:
        return LogLine("began", run, at, match["nodes"])
    if match["code"]:
        return LogLine("ended", run, at, code=int(match["code"]))
    return LogLine("requeued" if match["requeued"] else "twice", run, at)


def _local(text: str) -> datetime | None:
    """Return the moment that slurmstepd prints by its own clock, without a zone."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def _up_to(lines: Iterable[str], most: int) -> Iterator[str]:
    for line in lines:
        most -= len(line)
        if most < 0:
            return
        yield line
