"""What slurmdbd keeps: QOS, accounts, users and associations with their limits, TRES, shares, usage."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from aistation_slurm.slurm.tres import Tres


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that an association or a QOS can carry; None and an empty mapping are no limit."""

    grp_tres: Tres = field(default_factory=dict)
    grp_jobs: int | None = None
    grp_submit_jobs: int | None = None
    max_tres_per_job: Tres = field(default_factory=dict)
    max_tres_per_user: Tres = field(default_factory=dict)
    max_tres_per_account: Tres = field(default_factory=dict)
    max_tres_per_node: Tres = field(default_factory=dict)
    max_jobs_per_user: int | None = None
    """On an association: of this user with this account."""
    max_submit_jobs_per_user: int | None = None
    max_jobs_per_account: int | None = None
    max_submit_jobs_per_account: int | None = None
    max_wall: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Qos:
    """One quality of service."""

    name: str
    description: str = ""
    priority: int = 0
    preempt: tuple[str, ...] = ()
    preempt_mode: str = ""
    grace_time: timedelta | None = None
    flags: tuple[str, ...] = ()
    usage_factor: float = 1.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account: our team."""

    name: str
    description: str = ""
    """In lower case, however it was given: sacctmgr makes it so."""
    coordinators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user, as slurmdbd knows them."""

    name: str
    default_account: str = ""
    admin_level: str = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """What ties a user (or, where `user` is empty, an account itself) to a cluster, with its limits."""

    cluster: str
    account: str
    user: str = ""
    partition: str = ""
    parent: str = ""
    share: int | None = 1
    """None where it counts as its parent."""
    qos: tuple[str, ...] = ()
    default_qos: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class TresKind:
    """One trackable resource that slurmdbd counts."""

    tres_id: int
    type: str
    """`cpu`, `mem`, `gres`, ..."""
    name: str = ""
    """`gpu:v100` of `gres/gpu:v100`."""

    def __str__(self) -> str:
        return f"{self.type}/{self.name}" if self.name else self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class FairShare:
    """What fair share makes of one account or user (man sshare)."""

    account: str
    user: str = ""
    """Empty: the account itself."""
    partition: str = ""
    """Of an association that holds in one partition alone."""
    parent: str = ""
    """The account above; of a user, the account itself."""
    shares: int | None = 1
    """RawShares; None where it counts as its parent, 0 at the root, of which Slurm tells none."""
    norm_shares: float = 0.0
    """0 where Slurm counts none, as at the root."""
    usage: int = 0
    """RawUsage: billed seconds, those long ago counting less."""
    effective_usage: float = 0.0
    factor: float | None = None
    """FairShare, 0 to 1; None for an account under fair tree, which ranks only users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a user, or (where `user` is empty) an account with all below it, used of one TRES in a period."""

    account: str
    user: str = ""
    tres: str
    """`cpu`, `mem`, `gres/gpu`, ..."""
    seconds: int
    """Amount times seconds; of memory MiB times seconds."""
