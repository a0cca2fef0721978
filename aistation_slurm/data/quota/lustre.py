"""Lustre: user, group and project quotas, by lfs; read in its source and manual pages, 2.12 to 2.17.

lfs answers for one id at a time (`-a` for all came with 2.17). Numbers in `[]` are inexact, since a server is away: we
bear that for what is used, not for a limit. Projects need the feature `project` on the servers. Whether limits are
enforced (`lctl conf_param FS.quota.mdt=ugp`) no client can see; only that nothing is even counted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from aistation_slurm.data.quota.backend import KIBI, blocks
from aistation_slurm.data.quota.model import Kind, Limits, Order, Usage
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.tools import Tools, refused
from aistation_slurm.errors import StorageError

_FLAG: dict[Kind, str] = {"user": "-u", "group": "-g", "project": "-p"}
_ON_SERVERS = "switch them on on the servers: lctl conf_param FSNAME.quota.mdt=ugp, and .ost=ugp"
_USED = r"\s+(\[?\d+\]?)\*?"
_LIMIT = r"\s+(\[?\d+\]?)"
_GRACE = r"\s+\S+"
# After the mount point: `2931*  2000  5000  6d23h59m  2  0  100  -`.
_ROW = re.compile(_USED + _LIMIT * 2 + _GRACE + _USED + _LIMIT * 2 + _GRACE)


class Lustre:
    """Lustre."""

    name = "lustre"
    team_kind: Kind = "project"
    has_soft = True

    def probe(self, mount: Mount, kinds: Collection[Kind], tools: Tools) -> None:
        """Do nothing where quotas of these kinds are counted; see Backend."""
        for kind in sorted(kinds):
            self._ask(mount, kind, 0, tools)

    def look(self, mount: Mount, kind: Kind, ids: Collection[int], tools: Tools) -> Mapping[int, Usage]:
        """Return what these have stored there, and may; see Backend."""
        return {id_: self._ask(mount, kind, id_, tools) for id_ in ids}

    def own(self, mount: Mount, uid: int, tools: Tools) -> Usage:
        """Return what one user has stored there, and may; see Backend."""
        return self._ask(mount, "user", uid, tools)

    def orders(self, mount: Mount, kind: Kind, ids: Sequence[int], limits: Limits) -> tuple[Order, ...]:
        """Return one lfs for each of these: it takes one at a time."""
        space = ("-b", f"{blocks(limits.soft_space)}k", "-B", f"{blocks(limits.space)}k")
        files = ("-i", str(limits.soft_files), "-I", str(limits.files))
        return tuple(Order(("lfs", "setquota", _FLAG[kind], str(id_), *space, *files, mount.point)) for id_ in ids)

    def _ask(self, mount: Mount, kind: Kind, id_: int, tools: Tools) -> Usage:
        done = tools.ask("lfs", "quota", "-q", _FLAG[kind], str(id_), mount.point, where=mount.point)
        found = read_lfs_quota(done.stdout, id_, where=mount.point)
        if found is None:
            error = refused(done, where=mount.point)
            raise type(error)(
                error.text, where=error.where, hint=_ON_SERVERS if "no such quotas" in error.text else error.hint
            )
        return found


def read_lfs_quota(text: str, id_: int, *, where: str) -> Usage | None:
    """Return what `lfs quota -q` says of one id; None where it says nothing.

    A mount point of more than 15 letters stands on a line of its own.

    Raises:
        StorageError: a limit is one that the servers are not sure of.
    """
    _, there, rest = text.partition(where)
    match = _ROW.match(rest) if there else None
    if match is None:
        return None
    words = match.groups()
    if any("[" in words[place] for place in (1, 2, 4, 5)):
        raise StorageError("does not know its limits: a server is away", where=where, hint="lfs check servers")
    used, soft, hard, files, soft_files, hard_files = (int(each.strip("[]")) for each in words)
    limits = Limits(space=hard * KIBI, soft_space=soft * KIBI, files=hard_files, soft_files=soft_files)
    return Usage(id=id_, space=used * KIBI, files=files, limits=limits)
