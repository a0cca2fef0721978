"""slurmctld itself, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.slurm.tres import Tres


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One slurmctld, as `scontrol ping` sees it."""

    host: str
    is_up: bool
    is_primary: bool = True
    """True for the first of SlurmctldHost, whether or not it is the one in charge now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcCount:
    """How often slurmctld was asked one thing, or by one user, since it began to count."""

    name: str
    count: int
    total_time: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Diag:
    """How slurmctld is doing (man sdiag)."""

    since: datetime | None
    """When it began to count: its start, midnight UTC, or `sdiag --reset`."""
    threads: int = 0
    """Server threads busy now; at 256 it makes callers wait."""
    agent_queue: int = 0
    """Messages that wait to be sent to nodes."""
    dbd_agent_queue: int = 0
    """Records that wait for slurmdbd."""
    jobs_submitted: int = 0
    jobs_started: int = 0
    jobs_completed: int = 0
    jobs_canceled: int = 0
    jobs_failed: int = 0
    jobs_pending: int = 0
    jobs_running: int = 0
    schedule_cycle_last: timedelta | None = None
    schedule_cycle_max: timedelta | None = None
    schedule_cycle_mean: timedelta | None = None
    backfill_cycle_last: timedelta | None = None
    backfill_cycle_max: timedelta | None = None
    backfilled_jobs: int = 0
    """Since its start."""
    rpcs: tuple[RpcCount, ...] = ()
    """By message: `REQUEST_JOB_INFO`."""
    rpcs_of_users: tuple[RpcCount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What somebody holds of the limits now."""

    jobs: int = 0
    """Running."""
    submit_jobs: int = 0
    """Running and waiting."""
    tres: Tres = field(default_factory=dict)
    """Without those of which nothing is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationUse:
    """What one association holds now; of an account, with all below it."""

    account: str
    user: str = ""
    partition: str = ""
    held: Held = field(default_factory=Held)


@dataclass(frozen=True, slots=True, kw_only=True)
class QosUse:
    """What the jobs of one QOS hold now: in all, of each user, of each account; without those who hold nothing."""

    name: str
    held: Held = field(default_factory=Held)
    users: dict[str, Held] = field(default_factory=dict)
    accounts: dict[str, Held] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsInUse:
    """How much of the limits is used now, as slurmctld counts it."""

    associations: tuple[AssociationUse, ...] = ()
    qos: tuple[QosUse, ...] = ()
