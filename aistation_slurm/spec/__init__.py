"""What the administrator wants: the cluster file."""

from functools import partial

from aistation_slurm.spec.base import Spec
from aistation_slurm.spec.load import load_spec
from aistation_slurm.spec.model import CacheDisk, ClusterSpec, Defaults, GpuGroup, Team
from aistation_slurm.spec.names import fits, read_name, read_user, read_word
from aistation_slurm.spec.policies import (
    NIGHT,
    AlarmPolicy,
    CachePolicy,
    Calendar,
    EmergencyPolicy,
    EnvironmentPolicy,
    IdlePolicy,
    NoticePolicy,
)
from aistation_slurm.spec.quotas import Quota, Quotas, StorageQuota
from aistation_slurm.spec.slurm_keys import Cgroup, FileSystem, SlurmPolicy, Switch, Topology

is_name = partial(fits, read_name)
"""True where the text can be the name of a cluster or a team."""
is_group = partial(fits, read_word)
"""True where the text can be the name of a group or a GPU model."""
is_user = partial(fits, read_user)
"""True where the text can be the name of a user."""

__all__ = [
    "NIGHT",
    "AlarmPolicy",
    "CacheDisk",
    "CachePolicy",
    "Calendar",
    "Cgroup",
    "ClusterSpec",
    "Defaults",
    "EmergencyPolicy",
    "EnvironmentPolicy",
    "FileSystem",
    "GpuGroup",
    "IdlePolicy",
    "NoticePolicy",
    "Quota",
    "Quotas",
    "SlurmPolicy",
    "Spec",
    "StorageQuota",
    "Switch",
    "Team",
    "Topology",
    "is_group",
    "is_name",
    "is_user",
    "load_spec",
]
