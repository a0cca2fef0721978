"""The cluster file, as pydantic models; their descriptions are the reference page `docs/cluster-file.md`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from aistation_slurm.spec.base import Short, Spec
from aistation_slurm.spec.names import expand
from aistation_slurm.spec.policies import (
    AlarmPolicy,
    CachePolicy,
    Calendar,
    EmergencyPolicy,
    EnvironmentPolicy,
    NoticePolicy,
    TrainingPolicy,
)
from aistation_slurm.spec.quotas import Quota, Quotas
from aistation_slurm.spec.slurm_keys import FileSystem, SlurmPolicy
from aistation_slurm.spec.types import (
    AbsolutePath,
    Memory,
    Minutes,
    Name,
    Names,
    NodeList,
    ParentName,
    Size,
    Text,
    TimeZone,
    UserName,
    UserNames,
    Word,
)

Use = Literal["training", "development", "both"]
Sharing = Literal["shard", "mps"]
Disk = Literal["ssd", "hdd", "none"]
OverRequest = Literal["adjust", "remind", "refuse"]
ManagedBy = Literal["aistation", "site"]


MAX_CPUS = 65_533
"""Slurm counts a node's CPUs in 16 bits, and keeps the last two numbers for itself (slurm.h)."""


class CacheDisk(Spec):
    """The disk of each node that data sets are cached on; `ssd` alone is short for `{disk: ssd}`."""

    disk: Disk = Field(description="Its kind.")
    path: AbsolutePath | None = Field(None, description="The folder on it, such as `/ssd/cache`.")
    size: Size | None = Field(None, description="How much of it may be used, such as `1T`; without it, all of it.")


Cache = Annotated[CacheDisk, Short("disk")]


class Defaults(Spec):
    """What every group has that doesn't say otherwise."""

    gpus_per_node: int | None = Field(None, ge=1, le=64, description="How many GPUs each node has.")
    cpus: int | None = Field(None, ge=1, le=MAX_CPUS, description="How many CPUs each node has.")
    memory: Memory | None = Field(None, description="How much memory each node has, such as `256G`.")
    shards_per_gpu: int | None = Field(None, ge=1, le=64, description="Over 1, a GPU is shared by as many jobs.")
    sharing: Sharing | None = Field(None, description="How a GPU is shared.")
    use: Use | None = Field(None, description="What the groups are for.")
    cache: Cache | None = Field(None, description="The disk of each node that data sets are cached on.")
    max_time: Minutes | None = Field(None, description="The longest that a job may run.")
    default_time: Minutes | None = Field(None, description="How long a job may run that doesn't say.")


def _or_in_defaults(schema: dict[str, Any]) -> None:
    """Let an editor ask only for what no `defaults` can give: they are merged before the models see the file."""
    schema["required"] = [key for key in schema["required"] if key not in Defaults.model_fields]


class GpuGroup(Spec):
    """GPUs of one kind that are handed out together; becomes a partition and a nodeset."""

    model_config = ConfigDict(json_schema_extra=_or_in_defaults)

    nodes: NodeList = Field(description="Slurm node list, such as `gpu-[01-16]`.")
    gpu_type: Word = Field(description="The gres type, such as `v100`.")
    gpus_per_node: int = Field(ge=1, le=64, description="How many GPUs each node has.")
    cpus: int = Field(ge=1, le=MAX_CPUS, description="How many CPUs each node has.")
    memory: Memory = Field(description="How much memory each node has for jobs, such as `256G`.")
    shards_per_gpu: int = Field(1, ge=1, le=64, description="Over 1, a GPU is shared by as many jobs.")
    sharing: Sharing = Field(
        "shard",
        description="How a GPU is shared: `shard`, or `mps`, NVIDIA's own service, which serves one user at a time.",
    )
    use: Use = Field("training", description="What the group is for: `training`, `development` or `both`.")
    teams: Names = Field(
        [], description="The teams that may use it, with those below them (`parent`); empty means all."
    )
    quota: Quotas = Field(Quotas.model_construct(), description="What a user or a team may have of this group.")
    max_time: Minutes | None = Field(None, description="The longest that a job may run; without it, for ever.")
    default_time: Minutes | None = Field(None, description="How long a job may run that doesn't say.")
    cache: Cache = Field(
        CacheDisk.model_construct(disk="none"), description="The disk of each node that data sets are cached on."
    )
    managed_by: ManagedBy = Field(
        "aistation",
        description="`site`: the partition stands in the site's own slurm.conf; it is known and shown, never changed.",
    )

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
    def is_ours(self) -> bool:
        """True where its partition, its GPUs and its quotas are ours to write."""
        return self.managed_by == "aistation"

    @property
    def gres(self) -> str:
        """What each node has, as its NodeName line says it: `gpu:v100:8,shard:16`."""
        shares = f",{self.sharing}:{self.shards_per_node}" if self.shards_per_node else ""
        return f"gpu:{self.gpu_type}:{self.gpus_per_node}{shares}"

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

    description: Text = Field("", description="What the team is, for people.")
    members: UserNames = Field([], description="The Unix users in it.")
    emergency: UserNames = Field([], description="The members who may submit emergency jobs.")
    coordinators: UserNames = Field(
        [], description="The members who may change the team's members and limits (Slurm's coordinators)."
    )
    parent: ParentName | None = Field(
        None,
        description="The team above it, whose quota holds for all below it together; `root` is above all. Without it, "
        "Slurm's is left as it is.",
    )
    weight: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Its fair share beside the teams of the same parent; without it, Slurm's is left as it is.",
    )
    quota: Quota = Field(
        Quota.model_construct(),
        description="What the team may have over all groups, those below it too. What it leaves out follows from "
        "`quota: per_team`, but not for a team that has others below it.",
    )
    managed_by: ManagedBy = Field(
        "aistation", description="`site`: the account is the site's own; it is known and shown, and never changed."
    )

    @property
    def is_ours(self) -> bool:
        """True where its account, its members and their limits are ours to write."""
        return self.managed_by == "aistation"


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
    emergency: EmergencyPolicy = Field(EmergencyPolicy.model_construct(), description="What emergency jobs may do.")
    storage: dict[Word, FileSystem] = Field({}, description="The file systems that storage quotas are about, by name.")
    slurm: SlurmPolicy = Field(SlurmPolicy.model_construct(), description="How Slurm itself is to be set up.")
    cache: CachePolicy = Field(CachePolicy.model_construct(), description="How nodes keep copies of data sets.")
    alarms: AlarmPolicy = Field(AlarmPolicy.model_construct(), description="When an administrator is to be told.")
    training: TrainingPolicy = Field(TrainingPolicy.model_construct(), description="What is done for trainings.")
    notices: NoticePolicy = Field(NoticePolicy.model_construct(), description="What users are told, and how.")

    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but looks like a mistake, each as `file:line:column: text`."""
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

    def managed_groups(self) -> dict[Word, GpuGroup]:
        """Return the groups that are ours to write; the others stand in the site's own slurm.conf."""
        return {name: group for name, group in self.groups.items() if group.is_ours}

    def managed_teams(self) -> dict[Name, Team]:
        """Return the teams that are ours to write; the others are the site's own accounts."""
        return {name: team for name, team in self.teams.items() if team.is_ours}

    @property
    def is_ours(self) -> bool:
        """True where any group or team of it is ours to write; else nothing at all is wanted of Slurm."""
        return bool(self.managed_groups() or self.managed_teams())

    def below(self, team: str) -> tuple[Name, ...]:
        """Return the teams that have this one above them, at any distance, in the file's order."""
        if all(each.parent != team for each in self.teams.values()):
            return ()
        return tuple(name for name in self.teams if team in self.above(name))

    def above(self, team: str) -> tuple[Name, ...]:
        """Return the teams above this one, the nearest first; a circle is followed once."""
        found: list[Name] = []
        while (each := self.teams.get(team)) and each.parent in self.teams and each.parent not in found:
            found.append(team := each.parent)
        return tuple(found)

    def allowed_teams(self, group: str) -> tuple[Name, ...]:
        """Return the teams that may use the group, those below them too; none means all.

        From 23.02 on Slurm counts an account's sub-accounts to it in AllowAccounts, before that it doesn't.
        """
        named = set(self.groups[group].teams)
        if all(team.parent is None for team in self.teams.values()):
            return tuple(name for name in self.teams if name in named)
        return tuple(name for name in self.teams if name in named or not named.isdisjoint(self.above(name)))

    def models(self) -> tuple[Word, ...]:
        """Return the GPU models of all groups once, sorted."""
        return tuple(sorted({group.gpu_type for group in self.groups.values()}))

    def gres_types(self) -> tuple[str, ...]:
        """Return the kinds of GRES that Slurm must know for the groups that are ours."""
        shared = {group.sharing for group in self.managed_groups().values() if group.shards_per_gpu > 1}
        return ("gpu", *sorted({"shard", *shared}, reverse=True))

    def tres(self) -> tuple[str, ...]:
        """Return the TRES that Slurm must account for so that quotas of ours see them."""
        gpu, *shared = (f"gres/{each}" for each in self.gres_types())
        groups = self.managed_groups().values()
        limited = [self.quota, self.calendar.quota, *(group.quota for group in groups)]
        quotas = [each for both in limited for each in (both.per_user, both.per_team)]
        quotas += [team.quota for team in self.managed_teams().values()]
        models = {group.gpu_type for group in groups}.union(*(quota.gpu_types for quota in quotas))
        return (gpu, *(f"{gpu}:{each}" for each in sorted(models)), *shared)
