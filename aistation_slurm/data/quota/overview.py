"""Who has stored how much, and may: rows for a person, of what was seen. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aistation_slurm.data.quota.look import Seen, team_id
from aistation_slurm.data.quota.model import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one user or team has stored on one file system, in bytes and files; 0 is no limit."""

    storage: str
    kind: Literal["user", "team"]
    name: str
    space: int
    space_limit: int
    files: int
    files_limit: int

    @property
    def percent(self) -> int | None:
        """How much of the limit is used, the fuller of space and files; None where there is no limit."""
        pairs = ((self.space, self.space_limit), (self.files, self.files_limit))
        return max((100 * used // limit for used, limit in pairs if limit), default=None)


def overview(seen: Seen) -> Iterator[Row]:
    """Yield a row for each user and team that was seen, users first, in the file's order."""
    if seen.backend is None:
        return
    for name, uid in seen.uids.items():
        yield _row(seen, "user", name, seen.usage.get(("user", uid)))
    for team, folder in seen.folders.items():
        if id_ := team_id(seen.backend, folder):
            yield _row(seen, "team", team, seen.usage.get((seen.backend.team_kind, id_)))


def _row(seen: Seen, kind: Literal["user", "team"], name: str, usage: Usage | None) -> Row:
    found = usage or Usage(id=0)
    return Row(
        storage=seen.wanted.name,
        kind=kind,
        name=name,
        space=found.space,
        space_limit=found.limits.space,
        files=found.files,
        files_limit=found.limits.files,
    )
