"""A log gone through for what the training measured: the shapes put together, run by run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aistation_slurm.jobs.metrics.shapes import Sighting, look_at, pieces
from aistation_slurm.progress import Progress

_TAIL = 1 << 16
_BLOCK = 1 << 20
_LOOKED_AT = 150
"""Pieces from the end: a bar is drawn again and again, and says the same each time."""
_RUN = re.compile(r"aistation: run (?P<run>\d+) of job \d+ on ")


def read_log_metrics(path: Path) -> list[Progress]:
    """Return what the log says of the training, oldest first; nothing where it can't be read.

    A bar is drawn again for each step: of those of one step, the last counts.
    """
    walk, found = _Walk(), list[Progress]()
    try:
        if not path.is_file():  # a pipe would be waited for
            return []
        written = path.stat().st_mtime
        for text in _blocks(path):
            for report in walk.feed(pieces(text)):
                _add(found, report)
        for report in walk.end():
            _add(found, report)
    except OSError:
        return []
    return [*found[:-1], replace(found[-1], time=written)] if found else []


def last_in_log(path: Path) -> Progress | None:
    """Return the last step that the end of the log tells, and the last value of each metric there."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL))
            text, written = file.read().decode(errors="replace"), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    last: Progress | None = None
    walk = _Walk()
    for report in [*walk.feed(_newest(list(pieces(text)))), *walk.end()]:
        metrics = {**last.metrics, **report.metrics} if last else report.metrics
        last = replace(report, metrics=metrics, total=report.total or (last.total if last else None))
    return replace(last, time=written) if last else None


@dataclass
class _Walk:
    """What is known at this place of the log."""

    restart_count: int = 0
    step: int = 0
    total: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    held: dict[str, float] = field(default_factory=dict)
    """What was measured at the step that the next bar will tell."""

    def feed(self, told: Iterable[str]) -> Iterator[Progress]:
        """Yield a report for each piece that says something new."""
        for piece in told:
            if "aistation: run " in piece and (match := _RUN.search(piece)):
                self._begin_run(int(match["run"]))
            elif sighting := look_at(piece):
                yield from self._told(sighting)

    def end(self) -> Iterator[Progress]:
        """Yield what still waits for its step."""
        if self.held:
            yield self._report(self.held)
            self.held = {}

    def _begin_run(self, run: int) -> None:
        self.held = {}
        self.restart_count, self.step, self.total, self.epoch, self.epochs = run, 0, None, None, None

    def _told(self, sighting: Sighting) -> Iterator[Progress]:
        if sighting.epoch is not None:
            self.epoch, self.epochs = sighting.epoch, sighting.epochs
            return
        if sighting.comes_first:
            yield from self.end()
            self.held = dict(sighting.metrics)
            return
        self.step, self.total = self._whole(sighting)
        epoch = {"epoch": float(self.epoch)} if sighting.is_in_epoch and self.epoch is not None else {}
        yield self._report({**self.held, **sighting.metrics, **epoch})
        self.held = {}

    def _report(self, metrics: dict[str, float]) -> Progress:
        return Progress(self.step, self.total, 0.0, self.restart_count, metrics)

    def _whole(self, sighting: Sighting) -> tuple[int, int | None]:
        """Return step and total of the whole training, where the piece counts from its epoch's beginning."""
        step, total = sighting.step or 0, sighting.total
        if not sighting.is_in_epoch:
            return step, total
        if self.epoch is None or total is None:
            return step, None
        return (self.epoch - 1) * total + step, self.epochs * total if self.epochs else None


def _newest(told: Sequence[str]) -> list[str]:
    """Return the last pieces, and of those before them what tells the run and the epoch that they belong to."""
    early, late = told[:-_LOOKED_AT], told[-_LOOKED_AT:]
    where = [each for each in early if each.startswith(("aistation: run ", "Epoch ")) and "|" not in each]
    return [*where, *late]


def _add(found: list[Progress], report: Progress) -> None:
    last = found[-1] if found else None
    if last and (last.step, last.restart_count) == (report.step, report.restart_count):
        found[-1] = replace(report, metrics={**last.metrics, **report.metrics})
    else:
        found.append(report)


def _blocks(path: Path) -> Iterator[str]:
    """Yield the file in blocks that end where a line ends, so that none is cut in two."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole, newline, rest = (rest + block).rpartition(b"\n")
            yield (whole + newline).decode(errors="replace")
    yield rest.decode(errors="replace")
