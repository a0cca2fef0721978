"""Files written whole, with the owner and the mode of what stood there, and on disk before anybody is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

AS_ROOT = "run it as root, or as whoever Slurm's files belong to"
MODE = 0o644


@dataclass(frozen=True, slots=True)
class Attributes:
    """Whose a file is, and who may read it."""

    mode: int = MODE
    uid: int = -1
    gid: int = -1


def attributes(path: Path) -> Attributes:
    """Return whose the file is; those of a new one where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Attributes()
    return Attributes(found.st_mode & 0o7777, found.st_uid, found.st_gid)


def beside(path: Path) -> Path:
    """Return where the file is written before it takes its place: in the same folder, behind any link."""
    place = path.resolve()
    return place.with_name(f".{place.name}.new")


def stage(path: Path, content: bytes, *, kept: Path | None = None) -> None:
    """Write the file beside the one that it is to replace, with that one's owner and mode, and on disk.

    `kept` is a file of the same content on the same disk: where the disk is full, it gets a second name instead.

    Raises:
        OSError: it can't be written; nothing of it is left.
    """
    fresh = beside(path)
    fresh.unlink(missing_ok=True)
    try:
        _fill(fresh, content, attributes(path if path.exists() or not kept else kept))
    except OSError:
        if kept is None:
            raise
        os.link(kept, fresh)


def switch(path: Path) -> None:
    """Put the staged file in its place, in one step; that needs no room on the disk."""
    place = path.resolve()
    beside(path).replace(place)
    sync_folder(place.parent)


def drop(paths: Iterable[Path]) -> None:
    """Take away what was staged and never took its place."""
    for path in paths:
        with suppress(OSError):
            beside(path).unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, like: Attributes | None = None) -> None:
    """Write the file in one step, and return once it is on disk.

    Raises:
        OSError: it can't be written; what stood there stands there.
    """
    fresh = path.with_name(f"{path.name}.part")
    _fill(fresh, content, like or Attributes(mode=0o600))
    fresh.replace(path)


def _fill(path: Path, content: bytes, like: Attributes) -> None:
    """Write a file of nobody's yet, or nothing of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if (like.uid, like.gid) != (-1, -1):
                with suppress(PermissionError):
                    os.fchown(file.fileno(), like.uid, like.gid)
            os.fchmod(file.fileno(), like.mode)
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Return once the folder's names are on disk; where it can't be told (some network file systems), at once."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
