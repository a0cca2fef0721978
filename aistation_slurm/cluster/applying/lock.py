"""One apply at a time: who holds the lock beside Slurm's files, and for how long."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from aistation_slurm.cluster.history.entry import whoever
from aistation_slurm.cluster.writing.whole import AS_ROOT
from aistation_slurm.errors import NotPermitted, UnsafePlan

LOCK = ".aistation.lock"
TURNS = 50


@contextmanager
def alone(conf_dir: Path) -> Iterator[None]:
    """Hold the folder's lock: two at a time would write each other's files. A process that ends lets go of it.

    Raises:
        NotPermitted: the lock can't be written here, so Slurm's files can't either.
        UnsafePlan: another apply holds it, for longer than we wait.
    """
    path = conf_dir / LOCK
    try:
        file = path.open("a+")
    except OSError as error:
        raise NotPermitted(f"can't be written ({error.strerror})", where=str(path), hint=AS_ROOT) from error
    with file:
        _take(file, path)
        _say_who(file)
        yield


def _take(file: IO[str], path: Path) -> None:
    for _ in range(TURNS):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.1)
    file.seek(0)
    who = file.read(200).strip()
    by = f": {who}" if who else ""
    raise UnsafePlan(f"another apply is at work{by}", where=str(path), hint="wait for its end")


def _say_who(file: IO[str]) -> None:
    """Write who holds it, for whoever has to wait; that it can't be written (a full disk) hinders nobody."""
    with suppress(OSError):
        file.truncate(0)
        file.write(f"{whoever()}, process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
        file.flush()
