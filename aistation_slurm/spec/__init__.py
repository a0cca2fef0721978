"""What the administrator wants: the cluster file."""

from functools import partial

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
from aistation_slurm.spec.types import fits, read_name, read_user, read_word

is_name = partial(fits, read_name)
"""True where the text can be the name of a cluster or a team."""
is_group = partial(fits, read_word)
"""True where the text can be the name of a group or a GPU model."""
is_user = partial(fits, read_user)
"""True where the text can be the name of a user."""

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
    "is_group",
    "is_name",
    "is_user",
    "load_spec",
]
