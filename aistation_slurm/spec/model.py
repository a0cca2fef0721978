"""The cluster file, as pydantic models; their descriptions are the reference page `docs/cluster-file.md`."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from aistation_slurm.spec.types import (
    Clocks,
    Duration,
    Memory,
    Minutes,
    Name,
    Names,
    NodeList,
    TimeZone,
    UserName,
    UserNames,
    Word,
    expand,
)

Use = Literal["training", "development", "both"]
Cache = Literal["ssd", "hdd", "none"]
OverRequest = Literal["adjust", "remind", "refuse"]


class Spec(BaseModel):
    """What all parts of the cluster file have in common: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Quota(Spec):
    """At most this much at the same time; what is left out is not limited."""

    gpu: int | None = Field(
        None, ge=0, description="Whole GPUs. CPUs and memory follow from it where they are left out."
    )
    shards: int | None = Field(None, ge=0, description="Shares of GPUs, in groups that share them.")
    cpu: int | None = Field(None, ge=0, description="CPUs.")
    memory: Memory | None = Field(None, description="Memory, such as `512G`.")
    jobs: int | None = Field(None, ge=0, description="Running jobs.")
    submitted: int | None = Field(None, ge=0, description="Running and waiting jobs; one more is refused.")


class Quotas(Spec):
    """Quotas for each user and for each team."""

    per_user: Quota = Field(Quota.model_construct(), description="What one user may have.")
    per_team: Quota = Field(Quota.model_construct(), description="What all members of one team may have together.")


class Defaults(Spec):
    """What every group has that doesn't say otherwise."""

    gpus_per_node: int | None = Field(None, ge=1, le=64, description="How many GPUs each node has.")
    cpus: int | None = Field(None, ge=1, description="How many CPUs each node has.")
    memory: Memory | None = Field(None, description="How much memory each node has, such as `256G`.")
    shards_per_gpu: int | None = Field(None, ge=1, le=64, description="Over 1, a GPU is shared by as many jobs.")
    use: Use | None = Field(None, description="What the groups are for.")
    cache: Cache | None = Field(None, description="The kind of disk that data sets are cached on.")
    max_time: Minutes | None = Field(None, description="The longest that a job may run.")
    default_time: Minutes | None = Field(None, description="How long a job may run that doesn't say.")


class GpuGroup(Spec):
    """GPUs of one kind that are handed out together; becomes a partition and a nodeset."""

    nodes: NodeList = Field(description="Slurm node list, such as `gpu-[01-16]`.")
    gpu_type: Word = Field(description="The gres type, such as `v100`.")
    gpus_per_node: int = Field(ge=1, le=64, description="How many GPUs each node has.")
    cpus: int = Field(ge=1, description="How many CPUs each node has.")
    memory: Memory = Field(description="How much memory each node has for jobs, such as `256G`.")
    shards_per_gpu: int = Field(1, ge=1, le=64, description="Over 1, a GPU is shared by as many jobs.")
    use: Use = Field("training", description="What the group is for: `training`, `development` or `both`.")
    teams: Names = Field([], description="The teams that may use it; empty means all.")
    quota: Quotas = Field(Quotas.model_construct(), description="What a user or a team may have of this group.")
    max_time: Minutes | None = Field(None, description="The longest that a job may run; without it, for ever.")
    default_time: Minutes | None = Field(None, description="How long a job may run that doesn't say.")
    cache: Cache = Field("none", description="The kind of disk that data sets are cached on.")

    def node_names(self) -> tuple[str, ...]:
        """Return the names of its nodes, sorted."""
        return expand(self.nodes)

    @property
    def total_gpus(self) -> int:
        """How many GPUs its nodes have together."""
        return len(self.node_names()) * self.gpus_per_node

    @property
    def shards_per_node(self) -> int:
        """How many shares of GPUs each node has; 0 where GPUs are not shared."""
        return self.gpus_per_node * self.shards_per_gpu if self.shards_per_gpu > 1 else 0

    @property
    def cpus_per_gpu(self) -> int:
        """How many CPUs go with one GPU, so that none is left without."""
        return max(1, self.cpus // self.gpus_per_node)

    @property
    def memory_per_gpu(self) -> int:
        """How much memory, in MiB, goes with one GPU."""
        return self.memory // self.gpus_per_node


class Team(Spec):
    """People who work together; becomes an account."""

    description: str = Field("", description="What the team is, for people.")
    members: UserNames = Field([], description="The Unix users in it.")
    emergency: UserNames = Field([], description="The members who may submit emergency jobs.")
    quota: Quota = Field(Quota.model_construct(), description="What the team may have over all groups.")


class IdlePolicy(Spec):
    """What happens to a development environment that nobody uses."""

    remind_after: Duration = Field(timedelta(hours=1), description="How long until its owner is reminded.")
    stop_after: Duration | None = Field(None, description="How long until it is stopped; without it, never.")


class EnvironmentPolicy(Spec):
    """How many development environments a user may have, and how large."""

    per_user: int = Field(2, ge=0, description="How many a user may have at the same time.")
    gpu_shares: int = Field(1, ge=0, description="Shares of a GPU (whole GPUs where they are not shared) of each.")
    cpus: int = Field(2, ge=1, description="CPUs of each.")
    memory: Memory = Field(8192, description="Memory of each, such as `7G`.")
    idle: IdlePolicy = Field(IdlePolicy.model_construct(), description="When an idle one is reminded of and stopped.")


class Calendar(Spec):
    """When people are away, and their GPUs may be used by others."""

    nights: Clocks | None = Field(None, description="The hours of night, such as `20:00-08:00`.")
    weekends: bool = Field(False, description="True if Saturdays and Sundays count too.")
    holidays: str | None = Field(
        None, pattern=r"^[A-Z]{2}$", description="The country whose holidays count, such as `CN`."
    )


class ClusterSpec(Spec):
    """Everything that the administrator wants of the cluster."""

    cluster: Name = Field(description="The cluster's name, as `ClusterName` in slurm.conf has it.")
    timezone: TimeZone = Field("UTC", description="Where its people are, such as `Asia/Shanghai`.")
    defaults: Defaults = Field(
        Defaults.model_construct(), description="What every group has that doesn't say otherwise."
    )
    groups: dict[Word, GpuGroup] = Field(min_length=1, description="The GPU groups.")
    default_group: Word | None = Field(None, description="The group of jobs that name none; without it, they must.")
    quota: Quotas = Field(Quotas.model_construct(), description="Quotas over all groups together.")
    teams: dict[Name, Team] = Field({}, description="The teams.")
    environments: EnvironmentPolicy = Field(
        EnvironmentPolicy.model_construct(), description="Limits of development environments."
    )
    over_request: OverRequest = Field(
        "adjust", description="What happens to a job that asks for more than a node has, or than its quota allows."
    )
    calendar: Calendar = Field(Calendar.model_construct(), description="When people are away.")

    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but looks like a mistake, each as `file:line: text`."""
        return self._warnings

    @property
    def total_nodes(self) -> int:
        """How many nodes all groups have together."""
        return sum(len(group.node_names()) for group in self.groups.values())

    @property
    def total_gpus(self) -> int:
        """How many GPUs all groups have together."""
        return sum(group.total_gpus for group in self.groups.values())

    def users(self) -> tuple[UserName, ...]:
        """Return every member of every team once, sorted."""
        return tuple(sorted({member for team in self.teams.values() for member in team.members}))

    def teams_of(self, user: str) -> tuple[Name, ...]:
        """Return the teams that the user is a member of, in the file's order."""
        return tuple(name for name, team in self.teams.items() if user in team.members)

    def group_of(self, node: str) -> Word | None:
        """Return the group that the node belongs to, or None."""
        return next((name for name, group in self.groups.items() if node in group.node_names()), None)

    def tres(self) -> tuple[str, ...]:
        """Return the TRES that Slurm must account for so that quotas see them."""
        types = sorted({group.gpu_type for group in self.groups.values()})
        return ("gres/gpu", *(f"gres/gpu:{each}" for each in types), "gres/shard")
