"""What may be asked for here: the policy that `aistation cluster apply` compiled, read without asking Slurm.

The numbers are those of the rules that slurmctld runs (docs/submission.md). Standard library only: it is read by every
submission.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

COMPILED = "aistation_policy.json"
"""Its name, beside slurm.conf."""
FORMAT = 1
OverRequest = Literal["adjust", "remind", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What somebody may have; None is not limited. Memory in MiB."""

    gpus: int | None = None
    types: Mapping[str, int] = field(default_factory=dict)
    """GPUs of a model."""
    shards: int | None = None
    nodes: int | None = None
    cpus: int | None = None
    memory: int | None = None

    @property
    def is_limited(self) -> bool:
        """True where it limits anything."""
        return self != Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What a GPU group has to give to one job; of nodes that differ, what the largest one has."""

    name: str
    nodes: int
    gpus: int
    """In a node."""
    cpus: int
    memory: int
    """Of a node, in MiB; 0 where that is not known."""
    gpu_types: tuple[str, ...] = ()
    shards: int = 0
    """Shares of GPUs in a node that one job may have."""
    sharing: str = "shard"
    """What Slurm counts them as: `shard` or `mps`."""
    use: str = "training"
    max_time: timedelta | None = None
    teams: frozenset[str] | None = None
    """None: every team may use it."""
    user: Quota = Quota()
    team: Quota = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """What a team may have in all, and the team above it."""

    quota: Quota = Quota()
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What may be had under QOS `night`, instead of all other quotas."""

    user: Quota = Quota()
    team: Quota = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may be asked for on this cluster."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    """In the cluster file's order."""
    default_group: str | None = None
    qos: tuple[str, ...] = ()
    """What a job of ours can run under; empty where that is not known."""
    release: str = ""
    over_request: OverRequest = "adjust"
    user: Quota = Quota()
    development: Quota = Quota()
    night: Night | None = None
    over_quota: bool = False
    """True where emergency jobs are let over all quotas."""
    teams: Mapping[str, Team] = field(default_factory=dict)
    is_asked: bool = False
    """True where it was not compiled: Slurm was asked, and told of no quotas."""

    @property
    def depends_on_team(self) -> bool:
        """True where it matters which team a job counts for."""
        groups = self.groups.values()
        return any(each.teams is not None for each in groups) or any(
            each.quota.is_limited for each in self.teams.values()
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """There is a policy, and it can't be used."""

    why: str


def read_compiled(conf_dir: Path) -> Policy | Unreadable | None:
    """Return the policy beside slurm.conf; None where there is none, as beside a Slurm that is the site's own."""
    path = conf_dir / COMPILED
    try:
        raw = json.loads(path.read_bytes())
        if raw["format"] != FORMAT:
            return Unreadable(f"{path} is of another version of aistation; `aistation cluster apply` writes it anew")
        return _policy(raw)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unreadable(f"{path} can't be read ({error.strerror})")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Unreadable(f"{path} is broken; `aistation cluster apply` writes it anew")


def _policy(raw: Mapping[str, Any]) -> Policy:
    night = raw.get("night")
    return Policy(
        groups={name: _group(name, row) for name, row in raw["groups"].items()},
        default_group=raw.get("default_group"),
        qos=tuple(raw["qos"]),
        release=raw["release"],
        over_request=raw["over_request"],
        user=_quota(raw["user"]),
        development=_quota(raw["development"]),
        night=Night(user=_quota(night["user"]), team=_quota(night["team"])) if night else None,
        over_quota=bool(raw.get("over_quota")),
        teams={name: _team(row) for name, row in raw["teams"].items()},
    )


def _group(name: str, row: Mapping[str, Any]) -> Group:
    teams, seconds = row.get("teams"), row.get("max_time")
    return Group(
        name=name,
        nodes=int(row["nodes"]),
        gpus=int(row["gpus"]),
        cpus=int(row["cpus"]),
        memory=int(row["memory"]),
        gpu_types=(row["gpu_type"],),
        shards=int(row["shards"]),
        sharing=row.get("sharing", "shard"),
        use=row["use"],
        max_time=timedelta(seconds=seconds) if seconds else None,
        teams=None if teams is None else frozenset(teams),
        user=_quota(row["user"]),
        team=_quota(row["team"]),
    )


def _team(row: Mapping[str, Any]) -> Team:
    return Team(quota=_quota({key: value for key, value in row.items() if key != "parent"}), parent=row.get("parent"))


def _quota(row: Mapping[str, Any]) -> Quota:
    return Quota(**row)
