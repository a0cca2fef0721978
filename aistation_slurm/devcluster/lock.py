"""Who changes a cluster holds its lock, so that two `up`s don't run at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.errors import NeedsRoot


def need_root() -> None:
    """Return if this is root.

    Raises:
        NeedsRoot: it isn't.
    """
    if os.geteuid() != 0:
        raise NeedsRoot(
            "a one-machine cluster needs root: it starts daemons and makes users", hint="the same with sudo"
        )


@contextmanager
def locked(paths: Paths, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the cluster's lock; wait, and say so, while another holds it.

    Raises:
        NeedsRoot: this isn't root.
    """
    need_root()
    paths.base.mkdir(parents=True, exist_ok=True)
    while True:
        with paths.lock.open("a+") as file:
            _take(file.fileno(), paths.name, say)
            if _is_still(file.fileno(), paths):
                yield
                return


def _take(descriptor: int, name: str, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another command is changing {name}; waiting for it")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_still(descriptor: int, paths: Paths) -> bool:
    """False if a `down` removed the file while we waited for it."""
    try:
        return paths.lock.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


@contextmanager
def base_locked(base: Path) -> Iterator[None]:
    """Hold what all clusters share: the choice of ports and networks, and the book of users."""
    base.mkdir(parents=True, exist_ok=True)
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
