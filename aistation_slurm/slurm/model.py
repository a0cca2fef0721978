"""What Slurm says, in Slurm's words: frozen, typed, units said.

Memory is MiB, times are aware and in UTC, durations are timedelta and None where there is no limit, node lists are
Slurm's own text (`slurm.nodelist` reads them).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import Gres, Tres


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as slurmctld or slurmdbd remembers it."""

    job_id: int
    array_job_id: int | None = None
    array_task: str = ""
    """`7`, or `[1-9%2]` while the members wait together."""
    name: str
    user: str
    account: str = ""
    partition: str = ""
    qos: str = ""
    state: JobState
    reason: str = ""
    nodes: str = ""
    node_count: int = 0
    cpus: int = 0
    tres: Tres = field(default_factory=dict)
    """What it was given; what it asks for while it waits."""
    priority: int = 0
    nice: int = 0
    restart_count: int = 0
    """How often it was requeued; slurmdbd tells only from 23.11 on, so it is 0 in a history."""
    exit_code: str = ""
    """`1:0`: what it exited with, and the signal that ended it."""
    submit_time: datetime | None = None
    eligible_time: datetime | None = None
    """Before it the job may not start: `--begin`, or the wait after a requeue."""
    start_time: datetime | None = None
    """The expected start while it waits, if slurmctld has one."""
    end_time: datetime | None = None
    elapsed: timedelta | None = None
    time_limit: timedelta | None = None
    batch_host: str = ""
    """The node that runs its script."""
    work_dir: str = ""
    stdout: str = ""
    """The file that its script prints to, patterns filled in; a history does not tell."""
    comment: str = ""

    @property
    def gpus(self) -> int:
        """How many whole GPUs it has or asks for."""
        return self.tres.get("gres/gpu", 0)

    @property
    def shards(self) -> int:
        """How many shares of GPUs it has or asks for."""
        return self.tres.get("gres/shard", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One compute node."""

    name: str
    address: str = ""
    hostname: str = ""
    port: int = 0
    """Of its slurmd; 0 where Slurm leaves it out, since it is SlurmdPort."""
    state: NodeState
    reason: str = ""
    reason_user: str = ""
    reason_time: datetime | None = None
    cpus: int = 0
    cpus_allocated: int = 0
    memory: int = 0
    memory_allocated: int = 0
    memory_free: int | None = None
    """What its kernel calls free; None before its slurmd registered."""
    load: float | None = None
    gres: tuple[Gres, ...] = ()
    gres_used: tuple[Gres, ...] = ()
    tres: Tres = field(default_factory=dict)
    tres_allocated: Tres = field(default_factory=dict)
    partitions: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    active_features: tuple[str, ...] = ()
    boot_time: datetime | None = None
    slurmd_start_time: datetime | None = None
    last_busy_time: datetime | None = None
    version: str = ""
    comment: str = ""

    @property
    def gpus(self) -> int:
        """How many GPUs the node has."""
        return sum(each.count for each in self.gres if each.name == "gpu")

    @property
    def gpus_allocated(self) -> int:
        """How many whole GPUs are given to jobs; shares do not count here."""
        return sum(each.count for each in self.gres_used if each.name == "gpu")

    @property
    def shards(self) -> int:
        """How many shares of GPUs the node has."""
        return sum(each.count for each in self.gres if each.name == "shard")

    @property
    def shards_allocated(self) -> int:
        """How many shares of GPUs are given to jobs.

        AllocTRES where it counts them: up to 23.02 GresUsed names the GPUs that have a share in use, not the shares.
        """
        if "gres/shard" in self.tres:
            return self.tres_allocated.get("gres/shard", 0)
        return sum(each.count for each in self.gres_used if each.name == "shard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition: our GPU group."""

    name: str
    nodes: str = ""
    state: str = "UP"
    is_default: bool = False
    total_nodes: int = 0
    total_cpus: int = 0
    tres: Tres = field(default_factory=dict)
    max_time: timedelta | None = None
    default_time: timedelta | None = None
    allow_accounts: tuple[str, ...] = ()
    """Empty where every account may."""
    allow_qos: tuple[str, ...] = ()
    """Empty where every QOS may."""
    deny_accounts: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] = ()
    qos: str = ""
    """The QOS whose limits hold for everything in the partition."""
    is_hidden: bool = False
    priority_tier: int = 1
    preempt_mode: str = ""
    max_nodes: int | None = None

    @property
    def gpus(self) -> int:
        """How many GPUs its nodes have."""
        return self.tres.get("gres/gpu", 0)


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
class Controller:
    """One slurmctld, as `scontrol ping` sees it."""

    host: str
    is_up: bool
    is_primary: bool = True
    """True for the first of SlurmctldHost, whether or not it is the one in charge now."""
