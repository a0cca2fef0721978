"""The checkpoints of a training, for those who look on: names and times; nothing is claimed, and no state is read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aistation_slurm.checkpoint import MANIFEST

_STEP = re.compile(r"step-(\d{12})")
_CLAIM = re.compile(r"\d{6,}\.json")


@dataclass(frozen=True, slots=True)
class Saved:
    """One checkpoint that stands."""

    step: int
    at: datetime
    size: int
    """Bytes."""
    folder: Path


@dataclass(frozen=True, slots=True)
class Taken:
    """A run that took the folder over."""

    run_id: str
    job_id: str
    restart_count: int
    host: str
    at: datetime
    step: int | None
    """Of the newest checkpoint that it found; None where there was none."""


def takers(folder: Path) -> list[Taken]:
    """Return who took the folder over, oldest first; those whose claim can't be read are left out."""
    return sorted(_claims(folder / "claims"), key=lambda each: each.at)


def saved_in(folder: Path) -> list[Saved]:
    """Return the checkpoints that stand, of the run that holds the folder, oldest first; what is hidden is left out."""
    taken = takers(folder)
    return sorted(_standing(folder / "runs" / taken[-1].run_id), key=lambda each: each.step) if taken else []


def _claims(folder: Path) -> Iterator[Taken]:
    for name in _names(folder):
        if not _CLAIM.fullmatch(name):
            continue
        try:
            raw = json.loads((folder / name).read_bytes()) if (folder / name).is_file() else {}
            steps = [int(each) for each in raw.get("steps") or []]
            yield Taken(
                run_id=Path(str(raw["run_id"])).name,
                job_id=str(raw.get("job_id", "")),
                restart_count=int(raw.get("restart_count", 0)),
                host=str(raw.get("host", "")),
                at=datetime.fromtimestamp(float(raw.get("time", 0)), UTC),
                step=max(steps, default=None),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue


def _standing(folder: Path) -> Iterator[Saved]:
    for name in _names(folder):
        match = _STEP.fullmatch(name)
        try:
            if match:
                at = (folder / name / MANIFEST).stat().st_mtime
                yield Saved(int(match[1]), datetime.fromtimestamp(at, UTC), _size(folder / name), folder / name)
        except OSError:
            continue


def _size(folder: Path) -> int:
    """Return the bytes of all files below; ranks that save parts have folders of their own."""
    return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
