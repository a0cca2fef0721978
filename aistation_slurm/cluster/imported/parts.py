"""The parts of the file put together: which quotas can be said briefly, and stay what Slurm has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aistation_slurm.cluster.imported.common import common, without
from aistation_slurm.cluster.imported.entry import Entry
from aistation_slurm.cluster.imported.ours import ours
from aistation_slurm.cluster.imported.quotas import Brevity
from aistation_slurm.cluster.imported.seen import Seen
from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.cluster.wanted.desired import Desired, desired, partition_qos
from aistation_slurm.cluster.wanted.limits import association_values, qos_values
from aistation_slurm.slurm.model import Association
from aistation_slurm.slurm.writer.limits import Values
from aistation_slurm.spec import ClusterSpec

_LIMITS = {"per_user": "MaxTRESPerUser", "per_team": "MaxTRESPerAccount"}
_USERS, _GROUP, _TEAM = "users", "group", "team"

Slot = tuple[str, str, str]
"""(kind, name of the group or team, `per_user` or `per_team`): where a quota stands."""


@dataclass(frozen=True, slots=True)
class Parts:
    """All that the file is put together from."""

    seen: Seen
    groups: Mapping[str, Entry]
    teams: Mapping[str, Entry]
    quotas: Mapping[str, Mapping[str, Data]]
    with_models: bool = True
    """Whether `quota: per_team` may limit single models: such a limit holds in their groups too."""

    def slots(self) -> Iterator[Slot]:
        """Yield where each quota of ours stands."""
        for kind, entries in ((_GROUP, self.groups), (_TEAM, self.teams)):
            for name, each in entries.items():
                if each.is_ours:
                    yield from ((kind, name, who) for who in each.quotas)
        if any(team.is_ours for team in self.teams.values()):
            yield from ((_USERS, "", who) for who in self.quotas)

    def data(self, brevity: Mapping[Slot, Brevity]) -> dict[str, Data]:
        """Return the file; quotas that `brevity` doesn't name are told whole."""
        groups = {name: each.said(_of(brevity, _GROUP, name)) for name, each in self.groups.items()}
        teams = {name: each.said(_of(brevity, _TEAM, name)) for name, each in self.teams.items()}
        quotas = _mapping(Entry({}, is_ours=True, quotas=self.quotas).said(_of(brevity, _USERS, "")).get("quota"))
        lowest = [_mapping(teams[name].get("quota")) for name in self._lowest()]
        if per_team := common(lowest, with_models=self.with_models):
            quotas = {**quotas, "per_team": per_team}
            teams |= {name: _less(teams[name], per_team) for name in self._lowest()}
        default = [name for name, each in self.seen.observed.partitions.items() if each.is_default and name in groups]
        data: dict[str, Data] = {"cluster": self.seen.cluster, "groups": groups}
        data |= {"default_group": default[0]} if default else {}
        data |= {"quota": quotas} if quotas else {}
        return {**data, "teams": teams, **ours(self.seen)}

    def _lowest(self) -> list[str]:
        """Return our teams that have no other below them: what they leave out follows from `quota: per_team`."""
        above = {each.data.get("parent") for each in self.teams.values()}
        return [name for name, each in self.teams.items() if each.is_ours and name not in above]

    def briefest(self) -> dict[str, Data]:
        """Return the file with each quota as brief as may be: Slurm's limits must follow from it as they are."""
        first = {slot: Brevity.COUNTS if self._may_follow(*slot) else Brevity.SHORT for slot in self.slots()}
        kept = self._following(first)
        second = kept | {slot: Brevity.SHORT for slot in first if slot not in kept}
        found = self._following(second)
        if self.with_models and self._following(dict.fromkeys(first, Brevity.WHOLE) | found).keys() != first.keys():
            return replace(self, with_models=False).briefest()
        return self.data(found)

    def _may_follow(self, kind: str, name: str, who: str) -> bool:
        """True where the quota may be another's consequence: a group's, of which our own table says no more."""
        return kind == _GROUP and not self.seen.says_quota(name, who)

    def _following(self, brevity: Mapping[Slot, Brevity]) -> dict[Slot, Brevity]:
        """Return those quotas that can be told so briefly."""
        wanted = desired(ClusterSpec.model_validate(self.data(brevity)))
        return {slot: brief for slot, brief in brevity.items() if self._follows(wanted, *slot)}

    def _follows(self, wanted: Desired, kind: str, name: str, who: str) -> bool:
        found = self.seen.observed
        if kind == _GROUP:
            key, qos = _LIMITS[who], partition_qos(name)
            values = qos_values(found.qos[qos].limits) if qos in found.qos else {}
            return wanted.qos[qos].values.get(key) == values.get(key)
        if kind == _TEAM:
            return _same(wanted.accounts[name].limits, found.associations[name, ""])
        return any(
            _same(each.limits, row) for key, each in wanted.users.items() if (row := found.associations.get(key))
        )


def _same(limits: Values, row: Association) -> bool:
    return limits.get("GrpTRES") == association_values(row.limits).get("GrpTRES")


def _mapping(data: Data | None) -> Mapping[str, Data]:
    return data if isinstance(data, Mapping) else {}


def _less(team: Mapping[str, Data], per_team: Mapping[str, Data]) -> dict[str, Data]:
    """Return the team without what is told for all."""
    quota = without(_mapping(team.get("quota")), per_team)
    return {key: value for key, value in team.items() if key != "quota"} | ({"quota": quota} if quota else {})


def _of(brevity: Mapping[Slot, Brevity], kind: str, name: str) -> dict[str, Brevity]:
    return {who: brief for (found, whose, who), brief in brevity.items() if (found, whose) == (kind, name)}
