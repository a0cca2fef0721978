"""A look at one file system: what it is, what it says of quotas, whose folders lie there. Changes nothing."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread

from aistation_slurm.data.quota.backend import Backend
from aistation_slurm.data.quota.beegfs import BeeGfs
from aistation_slurm.data.quota.ext4 import Ext4
from aistation_slurm.data.quota.folders import Folder, look_at_folder
from aistation_slurm.data.quota.lustre import Lustre
from aistation_slurm.data.quota.model import Kind, Usage
from aistation_slurm.data.quota.mounts import Mount, find_mount
from aistation_slurm.data.quota.tools import Tools
from aistation_slurm.data.quota.wanted import Amount, WantedStorage
from aistation_slurm.data.quota.xfs import Xfs
from aistation_slurm.errors import StorageError, StorageUnusable

BACKENDS: tuple[Backend, ...] = (Ext4(), Xfs(), Lustre(), BeeGfs())
PATIENCE = 300.0
"""Seconds that a file system has to answer all that is asked; ten thousand users of Lustre take a minute."""
_KINDS = {"ext2": "ext4", "ext3": "ext4", "ext4": "ext4", "xfs": "xfs", "lustre": "lustre", "beegfs": "beegfs"}
_TAKEN = (Path("/etc/projid"), Path("/etc/projects"))
"""Where a site writes down its own projects: `name:number` and `number:path` (projid(5), projects(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was seen of one file system; a look that failed says why, and nothing is decided on it."""

    wanted: WantedStorage
    mount: Mount | None = None
    backend: Backend | None = None
    device: int = 0
    """Its number, as stat(2) tells; what lies elsewhere has another."""
    uids: Mapping[str, int] = field(default_factory=dict)
    """The users that this machine knows, by name."""
    folders: Mapping[str, Folder] = field(default_factory=dict)
    """The teams' folders that are there, by team."""
    usage: Mapping[tuple[Kind, int], Usage] = field(default_factory=dict)
    free: tuple[int, ...] = ()
    """Projects that nobody has yet, for folders that need one."""
    problem: StorageError | None = None


def look(wanted: WantedStorage, tools: Tools, *, everybody: bool = False) -> Seen:
    """Return what one file system says of those whose quota is wanted, or with `everybody` of all users and teams."""
    try:
        return _see(wanted, tools, everybody=everybody)
    except StorageError as error:
        return Seen(wanted=wanted, problem=error)
    except OSError as error:
        return Seen(wanted=wanted, problem=StorageError(f"can't be looked at ({error.strerror})", where=wanted.path))


def _see(wanted: WantedStorage, tools: Tools, *, everybody: bool) -> Seen:
    mount = find_mount(wanted.path)
    backend = choose(mount, wanted.backend)
    users = [name for name, amount in wanted.users.items() if amount or everybody]
    has_teams = any(wanted.teams.values()) or (everybody and wanted.team_folders is not None)
    asked: dict[Kind, bool] = {"user": bool(users), backend.team_kind: has_teams}
    backend.probe(mount, [kind for kind, is_asked in asked.items() if is_asked], tools)
    uids = dict(_uids(users))
    folders = dict(_folders(wanted)) if has_teams else {}
    teams = {id_ for each in folders.values() if (id_ := team_id(backend, each))}
    return Seen(
        wanted=wanted,
        mount=mount,
        backend=backend,
        device=os.stat(wanted.path).st_dev,
        uids=uids,
        folders=folders,
        usage={
            **(_ask(backend, mount, "user", uids.values(), tools) if uids else {}),
            **(_ask(backend, mount, backend.team_kind, teams, tools) if has_teams else {}),
        },
        free=_free(backend, mount, wanted, folders, tools),
    )


def look_at_all(
    wanted: Iterable[WantedStorage], tools: Tools, *, everybody: bool = False, patience: float = PATIENCE
) -> list[Seen]:
    """Return a look at each, all of them at once; one whose server hangs is given up after `patience` seconds.

    A call of the kernel into such a file system never returns and can't be ended, only left behind.
    """
    found: dict[str, Seen] = {}

    def see(each: WantedStorage) -> None:
        found[each.name] = look(each, tools, everybody=everybody)

    every = list(wanted)
    threads = [Thread(target=see, args=(each,), daemon=True) for each in every]
    give_up = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return [found.get(each.name) or _silent(each, patience) for each in every]


def _silent(wanted: WantedStorage, patience: float) -> Seen:
    hint = "is its server alive? `ls` of it says so"
    problem = StorageUnusable(f"does not answer within {patience:g} s", where=wanted.path, hint=hint)
    return Seen(wanted=wanted, problem=problem)


def look_own(wanted: WantedStorage, user: str, tools: Tools) -> Seen:
    """Return what one file system says of this user alone, who asks: others' quotas are shown to root only."""
    mine = replace(wanted, users={user: wanted.users.get(user, Amount())}, teams={})
    try:
        mount = find_mount(wanted.path)
        backend = choose(mount, wanted.backend)
        uid = pwd.getpwnam(user).pw_uid
        usage: dict[tuple[Kind, int], Usage] = {("user", uid): backend.own(mount, uid, tools)}
    except StorageError as error:
        return Seen(wanted=mine, problem=error)
    return Seen(wanted=mine, mount=mount, backend=backend, uids={user: uid}, usage=usage)


def choose(mount: Mount, said: str) -> Backend:
    """Return who knows this file system.

    Raises:
        StorageUnusable: nobody does, its quotas are set elsewhere, or it is another than the cluster file says.
    """
    if mount.is_nfs:
        host, _, path = mount.source.rpartition(":")
        hint = f"run `aistation storage apply` there, with a cluster file that names {path}"
        raise StorageUnusable(f"is NFS: its quotas are set on {host}", where=mount.point, hint=hint)
    if mount.kind == "autofs":
        raise StorageUnusable("is mounted only when somebody comes", where=mount.point, hint="name what it mounts")
    name = _KINDS.get(mount.kind)
    if said not in {"auto", name}:
        hint = "write what it is, or backend: auto"
        raise StorageUnusable(f"is {mount.kind}, not {said} as the cluster file says", where=mount.point, hint=hint)
    for backend in BACKENDS:
        if backend.name == name:
            return backend
    raise StorageUnusable(f"is {mount.kind}: we know no quotas of it", where=mount.point, hint="set them by hand")


def team_id(backend: Backend, folder: Folder) -> int:
    """Return the number that a team's quota goes by: its folder's project, or its Unix group; 0 where it has none."""
    return folder.group if backend.team_kind == "group" else folder.project or 0


def _ask(
    backend: Backend, mount: Mount, kind: Kind, ids: Collection[int], tools: Tools
) -> dict[tuple[Kind, int], Usage]:
    return {(kind, id_): usage for id_, usage in backend.look(mount, kind, ids, tools).items()}


def _uids(names: Collection[str]) -> Iterator[tuple[str, int]]:
    for name in names:
        try:
            yield name, pwd.getpwnam(name).pw_uid
        except KeyError:
            continue


def _folders(wanted: WantedStorage) -> Iterator[tuple[str, Folder]]:
    for team in wanted.teams:
        path = wanted.folder_of(team)
        if path is not None and (folder := look_at_folder(path)) is not None:
            yield team, folder


def _free(
    backend: Backend, mount: Mount, wanted: WantedStorage, folders: Mapping[str, Folder], tools: Tools
) -> tuple[int, ...]:
    """Return as many projects that nobody has as there are folders without one, the lowest first."""
    bare = [team for team, folder in folders.items() if folder.project == 0 and wanted.teams[team]]
    needed = len(bare) if backend.team_kind == "project" else 0
    taken = {each.project for each in folders.values()} | site_projects()
    left = [id_ for id_ in wanted.project_ids if id_ not in taken]
    found: list[int] = []
    while left and len(found) < needed:
        asked, left = left[: needed - len(found)], left[needed - len(found) :]
        seen = backend.look(mount, "project", asked, tools)
        busy = {id_ for id_, usage in seen.items() if usage.files or usage.space or usage.limits}
        found += [id_ for id_ in asked if id_ not in busy]
        left = [id_ for id_ in left if id_ not in busy]
    return tuple(found)


def site_projects(files: Iterable[Path] = _TAKEN) -> set[int]:
    """Return the projects that the site has written down in /etc/projid and /etc/projects."""
    found = set()
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            found |= {int(word) for word in line.partition("#")[0].split(":") if word.strip().isdecimal()}
    return found
