"""What the quotas of all teams have in common, told once: `quota: per_team`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from aistation_slurm.cluster.imported.quotas import MODELS
from aistation_slurm.cluster.imported.words import Data

Quota = Mapping[str, Data]
Plain = dict[tuple[str, str], Data]
"""(key, GPU model or nothing) -> amount: a quota without its inner mapping."""


def common(quotas: Sequence[Quota], *, with_models: bool) -> dict[str, Data]:
    """Return what all of them limit, each to what most of them say; a team that says otherwise has its own."""
    plain = [{key: value for key, value in _plain(quota).items() if with_models or not key[1]} for quota in quotas]
    keys = set.intersection(*(set(each) for each in plain)) if plain else set[tuple[str, str]]()
    in_order = [key for key in plain[0] if key in keys] if plain else []
    found = {key: Counter(each[key] for each in plain).most_common(1)[0][0] for key in in_order}
    most = found.get(("gpu", ""))
    if isinstance(most, int):  # a limit of one model above that of all is refused
        found = {key: value for key, value in found.items() if key[0] != MODELS or cast("int", value) <= most}
    return _whole(found)


def without(quota: Quota, told: Quota) -> dict[str, Data]:
    """Return what the quota says beyond what is told for all."""
    said = _plain(told)
    return _whole({key: value for key, value in _plain(quota).items() if said.get(key) != value})


def _plain(quota: Quota) -> Plain:
    models = quota.get(MODELS, {})
    by_model = {(MODELS, model): count for model, count in models.items()} if isinstance(models, Mapping) else {}
    return {**{(key, ""): value for key, value in quota.items() if key != MODELS}, **by_model}


def _whole(plain: Plain) -> dict[str, Data]:
    quota: dict[str, Data] = {key: value for (key, model), value in plain.items() if not model}
    if by_model := {model: count for (_, model), count in plain.items() if model}:
        quota[MODELS] = by_model
    return quota
