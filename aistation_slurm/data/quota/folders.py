"""A team's folder as a project: the number in its inode, which every file below it inherits.

The folder itself remembers its number, so we keep no list: a copy of one could be wrong. It is read and set by the
kernel's own call (FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR of linux/fs.h), which ext4, XFS and Lustre share. `chattr -R`
stops at symbolic links and pipes with an error that can't be told from a real one, and xfs_quota knows XFS alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aistation_slurm.data.quota.tools import AS_ROOT
from aistation_slurm.errors import StorageError, StorageRefused, StorageUnusable

_XATTR = struct.Struct("=IIIII8x")  # xflags, extsize, nextents, projid, cowextsize (struct fsxattr)
_GET = 0x801C581F
_SET = 0x401C5820
_INHERIT = 0x200
_NO_PROJECTS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Folder:
    """A team's folder as it is."""

    path: str
    device: int
    project: int | None
    """0 where it has none yet, None where the file system has none at all."""
    group: int
    passes_group_on: bool
    """True where new files get the folder's group, not their writer's (set-group-id)."""


def look_at_folder(path: str) -> Folder | None:
    """Return the folder as it is, or None where there is none.

    Raises:
        StorageError: it can't be looked at.
    """
    try:
        handle = os.open(path, _OPEN | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageRefused(f"can't be opened ({error.strerror})", where=path, hint=AS_ROOT) from error
    try:
        about = os.fstat(handle)
        return Folder(path, about.st_dev, _project(handle), about.st_gid, bool(about.st_mode & stat.S_ISGID))
    finally:
        os.close(handle)


def mark(path: str, project: int) -> int:
    """Give the folder and all that lies below it to the project; return how many files and folders that changed.

    From the top down, so that what is made meanwhile inherits it. Ended in the middle, it can simply be run again.
    Symbolic links are not followed, pipes and devices have no number of their own, other file systems are not entered.

    Raises:
        StorageError: the file system knows no projects, or this user may not.
    """
    changed = 0
    with _explained(path):
        device = os.stat(path).st_dev
        for _, folders, files, handle in os.fwalk(path, onerror=_raise, follow_symlinks=False):
            changed += _give(handle, project, inherit=True)
            folders[:] = [name for name in folders if _device(name, handle) == device]
            changed += sum(_give_file(name, handle, project) for name in files)
    return changed


def _device(name: str, folder: int) -> int | None:
    """Return the file system that it lies on; None where it is gone meanwhile."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_dev
    except FileNotFoundError:
        return None


def _give_file(name: str, folder: int, project: int) -> bool:
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return False
        handle = os.open(name, _OPEN, dir_fd=folder)
    except FileNotFoundError:  # gone meanwhile
        return False
    try:
        return _give(handle, project, inherit=False)
    finally:
        os.close(handle)


def _give(handle: int, project: int, *, inherit: bool) -> bool:
    flags, extent, count, found, copy_extent = _XATTR.unpack(_ask(handle))
    wanted = flags | _INHERIT if inherit else flags
    if (found, flags) == (project, wanted):
        return False
    fcntl.ioctl(handle, _SET, _XATTR.pack(wanted, extent, count, project, copy_extent))
    return True


def _project(handle: int) -> int | None:
    try:
        project: int = _XATTR.unpack(_ask(handle))[3]
    except OSError as error:
        if error.errno in _NO_PROJECTS:
            return None
        raise
    return project


def _ask(handle: int) -> bytes:
    return fcntl.ioctl(handle, _GET, bytes(_XATTR.size))


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = str(error.filename or path)
        if error.errno in _NO_PROJECTS:
            hint = "ext4 wants its feature: tune2fs -O project, unmounted; Lustre wants it on its servers"
            raise StorageUnusable("knows no projects", where=path, hint=hint) from error
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise StorageRefused("only root may give it to a project", where=where, hint=AS_ROOT) from error
        raise StorageError(f"can't be given to project ({error.strerror})", where=where) from error
