"""A folder held by its file descriptor: every act is on a name in it, and on plain files only."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from aistation_slurm.errors import PlaceError

MAX_FILE = 8 * 1024 * 1024
PATIENCE = 5.0
"""Seconds to wait for another push that is at work in the folder."""


class Handle:
    """One folder, held alone for as long as it is open.

    Names come from a closed list, never from a path: a folder that is moved or replaced meanwhile leads nowhere else.
    `step` hears of each act before it is made.
    """

    def __init__(self, path: Path, *, step: Callable[[str], object] = str) -> None:
        self.path, self._step, self._fd = path, step, -1

    def __enter__(self) -> Self:
        """Open and lock the folder.

        Raises:
            PlaceError: it is not there, or another push is at work in it.
        """
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise PlaceError(f"{self.path}: {error.strerror}") from error
        give_up = time.monotonic() + PATIENCE
        while not self._lock():
            if time.monotonic() > give_up:
                os.close(self._fd)
                raise PlaceError(f"{self.path}: another push is at work there")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)

    def stat(self, name: str) -> os.stat_result | None:
        """Return what the file is like; None where there is none.

        Raises:
            PlaceError: a link, a folder or a device stands there.
        """
        try:
            found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PlaceError(f"{name}: {error.strerror}") from error
        if not stat.S_ISREG(found.st_mode):
            raise PlaceError(f"{name} is no plain file; a link or a folder is left alone")
        return found

    def digest(self, name: str) -> str | None:
        """Return the file's SHA-256; None where there is none."""
        return None if self.stat(name) is None else sha256(self.read(name)).hexdigest()

    def read(self, name: str) -> bytes:
        """Return what the file holds, up to `MAX_FILE`."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._fd)
            with open(fd, "rb") as file:
                content = file.read(MAX_FILE + 1)
        except OSError as error:
            raise PlaceError(f"{name}: can't be read ({error.strerror})") from error
        if len(content) > MAX_FILE:
            raise PlaceError(f"{name} is larger than {MAX_FILE} bytes")
        return content

    def write(self, name: str, content: bytes, *, like: str = "") -> None:
        """Write a file anew, down to the disk, with owner and mode of the one whose place it is to take."""
        model = self.stat(like) if like else None
        self.unlink(name)
        self._step(f"write {name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o600, dir_fd=self._fd)
            with open(fd, "wb") as file:
                file.write(content)
                file.flush()
                self._step(f"sync {name}")
                _dress(fd, model)
                os.fsync(fd)
        except OSError as error:
            with suppress(PlaceError):
                self.unlink(name)
            raise PlaceError(f"{like or name}: can't be written ({error.strerror})") from error

    def link(self, name: str, second: str) -> None:
        """Give the file a second name."""
        fds = {"src_dir_fd": self._fd, "dst_dir_fd": self._fd}
        self._act("link", second, lambda: os.link(name, second, **fds, follow_symlinks=False))

    def rename(self, name: str, other: str) -> None:
        """Let the file take the other one's place, in one step."""
        self._act("rename", other, lambda: os.rename(name, other, src_dir_fd=self._fd, dst_dir_fd=self._fd))

    def unlink(self, name: str) -> None:
        """Take the file away, if it is there."""
        if self.stat(name):
            self._act("unlink", name, lambda: os.unlink(name, dir_fd=self._fd))

    def sync(self) -> None:
        """Let what was renamed, linked or taken away outlive a power cut."""
        with suppress(OSError):  # some file systems can't
            os.fsync(self._fd)

    def _act(self, what: str, name: str, act: Callable[[], object]) -> None:
        self._step(f"{what} {name}")
        try:
            act()
        except OSError as error:
            raise PlaceError(f"{name}: {what}: {error.strerror}") from error

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _dress(fd: int, model: os.stat_result | None) -> None:
    if model and (model.st_uid, model.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(fd, model.st_uid, model.st_gid)
    os.fchmod(fd, model.st_mode & 0o777 if model else 0o644)
