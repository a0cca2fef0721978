"""Looks at run folders with their owner's rights: a process of its own, started as that user by `resume_look`.

    python -I resume_eyes.py < [{"key", "work_dir", "folder", "array", "log"}, ...] > {key: what it saw}

Nothing here is done as root: a user's folder may hold links to whatever the user likes. As SlurmUser, whose number of
the owner is then the argument, a log is read only where the file is the owner's own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

if not __package__:  # started by its path, which needs no PYTHONPATH
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from aistation_slurm import checkpoint, progress
from aistation_slurm.jobs.judge.ending import last_run, tail_of

_LARGEST_REQUEST = 1 << 22
_FILES = 2000
"""So many entries of a checkpoint folder are looked at for the newest."""


def look(what: dict[str, Any], *, owner: int | None = None) -> dict[str, Any]:
    """Return what is seen of one run; `blind` says why nothing is.

    Args:
        what: the run's files.
        owner: where this process is not the run's owner, their uid: of another's file not a word is read.
    """
    seen: dict[str, Any] = {"blind": "", "folder": False, "step": None, "saved_at": None, "log": None, "sweep": False}
    try:
        os.listdir(what["work_dir"])
        seen["folder"] = Path(what["folder"]).is_dir()
        if seen["folder"]:
            seen.update(_saved(Path(what["folder"])))
        seen["sweep"] = bool(what["array"]) and _is_sweep(Path(what["array"]) / "job.json")
        if what["log"]:
            seen["log"] = _end_of(what["log"], owner)
    except FileNotFoundError as error:
        if str(error.filename) == what["work_dir"]:  # its file system may not be here
            seen["blind"] = f"there is no {what['work_dir']} on this machine"
        else:
            seen["log"] = ""  # it printed nothing
    except (OSError, checkpoint.CheckpointError) as error:
        seen["blind"] = str(error)[:500]
    return seen


def _end_of(log: str, owner: int | None) -> str | None:
    """Return what the last run printed at its end; None of a file that is another's, behind a link of the user's."""
    number = os.open(log, os.O_RDONLY | os.O_NONBLOCK)  # a log that may not be read raises, and is no empty one
    try:
        if owner is not None and os.fstat(number).st_uid != owner:
            return None
        return last_run(tail_of(number))
    finally:
        os.close(number)


def _is_sweep(request: Path) -> bool:
    try:
        raw = json.loads(request.read_bytes()[:_LARGEST_REQUEST])
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and bool(raw.get("sweep"))


def _saved(folder: Path) -> dict[str, Any]:
    checkpoints = folder / "checkpoints"
    saved_at, step = _newest(checkpoints), checkpoint.newest_step(checkpoints)
    if step is None and saved_at is not None:
        told = progress.latest(folder / progress.FILE)
        step = told.step if told else None
    return {"step": step, "saved_at": saved_at}


def _newest(folder: Path) -> float | None:
    """Return when the newest file below the folder was written, two folders deep; None where there is none."""
    times: list[float] = []
    folders = [(folder, 0)]
    while folders and len(times) < _FILES:
        here, depth = folders.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders += [(Path(entry.path), depth + 1)] if depth < 2 else []
                    elif "claims" not in here.parts:
                        times.append(entry.stat(follow_symlinks=False).st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=None)


def main() -> None:
    """Answer on stdout what was asked on stdin."""
    asked = json.load(sys.stdin)
    owner = int(sys.argv[1]) if len(sys.argv) > 1 else None
    json.dump({each["key"]: look(each, owner=owner) for each in asked}, sys.stdout)


if __name__ == "__main__":
    main()
