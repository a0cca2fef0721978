"""How Slurm itself is to be set up, beside groups and teams: the site's slurm.conf, cgroup.conf, topology.conf."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aistation_slurm.spec.base import Spec
from aistation_slurm.spec.disks import ProjectIds, TeamFolders, read_project_ids
from aistation_slurm.spec.types import AbsolutePath, NodeList, Word, Words


class Cgroup(Spec):
    """What of a job is held inside what it was given; becomes cgroup.conf.

    slurm.conf must name `task/cgroup` in TaskPlugin, and `proctrack/cgroup`.
    """

    plugin: Literal["autodetect", "v1", "v2"] = Field(
        "autodetect", description="The version of the kernel's cgroups; with the wrong one no job starts on a node."
    )
    cores: bool = Field(True, description="True: a job gets only its own CPUs (`ConstrainCores`).")
    devices: bool = Field(True, description="True: a job gets only its own GPUs (`ConstrainDevices`).")
    memory: bool = Field(True, description="True: a job that takes more memory than it has is ended.")
    swap: bool = Field(False, description="True: swap counts as memory (`ConstrainSwapSpace`).")
    allowed_memory: int = Field(
        100, ge=1, le=1000, description="How many percent of its memory a job may take (`AllowedRAMSpace`)."
    )


class Switch(Spec):
    """A switch of the network: it has nodes, or other switches."""

    nodes: NodeList | None = Field(None, description="The nodes at it, such as `gpu-[01-16]`.")
    switches: Words = Field([], description="The switches below it.")


class Topology(Spec):
    """Which nodes are near each other; becomes topology.conf, and `TopologyPlugin=topology/tree` in slurm.conf."""

    switches: dict[Word, Switch] = Field(min_length=1, description="The switches, leaves and those above them.")


class SlurmPolicy(Spec):
    """How Slurm itself is to be set up."""

    edit: Literal["ask", "never"] = Field(
        "ask",
        description="`ask`: single lines of the site's own slurm.conf are changed, as part of the plan that is "
        "reviewed. `never`: each is said as the exact line to change by hand.",
    )
    profile: Literal["quick-start", "none"] = Field(
        "quick-start",
        description="The scheduler's parameters: `quick-start` starts a job in under a second instead of three; `none` "
        "leaves them to the site.",
    )
    cli_filter: bool = Field(
        False,
        description="True: requests of `srun` and `salloc` are made to fit too, by a `cli_filter.lua` that those "
        "commands run. Every host that they are run on, compute nodes too, must have the file: they fail without.",
    )
    cgroup: Cgroup | None = Field(None, description="What becomes cgroup.conf; without it, that file is the site's.")
    topology: Topology | None = Field(
        None, description="What becomes topology.conf; without it, that file is the site's."
    )


class FileSystem(Spec):
    """A file system that storage quotas are about."""

    path: AbsolutePath = Field(description="Where it is mounted, such as `/home`.")
    backend: Literal["auto", "ext4", "xfs", "lustre", "beegfs"] = Field(
        "auto", description="What it is; `auto` looks at what is mounted there."
    )
    team_folders: TeamFolders | None = Field(
        None,
        description="Where each team's folder is, such as `/data/{team}`; quotas of teams hold for it and all below.",
    )
    project_ids: ProjectIds = Field(
        "10000-19999", description="The numbers that such folders get where they have none (ext4, XFS, Lustre)."
    )

    def projects(self) -> range:
        """Return the numbers that teams' folders may get."""
        return read_project_ids(self.project_ids)
