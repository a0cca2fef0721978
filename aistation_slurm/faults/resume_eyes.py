"""Looks at run folders with their owner's rights: a process of its own, started as that user by `resume_look`.

    python -I resume_eyes.py < [{"key": ..., "work_dir": ..., "folder": ..., "log": ...}, ...] > {key: what it saw}

Nothing here is done as root: a user's folder may hold links to whatever the user likes.
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
from aistation_slurm.jobs.judge.ending import last_run, read_tail

_FILES = 2000
"""So many entries of a checkpoint folder are looked at for the newest."""


def look(what: dict[str, Any], *, with_log: bool) -> dict[str, Any]:
    """Return what is seen of one run; `blind` says why nothing is."""
    seen: dict[str, Any] = {"blind": "", "folder": False, "step": None, "saved_at": None, "log": None}
    try:
        os.listdir(what["work_dir"])
        seen["folder"] = Path(what["folder"]).is_dir()
        if seen["folder"]:
            seen.update(_saved(Path(what["folder"])))
        if with_log and what["log"]:
            os.close(os.open(what["log"], os.O_RDONLY | os.O_NONBLOCK))  # a log that may not be read is no empty one
            seen["log"] = last_run(read_tail(Path(what["log"])))
    except FileNotFoundError as error:
        if str(error.filename) == what["work_dir"]:  # its file system may not be here
            seen["blind"] = f"there is no {what['work_dir']} on this machine"
        else:
            seen["log"] = ""  # it printed nothing
    except (OSError, checkpoint.CheckpointError) as error:
        seen["blind"] = str(error)[:500]
    return seen


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
    with_log = "--with-log" in sys.argv
    json.dump({each["key"]: look(each, with_log=with_log) for each in asked}, sys.stdout)


if __name__ == "__main__":
    main()
