"""What the administrator wants: the cluster file."""

from aistation_slurm.spec.load import load_spec
from aistation_slurm.spec.model import (
    Calendar,
    ClusterSpec,
    Defaults,
    EnvironmentPolicy,
    GpuGroup,
    IdlePolicy,
    Quota,
    Quotas,
    Spec,
    Team,
)

__all__ = [
    "Calendar",
    "ClusterSpec",
    "Defaults",
    "EnvironmentPolicy",
    "GpuGroup",
    "IdlePolicy",
    "Quota",
    "Quotas",
    "Spec",
    "Team",
    "load_spec",
]
