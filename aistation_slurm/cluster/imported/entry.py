"""A group or a team, as far as it can be told: what is sure, and quotas that can be said in two ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aistation_slurm.cluster.imported.quotas import Brevity, told
from aistation_slurm.cluster.imported.words import Data

SITE: Mapping[str, Data] = {"managed_by": "site"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A group or a team of the cluster file."""

    data: Mapping[str, Data]
    """All of it but its quotas; what is empty is left out."""
    is_ours: bool
    quotas: Mapping[str, Mapping[str, Data]] = field(default_factory=dict)
    """`per_user`, `per_team` of a group; a team's own has the name ``."""

    def said(self, brevity: Mapping[str, Brevity]) -> dict[str, Data]:
        """Return the whole entry; a quota that `brevity` doesn't name is told whole."""
        named = {who: told(quota, brevity.get(who, Brevity.WHOLE)) for who, quota in self.quotas.items()}
        quotas = {who: quota for who, quota in named.items() if quota}
        quota = quotas.get("", quotas)
        given = {key: value for key, value in self.data.items() if value not in ("", [], None)}
        return {**given, **({"quota": quota} if quota else {}), **({} if self.is_ours else SITE)}
