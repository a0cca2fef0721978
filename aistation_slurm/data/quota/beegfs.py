"""BeeGFS 7: user and group quotas, by beegfs-ctl; read in its source, 7.2 to 7.4. It has no projects.

A team's quota is that of its folder's Unix group, so the folder must be set-group-id (chmod g+s). Limits are of the
first storage pool; files are counted in chunks; there are no soft limits. Before every answer it may draw a box with
a notice on stderr. A list is answered for those alone who have a file, unless `--withzero` asks for all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from aistation_slurm.data.quota.model import Kind, Limits, Order, Usage
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.tools import Tools, refused
from aistation_slurm.errors import StorageError, StorageUnusable

_FLAG: dict[Kind, str] = {"user": "--uid", "group": "--gid"}
_POOL = "--storagepoolid=1"
_HEADER = "name,id,size,hard,files,hard"
_AT_ONCE = 500


class BeeGfs:
    """BeeGFS up to 7.4."""

    name = "beegfs"
    team_kind: Kind = "group"
    has_soft = False

    def probe(self, mount: Mount, kinds: Collection[Kind], tools: Tools) -> None:
        """Do nothing where quotas of these kinds are counted; see Backend."""
        for kind in sorted(kinds):
            if kind not in _FLAG:
                raise StorageUnusable("BeeGFS has no project quotas", where=mount.point)
            self._ask(mount, kind, [0], tools)

    def look(self, mount: Mount, kind: Kind, ids: Collection[int], tools: Tools) -> Mapping[int, Usage]:
        """Return what these have stored there, and may; see Backend."""
        found: dict[int, Usage] = {}
        for part in _parts(sorted(ids)):
            found |= self._ask(mount, kind, part, tools)
        return found

    def own(self, mount: Mount, uid: int, tools: Tools) -> Usage:
        """Return what one user has stored there, and may; see Backend."""
        return self._ask(mount, "user", [uid], tools).get(uid) or Usage(id=uid)

    def orders(self, mount: Mount, kind: Kind, ids: Sequence[int], limits: Limits) -> tuple[Order, ...]:
        """Return as few beegfs-ctl as carry all of these; it wants both limits said."""
        said = (f"--sizelimit={limits.space or 'unlimited'}", f"--inodelimit={limits.files or 'unlimited'}")
        head = ("beegfs-ctl", "--setquota", f"--mount={mount.point}", _POOL, _FLAG[kind], "--list")
        return tuple(Order((*head, ",".join(map(str, part)), *said)) for part in _parts(ids))

    def _ask(self, mount: Mount, kind: Kind, ids: Sequence[int], tools: Tools) -> dict[int, Usage]:
        numbers = ",".join(map(str, ids))
        head = ("beegfs-ctl", "--getquota", f"--mount={mount.point}", _POOL, "--csv", _FLAG[kind], "--list")
        done = tools.ask(*head, numbers, "--withzero", where=mount.point)
        if done.returncode or _HEADER not in done.stdout:
            raise refused(done, where=mount.point)
        return read_csv(done.stdout, where=mount.point)


def _parts(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]


def read_csv(text: str, *, where: str) -> dict[int, Usage]:
    """Return what `--getquota --csv` says, by id; a name may hold a comma.

    Raises:
        StorageError: a row is of another shape.
    """
    found = {}
    rows = text.partition(_HEADER)[2]
    for line in filter(None, map(str.strip, rows.splitlines())):
        words = line.rsplit(",", 5)
        try:
            id_, size, hard, files, hard_files = map(_number, words[1:])
        except ValueError:
            raise StorageError(f"beegfs-ctl says what we can't read: {line!r}", where=where) from None
        found[id_] = Usage(id=id_, space=size, files=files, limits=Limits(space=hard, files=hard_files))
    return found


def _number(text: str) -> int:
    """Return the number; `unlimited` and `-` (nobody counts it) are 0, `12+` (somebody doesn't) is 12."""
    return 0 if text in {"unlimited", "-"} else int(text.removesuffix("+"))
