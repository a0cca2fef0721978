"""What must change on a file system so that its quotas are what the cluster file says. Asks nobody, changes nothing.

Only what the file names is touched: a user without a quota in it is left alone, and so is a limit that it no longer
names. File systems keep no mark of who set a limit, so that taking one away could take the site's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aistation_slurm.data.quota.backend import Backend
from aistation_slurm.data.quota.changes import MarkFolder, QuotaChange, SetQuota
from aistation_slurm.data.quota.folders import Folder
from aistation_slurm.data.quota.look import Seen, team_id
from aistation_slurm.data.quota.model import Kind, Limits, Owner, Usage, show_size
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.wanted import Amount

FEW = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, and what a person should know."""

    changes: tuple[QuotaChange, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Want:
    """What one owner has and is to have."""

    owner: Owner
    usage: Usage
    new: Limits


def decide(seen: Seen) -> Decision:
    """Return what must change on one file system; nothing where the look at it failed, but a note that says why."""
    name = seen.wanted.name
    if seen.problem is not None or seen.mount is None or seen.backend is None:
        hint = f"; {seen.problem.hint}" if seen.problem and seen.problem.hint else ""
        return Decision((), (f"storage {name}: nothing is decided: {seen.problem}{hint}",) if seen.wanted else ())
    teams, marks, notes = _teams(seen, seen.backend)
    users = list(_users(seen))
    changes: list[QuotaChange] = [
        *marks,
        *_set(name, seen.mount, seen.backend, "user", users),
        *_set(name, seen.mount, seen.backend, seen.backend.team_kind, teams),
    ]
    notes = [*_strangers(seen), *notes, *_over([*users, *teams]), *_left(seen, {want.owner.id for want in teams})]
    return Decision(tuple(changes), tuple(f"storage {name}: {note}" for note in notes))


def _users(seen: Seen) -> Iterator[_Want]:
    for name, amount in seen.wanted.users.items():
        if amount and name in seen.uids:
            yield _want(seen, "user", Owner(seen.uids[name], name), amount)


def _want(seen: Seen, kind: Kind, owner: Owner, amount: Amount) -> _Want:
    usage = seen.usage.get((kind, owner.id)) or Usage(id=owner.id)
    return _Want(owner, usage, usage.limits.with_hard(space=amount.space, files=amount.files))


def _set(storage: str, mount: Mount, backend: Backend, kind: Kind, wants: Iterable[_Want]) -> Iterator[SetQuota]:
    """Yield one change for all whose limits are alike and become alike."""
    alike: dict[tuple[Limits, Limits], list[_Want]] = {}
    for want in wants:
        if want.new != want.usage.limits:
            alike.setdefault((want.usage.limits, want.new), []).append(want)
    for (old, new), them in alike.items():
        owners = tuple(want.owner for want in them)
        yield SetQuota(
            storage=storage,
            where=mount.point,
            kind=kind,
            owners=owners,
            old=old,
            new=new,
            orders=backend.orders(mount, kind, [owner.id for owner in owners], new),
            over=tuple(want.owner.name for want in them if _is_over(want)),
        )


def _teams(seen: Seen, backend: Backend) -> tuple[list[_Want], list[MarkFolder], list[str]]:
    """Return what the teams are to have, the folders to be marked first, and what hinders."""
    wants, marks, notes = [], [], []
    free = list(seen.free)
    for team, amount in seen.wanted.teams.items():
        if not amount:
            continue
        folder = seen.folders.get(team)
        if folder is None or (why := _hindrance(seen, backend, team, folder, free)):
            notes.append(f"team {team} gets no quota: {why if folder else _no_folder(seen, team)}")
            continue
        id_ = team_id(backend, folder)
        if backend.team_kind == "project" and not id_:
            id_ = free.pop(0)
        want = _want(seen, backend.team_kind, Owner(id_, team), amount)
        wants.append(want)
        if backend.team_kind == "project" and (folder.project == 0 or not want.usage.limits):
            is_new = folder.project == 0
            marks.append(
                MarkFolder(storage=seen.wanted.name, team=team, folder=folder.path, project=id_, is_new=is_new)
            )
        if backend.team_kind == "group" and not folder.passes_group_on:
            notes.append(f"new files in {folder.path} don't get its group: chmod g+s {folder.path}")
    return wants, marks, notes


def _no_folder(seen: Seen, team: str) -> str:
    path = seen.wanted.folder_of(team)
    return f"there is no folder {path}" if path else "the cluster file doesn't say where its folder is (team_folders)"


def _hindrance(seen: Seen, backend: Backend, team: str, folder: Folder, free: list[int]) -> str:
    """Return why the team's folder can't carry a quota, or nothing."""
    if folder.device != seen.device:
        return f"{folder.path} lies on another file system than {seen.wanted.path}"
    others = {name: each for name, each in seen.folders.items() if name != team}
    id_ = team_id(backend, folder)
    twins = sorted(name for name, each in others.items() if id_ and team_id(backend, each) == id_)
    if twins:
        return f"its folder and that of {twins[0]} are one {backend.team_kind}, number {id_}"
    if backend.team_kind == "group":
        return "" if id_ else f"{folder.path} belongs to the group root: chgrp it to the team's own"
    if folder.project is None:
        return f"{folder.path} can be no project: the file system knows none"
    if not id_ and not free:
        ids = seen.wanted.project_ids
        return f"no project from {ids.start} to {ids.stop - 1} is free: make project_ids larger"
    return ""


def _is_over(want: _Want) -> bool:
    """Return True where the new limits stop somebody whom the old ones let go on."""
    has, old, new = want.usage, want.usage.limits, want.new
    pairs = ((has.space, old.space, new.space), (has.files, old.files, new.files))
    return any(limit and used > limit and (not before or limit < before) for used, before, limit in pairs)


def _over(wants: Iterable[_Want]) -> Iterator[str]:
    for want in wants:
        if _is_over(want):
            has = f"{show_size(want.usage.space)} and {want.usage.files} files"
            yield f"{want.owner.name} has {has} already, more than it is to be: nothing more can be written"


def _strangers(seen: Seen) -> Iterator[str]:
    unknown = [name for name, amount in seen.wanted.users.items() if amount and name not in seen.uids]
    if unknown:
        more = f" and {len(unknown) - FEW} more" if len(unknown) > FEW else ""
        yield f"this machine knows no user {', '.join(unknown[:FEW])}{more}: they get no quota"


def _left(seen: Seen, teams: set[int]) -> Iterator[str]:
    """Yield limits on projects of ours that no team of the file has; they are left alone."""
    marked = {folder.project for folder in seen.folders.values()}
    for (kind, id_), usage in sorted(seen.usage.items()):
        if kind == "project" and id_ in seen.wanted.project_ids and usage.limits and id_ not in teams | marked:
            yield (
                f"project {id_} still has a quota of {show_size(usage.limits.space)}, and no team of the file: "
                "it is left alone"
            )
