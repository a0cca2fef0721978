"""Which file system a path is on, from `/proc/self/mountinfo` (proc(5))."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import StorageUnusable

MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system, where it is mounted, and with what options."""

    point: str
    kind: str
    """As the kernel calls it: `ext4`, `nfs4`, `fuse.sshfs`."""
    source: str
    options: frozenset[str] = frozenset()
    """Of the mount and of the file system itself; the kernel tells them apart, we needn't."""

    @property
    def is_nfs(self) -> bool:
        """True where another machine has it, and its quotas."""
        return self.kind in {"nfs", "nfs4"}


def read_mounts(text: str) -> list[Mount]:
    """Return what a mountinfo file says, in its order; lines of another shape are left out."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        here, there = left.split(" "), right.split(" ")
        if dash and len(here) >= 6 and len(there) >= 3:
            options = frozenset([*here[5].split(","), *there[2].split(",")])
            found.append(Mount(_plain(here[4]), there[0], _plain(there[1]), options))
    return found


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """Return the file system that the path lies on, by its name alone; None where no mount is above it.

    Of two that are mounted at one point the later one is seen.
    """
    best = None
    for mount in mounts:
        above = mount.point.rstrip("/") + "/"
        if f"{path.rstrip('/')}/".startswith(above) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def find_mount(path: str) -> Mount:
    """Return the file system that the path lies on, on this machine, symbolic links followed.

    NFS is told by the name alone, without touching it: one whose server is away hangs whoever does.

    Raises:
        StorageUnusable: there is no such path here, or the mounts can't be read.
    """
    try:
        mounts = read_mounts(MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as error:
        raise StorageUnusable(f"can't be read ({error.strerror})", where=str(MOUNTINFO)) from error
    found = mount_of(path, mounts)
    if found is None or not found.is_nfs:
        if not os.path.exists(path):
            hint = "is it mounted? do it on the machine that has it"
            raise StorageUnusable("is not there on this machine", where=path, hint=hint)
        found = mount_of(os.path.realpath(path), mounts)
    if found is None:
        raise StorageUnusable("lies on no file system that this machine names", where=path)
    return found


def _plain(text: str) -> str:
    """Return a path without the octal escapes of blanks, tabs, newlines and backslashes."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
