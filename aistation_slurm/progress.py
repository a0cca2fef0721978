"""How far a training is: one line of JSON for each report. Standard library only, one file, Python 3.9 and newer.

    from aistation_slurm import progress
    progress.report(step, total, loss=loss)          # rank 0 only

The line goes to `progress.jsonl` in the run's folder, which the templates name in AISTATION_RUN_DIR; without it, and
without a path, nothing is written, so that a script with reports in it also runs anywhere else.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

FILE = "progress.jsonl"
_TAIL = 1 << 16


@dataclass(frozen=True)
class Progress:
    """One report."""

    step: int
    total: int | None
    time: float
    """Seconds since 1970."""
    restart_count: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def report(
    step: int, total: int | None = None, *, path: str | os.PathLike[str] | None = None, **metrics: float
) -> bool:
    """Append one line that says how far the training is; True where it was written.

    A training must not end because its folder is full: what can't be written is left out.
    """
    folder = os.environ.get("AISTATION_RUN_DIR")
    if path is None and not folder:
        return False
    line = {
        "step": step,
        "total": total,
        "time": round(time.time(), 3),
        "restart_count": int(os.environ.get("SLURM_RESTART_COUNT") or 0),
        "metrics": {name: float(value) for name, value in metrics.items()},
    }
    try:
        with open(path or os.path.join(folder or "", FILE), "ab") as file:  # one write: lines never mix
            file.write(json.dumps(line).encode() + b"\n")
    except OSError:
        return False
    return True


def read(path: str | os.PathLike[str]) -> Iterator[Progress]:
    """Yield every report in the file, oldest first; a line that was cut off by a crash is passed over."""
    try:
        with _open(path) as file:
            lines = file.read().splitlines()
    except OSError:
        return
    yield from filter(None, map(_parse, lines))


def latest(path: str | os.PathLike[str]) -> Progress | None:
    """Return the last report, reading only the end of the file; None where there is none."""
    try:
        with _open(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().splitlines()
    except OSError:
        return None
    return next(filter(None, map(_parse, reversed(lines))), None)


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a plain file: whoever looks at all jobs must not wait for a pipe that one user laid there."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return os.fdopen(number, "rb")
    os.close(number)
    raise OSError(f"{os.fspath(path)} is no plain file")


def _parse(line: bytes) -> Progress | None:
    try:
        raw = json.loads(line)
        return Progress(
            step=int(raw["step"]),
            total=None if raw.get("total") is None else int(raw["total"]),
            time=float(raw["time"]),
            restart_count=int(raw.get("restart_count", 0)),
            metrics={str(name): float(value) for name, value in dict(raw.get("metrics") or {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
