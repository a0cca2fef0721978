"""Slurm's limits as quotas: what a `Quota` can say of them, and what it can't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.slurm.model import Limits
from aistation_slurm.slurm.tres import Tres, write_tres
from aistation_slurm.slurm.units import write_duration
from aistation_slurm.spec import is_group
from aistation_slurm.spec.amounts import write_memory

_KEYS = {
    "gres/gpu": "gpu",
    "gres/shard": "shards",
    "gres/mps": "shards",
    "cpu": "cpu",
    "mem": "memory",
    "node": "nodes",
}
_MODEL = "gres/gpu:"
MODELS = "gpu_types"
PER_SOMEBODY = tuple(name for name in Limits.__slots__ if name.endswith(("_user", "_account")))
"""The limits of a QOS that hold for each user, or for each account."""
_DERIVED, _COUNTS = frozenset({"cpu", "memory"}), frozenset({"jobs", "submitted"})


class Brevity(Enum):
    """How much of a quota is told: what follows from the rest need not be."""

    WHOLE = "all that Slurm has"
    SHORT = "without CPUs and memory, which follow from the GPUs"
    COUNTS = "no more than jobs, since the rest follows from the quota over all groups"


@dataclass(frozen=True, slots=True)
class Said:
    """Limits in a quota's words."""

    quota: dict[str, Data] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()
    """What no key can say, in Slurm's words: `MaxWall=2-00:00:00`."""


def quota_of(tres: Tres, *, jobs: int | None = None, submitted: int | None = None, models: frozenset[str]) -> Said:
    """Return the limits as a quota; `models` are the GPU models that a quota of this file may name."""
    quota: dict[str, Data] = {}
    by_model: dict[str, Data] = {}
    unsaid: Tres = {}
    for name, amount in tres.items():
        if key := _KEYS.get(name):
            quota[key] = write_memory(amount) if key == "memory" else amount
        elif name.startswith(_MODEL) and (model := name.removeprefix(_MODEL)) in models and is_group(model):
            by_model[model] = amount
        else:
            unsaid[name] = amount
    if by_model and _are_reached(by_model, quota.get("gpu")):
        quota[MODELS] = dict(sorted(by_model.items()))
    elif by_model:
        unsaid |= {f"{_MODEL}{model}": tres[f"{_MODEL}{model}"] for model in by_model}
    counts = {"jobs": jobs, "submitted": submitted}
    quota |= {key: count for key, count in counts.items() if count is not None}
    order = ("gpu", MODELS, "shards", "cpu", "memory", "nodes", "jobs", "submitted")
    return Said({key: quota[key] for key in order if key in quota}, (write_tres(unsaid),) if unsaid else ())


def _are_reached(by_model: Mapping[str, Data], gpus: Data | None) -> bool:
    """True where none of the limits of one model lies above that of all models, which the cluster file refuses."""
    return not isinstance(gpus, int) or all(isinstance(each, int) and each <= gpus for each in by_model.values())


def told(quota: Mapping[str, Data], brevity: Brevity) -> dict[str, Data]:
    """Return the quota without what need not be said."""
    if brevity is Brevity.COUNTS:
        return {key: value for key, value in quota.items() if key in _COUNTS}
    return {key: value for key, value in quota.items() if brevity is Brevity.WHOLE or key not in _DERIVED}


def rest_of(limits: Limits, *said: str) -> tuple[str, ...]:
    """Return the limits in Slurm's words, without those fields that have been said."""
    left = replace(limits, **{name: getattr(Limits(), name) for name in said})
    values = {name: getattr(left, name) for name in Limits.__slots__}
    return tuple(f"{_slurm_word(name)}={_value(value)}" for name, value in values.items() if _is_one(value))


def _is_one(value: object) -> bool:
    return value is not None and value != {}


def _slurm_word(name: str) -> str:
    return "".join(part.upper() if part == "tres" else part.capitalize() for part in name.split("_"))


def _value(value: object) -> str:
    if isinstance(value, dict):
        return write_tres(value)
    return str(value) if isinstance(value, int) else write_duration(value)  # type: ignore[arg-type]
