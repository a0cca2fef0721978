"""The folder that `--checkpoint-dir` names: whether a training can keep checkpoints there, and what it will go on from.

Looked at before anything is submitted: the job might wait a night, to find then that its folder is another user's.
"""

from __future__ import annotations

import errno
import os
import pwd
import secrets
from contextlib import suppress
from pathlib import Path

from aistation_slurm import checkpoint
from aistation_slurm.errors import RequestError

_FULL = {errno.ENOSPC: "its file system is full", errno.EDQUOT: "your storage quota is used up"}
_PROBE = b"\0" * 4096
_HINT = "name another --checkpoint-dir"


def look_at(folder: Path, *, make: bool) -> list[str]:
    """Return what is to be said of the folder; with `make` it is there afterwards, and can be written to.

    Raises:
        RequestError: it is no folder, another user's, not writable, or full.
    """
    folder = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise RequestError("is no folder", where=str(folder), hint=_HINT)
    standing = next(each for each in (folder, *folder.parents) if each.is_dir())
    if not os.access(standing, os.W_OK | os.X_OK):
        raise _not_writable(folder, standing)
    if make:
        _make(folder)
        _probe(folder)
    return _what_is_there(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = _FULL.get(error.errno or 0, error.strerror)
        raise RequestError(f"can't be made: {why}", where=str(folder), hint=_HINT) from error


def _probe(folder: Path) -> None:
    """Write a block, as a checkpoint would: rights are one thing, a full disk another."""
    probe = folder / f".look-{secrets.token_hex(4)}"
    try:
        with probe.open("xb") as file:
            file.write(_PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = _FULL.get(error.errno or 0, f"can't be written to ({error.strerror})")
        hint = "make room there: `aistation checkpoint prune`, or " + _HINT if error.errno in _FULL else _HINT
        raise RequestError(why, where=str(folder), hint=hint) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _not_writable(folder: Path, standing: Path) -> RequestError:
    owner = standing.stat().st_uid
    what = "" if standing == folder else f"can't be made: {standing} "
    if owner not in {os.geteuid(), 0}:
        return RequestError(
            f"{what}belongs to {_name(owner)}, and you may not write to it", where=str(folder), hint=_HINT
        )
    return RequestError(f"{what}can't be written to", where=str(folder), hint=_HINT)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _what_is_there(folder: Path) -> list[str]:
    """Return what the training will go on from, by names alone: whether it is whole is seen when it is read."""
    if not folder.is_dir():
        return []
    try:
        step = checkpoint.newest_step(folder)
    except checkpoint.CheckpointError as error:
        raise RequestError(f"its checkpoints can't be looked at: {error}", where=str(folder), hint=_HINT) from error
    half = sum(1 for _ in folder.glob("runs/*/.new-*"))
    passed = f"; {half} that {'was' if half == 1 else 'were'} not finished will be passed over" if half else ""
    if step is not None:
        return [f"the training goes on from the checkpoint of step {step} in {folder}{passed}"]
    if half:
        return [f"no checkpoint in {folder} was finished: the training begins at its beginning"]
    return []
