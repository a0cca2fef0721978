"""What the log of the example training tells: its runs, how far it is, and when each phase of a start was over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_RUN = re.compile(r"aistation: run (\d+) of job (\d+) on (\S+) at (\d+(?:\.\d+)?)")
_PHASE = re.compile(r"phase: (.+) at (\d+(?:\.\d+)?)")
_STEP = re.compile(r"step (\d+)/(\d+) loss (\S+)")
_CHECKPOINT = re.compile(r"checkpoint of step (\d+)")
_RESUMED = re.compile(r"resumed from the checkpoint of step (\d+)")
_FINAL = re.compile(r"final loss (\S+)")


@dataclass(slots=True)
class Run:
    """One start of the job, as its log tells it; times are seconds since 1970."""

    restart: int
    nodes: str
    at: float
    """When the first line of the script ran."""
    phases: dict[str, float] = field(default_factory=dict)
    resumed_from: int | None = None
    first_step: int | None = None
    step: int = 0
    checkpoint: int | None = None


@dataclass(slots=True)
class TrainingLog:
    """All runs of one training, and how it ended."""

    runs: list[Run] = field(default_factory=list)
    total: int = 0
    final_loss: float | None = None

    @property
    def last(self) -> Run | None:
        """The newest run, or None before the first."""
        return self.runs[-1] if self.runs else None


def read_training_log(lines: Iterable[str]) -> TrainingLog:
    """Return what the lines tell; a line that tells nothing is passed over."""
    log = TrainingLog()
    for line in lines:
        if match := _RUN.search(line):
            log.runs.append(Run(int(match[1]), match[3], float(match[4])))
        elif (run := log.last) is not None:
            _read_line(line, run, log)
    return log


def _read_line(line: str, run: Run, log: TrainingLog) -> None:
    if match := _STEP.search(line):
        run.step, log.total = int(match[1]), int(match[2])
        run.first_step = run.first_step or run.step
    elif match := _PHASE.search(line):
        run.phases.setdefault(match[1], float(match[2]))
    elif match := _RESUMED.search(line):
        run.resumed_from = int(match[1])
    elif match := _CHECKPOINT.search(line):
        run.checkpoint = int(match[1])
    elif match := _FINAL.search(line):
        log.final_loss = float(match[1])
