"""What the cluster file wants of each file system: whose quota, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aistation_slurm.spec import ClusterSpec
from aistation_slurm.spec.quotas import Quota

MEBI = 1024**2


@dataclass(frozen=True, slots=True)
class Amount:
    """A quota as it is wanted, in bytes and files; None where the cluster file leaves it alone."""

    space: int | None = None
    files: int | None = None

    def __bool__(self) -> bool:
        return self.space is not None or self.files is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedStorage:
    """One file system of the cluster file, with the quotas on it."""

    name: str
    path: str
    backend: str = "auto"
    users: Mapping[str, Amount]
    """Every user of the file; one without a quota is left alone."""
    teams: Mapping[str, Amount]
    team_folders: str | None = None
    """Where each team's folder is, with `{team}` for its name."""
    project_ids: range = range(10000, 20000)
    """The projects that are ours to give, where teams' folders become projects."""

    def __bool__(self) -> bool:
        return any(self.users.values()) or any(self.teams.values())

    def folder_of(self, team: str) -> str | None:
        """Return the team's folder."""
        return None if self.team_folders is None else self.team_folders.replace("{team}", team)


def wanted_storage(spec: ClusterSpec) -> tuple[WantedStorage, ...]:
    """Return what the cluster file says of each of its file systems; teams of the site's own are left out."""
    teams = spec.managed_teams()
    members = sorted({user for team in teams.values() for user in team.members})
    return tuple(
        WantedStorage(
            name=name,
            path=system.path,
            backend=system.backend,
            users=dict.fromkeys(members, _amount(spec.quota.per_user, name)),
            teams={team: _amount(each.quota.over(spec.quota.per_team), name) for team, each in teams.items()},
            team_folders=system.team_folders,
            project_ids=system.projects(),
        )
        for name, system in spec.storage.items()
    )


def _amount(quota: Quota, name: str) -> Amount:
    said = quota.storage.get(name)
    if said is None:
        return Amount()
    return Amount(None if said.space is None else said.space * MEBI, said.files)
