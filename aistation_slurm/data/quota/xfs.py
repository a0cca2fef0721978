"""XFS: user, group and project quotas, by xfs_quota of xfsprogs.

What was seen on xfsprogs 6.1 and Linux 6.1: xfs_quota ends with 0 where the quotas are off (an empty report), where
the path is no XFS, and often where it complains; only what it prints tells. Limits are rounded up to whole blocks. A
project's limit binds root too, and says "no space left", not "quota exceeded". Quotas can only be switched on when it
is mounted, and be counted without being enforced (`uqnoenforce`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from aistation_slurm.data.quota.backend import KIBI, blocks
from aistation_slurm.data.quota.model import Kind, Limits, Order, Usage
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.tools import SWITCH_ON, Tools, refused
from aistation_slurm.errors import StorageError, StorageUnusable

_FLAG: dict[Kind, str] = {"user": "-u", "group": "-g", "project": "-p"}
_OPTIONS: dict[Kind, tuple[str, str]] = {
    "user": ("usrquota", "uqnoenforce"),
    "group": ("grpquota", "gqnoenforce"),
    "project": ("prjquota", "pqnoenforce"),
}
_AT_ONCE = 50
"""So many limits are set by one xfs_quota."""
_NUMBERS = r"\s+(\d+)\s+(\d+)\s+(\d+)\s+\d+\s+\[[^\]]*\]"
# One row of `report -n -N -b -i`: `#1000  2932  2000  5000  00 [6 days]  2  0  100  00 [--------]`.
_ROW = re.compile(rf"#(\d+){_NUMBERS}{_NUMBERS}")
# `quota -N -n -v -b -i` prints the device instead, and the mount point behind.
_OWN = re.compile(rf"^\S+{_NUMBERS}{_NUMBERS}\s", re.MULTILINE)


class Xfs:
    """XFS."""

    name = "xfs"
    team_kind: Kind = "project"
    has_soft = True

    def probe(self, mount: Mount, kinds: Collection[Kind], tools: Tools) -> None:
        """Do nothing where limits of these kinds really hold; see Backend."""
        for kind in sorted(kinds):
            enforced, counted = _OPTIONS[kind]
            if enforced not in mount.options:
                why = f"with {counted}" if counted in mount.options else f"without {enforced}"
                text = f"is mounted {why}: limits of a {kind} would hold nobody"
                raise StorageUnusable(text, where=mount.point, hint=SWITCH_ON)

    def look(self, mount: Mount, kind: Kind, ids: Collection[int], tools: Tools) -> Mapping[int, Usage]:
        """Return what everybody has stored there, and may; see Backend."""
        report = f"report {_FLAG[kind]} -n -N -b -i"
        done = tools.ask("xfs_quota", "-x", "-c", report, mount.point, where=mount.point)
        if done.returncode or done.stderr.strip():
            raise refused(done, where=mount.point)
        found = read_report(done.stdout, where=mount.point)
        if not found:  # root's own row is always there
            text = f"shows no {kind} quotas: they are switched off"
            raise StorageUnusable(text, where=mount.point, hint=SWITCH_ON)
        return found

    def own(self, mount: Mount, uid: int, tools: Tools) -> Usage:
        """Return what one user has stored there, and may, asked by that user; see Backend."""
        done = tools.ask("xfs_quota", "-c", f"quota -u -N -n -v -b -i {uid}", mount.point, where=mount.point)
        if done.returncode or done.stderr.strip():
            raise refused(done, where=mount.point)
        match = _OWN.search(done.stdout)
        if match:
            return _usage(uid, [int(each) for each in match.groups()])
        if not mount.options & set(_OPTIONS["user"]):
            text = "shows no user quotas: they are switched off"
            raise StorageUnusable(text, where=mount.point, hint=SWITCH_ON)
        return Usage(id=uid)  # of who has neither a file nor a limit it says nothing

    def orders(self, mount: Mount, kind: Kind, ids: Sequence[int], limits: Limits) -> tuple[Order, ...]:
        """Return as few xfs_quota as carry all of these; a number it takes for an id."""
        words = (
            f"bsoft={blocks(limits.soft_space)}k bhard={blocks(limits.space)}k "
            f"isoft={limits.soft_files} ihard={limits.files}"
        )
        parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
        return tuple(
            Order(
                (
                    "xfs_quota",
                    "-x",
                    *_each_after("-c", [f"limit {_FLAG[kind]} {words} {id_}" for id_ in part]),
                    mount.point,
                ),
                is_silent=True,
            )
            for part in parts
        )


def _each_after(flag: str, words: Sequence[str]) -> list[str]:
    return [each for word in words for each in (flag, word)]


def read_report(text: str, *, where: str) -> dict[int, Usage]:
    """Return what `report -n -N -b -i` says, by id.

    Raises:
        StorageError: a row is of another shape.
    """
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _ROW.fullmatch(line)
        if not match:
            raise StorageError(f"xfs_quota says what we can't read: {line!r}", where=where)
        id_, *numbers = map(int, match.groups())
        found[id_] = _usage(id_, numbers)
    return found


def _usage(id_: int, numbers: Sequence[int]) -> Usage:
    used, soft, hard, files, soft_files, hard_files = numbers
    limits = Limits(space=hard * KIBI, soft_space=soft * KIBI, files=hard_files, soft_files=soft_files)
    return Usage(id=id_, space=used * KIBI, files=files, limits=limits)
