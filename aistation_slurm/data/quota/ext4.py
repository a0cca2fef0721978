"""ext4: user, group and project quotas, by the tools of the package quota.

What was seen on e2fsprogs 1.47, quota 4.06 and Linux 6.1, and is easily got wrong:

- with the feature `quota`, but mounted without `usrquota` or `prjquota`, the kernel counts and `quotaon -p` says "on",
  setquota sets, and nobody is held to anything;
- repquota without `-v` leaves out who has a limit and no file yet;
- asked by another user than root, repquota prints an empty report and ends with 0;
- with old quota files that are off, setquota writes into the file and ends with 0.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from aistation_slurm.data.quota.backend import KIBI, blocks
from aistation_slurm.data.quota.model import Kind, Limits, Order, Usage
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.tools import AS_ROOT, SWITCH_ON, Tools, refused
from aistation_slurm.errors import StorageError, StorageRefused, StorageUnusable

_FLAG: dict[Kind, str] = {"user": "-u", "group": "-g", "project": "-P"}
_OPTIONS: dict[Kind, tuple[str, ...]] = {
    "user": ("usrquota", "usrjquota="),
    "group": ("grpquota", "grpjquota="),
    "project": ("prjquota",),
}
# One row of `repquota -n`: `#1000  +-  2931  2000  5000 1796282482  2  0  100  0`.
_ROW = re.compile(r"#(?P<id>\d+)\s+(?P<over>[-+]{2})\s+(?P<rest>-?\d.*)")


class Ext4:
    """ext4, and ext3 with quota files."""

    name = "ext4"
    team_kind: Kind = "project"
    has_soft = True

    def probe(self, mount: Mount, kinds: Collection[Kind], tools: Tools) -> None:
        """Do nothing where limits of these kinds really hold; see Backend."""
        for kind in sorted(kinds):
            if not any(option.startswith(_OPTIONS[kind]) for option in mount.options):
                wants = _OPTIONS[kind][0]
                text = f"is mounted without {wants}: limits of a {kind} would hold nobody"
                raise StorageUnusable(text, where=mount.point, hint=SWITCH_ON)
            said = tools.ask("quotaon", "-p", _FLAG[kind], mount.point, where=mount.point)
            if " is on" not in said.stdout:  # its exit status is the number of those that are
                raise StorageUnusable(
                    f"has its {kind} quotas switched off",
                    where=mount.point,
                    hint=f"quotaon {_FLAG[kind]} {mount.point}; where that fails with 'No such process', "
                    "the kernel lacks QFMT_V2",
                )

    def look(self, mount: Mount, kind: Kind, ids: Collection[int], tools: Tools) -> Mapping[int, Usage]:
        """Return what everybody has stored there, and may; see Backend."""
        done = tools.ask("repquota", _FLAG[kind], "-n", "-p", "-v", mount.point, where=mount.point)
        if done.returncode:
            raise refused(done, where=mount.point)
        found = read_repquota(done.stdout, where=mount.point)
        if not found:  # root's own row is always there
            raise StorageRefused("shows nobody's quota", where=mount.point, hint=AS_ROOT)
        return found

    def own(self, mount: Mount, uid: int, tools: Tools) -> Usage:
        """Return what one user has stored there, and may, asked by that user; see Backend."""
        done = tools.ask("quota", "-u", "-v", "-w", "-p", "-l", str(uid), where=mount.point)
        found = read_quota(done.stdout, uid, mount.source, where=mount.point)  # ends with 1 where a limit is reached
        if found is None:
            raise refused(done, where=mount.point)
        return found

    def orders(self, mount: Mount, kind: Kind, ids: Sequence[int], limits: Limits) -> tuple[Order, ...]:
        """Return one setquota for all of these; a number it takes for an id, not for a name."""
        numbers = (blocks(limits.soft_space), blocks(limits.space), limits.soft_files, limits.files)
        row = " ".join(map(str, numbers))
        lines = "".join(f"{each} {row}\n" for each in ids)
        return (Order(("setquota", _FLAG[kind], "-b", mount.point), lines),)


def read_repquota(text: str, *, where: str) -> dict[int, Usage]:
    """Return what `repquota -n` says, by id; with or without `-p`.

    Raises:
        StorageError: a row is of another shape.
    """
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            continue
        match = _ROW.fullmatch(line.strip())
        numbers = _numbers(match["rest"].split(), match["over"]) if match else None
        if not match or not numbers:
            raise StorageError(f"repquota says what we can't read: {line.strip()!r}", where=where)
        found[int(match["id"])] = _usage(int(match["id"]), numbers)
    return found


def read_quota(text: str, uid: int, source: str, *, where: str) -> Usage | None:
    """Return what `quota -v -w -p` says of one device: `/dev/sda1 2931* 2000 5000 1796282482 2 0 100 0`, or None.

    Raises:
        StorageError: its row is of another shape.
    """
    for line in text.splitlines():
        device, _, rest = line.strip().partition(" ")
        if device == source:
            numbers = _numbers(rest.replace("*", " ").split(), "--")
            if not numbers:
                raise StorageError(f"quota says what we can't read: {line.strip()!r}", where=where)
            return _usage(uid, numbers)
    return None


def _usage(id_: int, numbers: Sequence[int]) -> Usage:
    used, soft, hard, files, soft_files, hard_files = numbers
    limits = Limits(space=hard * KIBI, soft_space=soft * KIBI, files=hard_files, soft_files=soft_files)
    return Usage(id=id_, space=used * KIBI, files=files, limits=limits)


def _numbers(words: list[str], over: str) -> list[int] | None:
    """Return the six numbers of a row; its graces, which are not always there, are left out."""
    if len(words) == 8:  # -p: always there
        del words[7], words[3]
    else:  # `7days`, only for what is over its soft limit
        if over[0] == "+" and len(words) > 6:
            del words[3]
        words = words[:6] if over[1] == "+" else words
    fits = len(words) == 6 and all(re.fullmatch(r"-?\d+", each) for each in words)
    return [max(0, int(each)) for each in words] if fits else None
