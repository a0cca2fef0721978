"""Nodes, the partitions that hand them out, and the reservations that keep them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import Gres, Tres


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
        """How many shares of GPUs the node has.

        CfgTRES where Gres says less: of a node with shares in use a slurmctld that was started anew says `shard:0`,
        until the node's slurmd registers some seconds later (seen on 22.05.8).
        """
        return max(sum(each.count for each in self.gres if each.name == "shard"), self.tres.get("gres/shard", 0))

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
class Reservation:
    """Nodes that are kept for somebody, or for a time."""

    name: str
    nodes: str = ""
    node_count: int = 0
    partition: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    is_active: bool = False
    flags: tuple[str, ...] = ()
    """Sorted, in Slurm's words: `DAILY`, `FLEX`, `MAGNETIC`, ..."""
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    features: str = ""
    tres: Tres = field(default_factory=dict)
    comment: str = ""
