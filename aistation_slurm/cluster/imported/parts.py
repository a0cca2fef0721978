"""The parts of the file put together: which quotas can be said briefly, and stay what Slurm has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aistation_slurm.cluster.desired import Desired, desired, partition_qos
from aistation_slurm.cluster.imported.entry import Entry
from aistation_slurm.cluster.imported.ours import ours
from aistation_slurm.cluster.imported.seen import Seen
from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.cluster.limits import association_values, qos_values
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

    def slots(self) -> Iterator[Slot]:
        """Yield where each quota of ours stands."""
        for kind, entries in ((_GROUP, self.groups), (_TEAM, self.teams)):
            for name, each in entries.items():
                if each.is_ours:
                    yield from ((kind, name, who) for who in each.quotas)
        if any(team.is_ours for team in self.teams.values()):
            yield from ((_USERS, "", who) for who in self.quotas)

    def data(self, brief: frozenset[Slot]) -> dict[str, Data]:
        """Return the file; `brief` are the quotas whose CPUs and memory are left out."""
        users = Entry({}, is_ours=True, quotas=self.quotas).said(_named(brief, _USERS, ""))
        groups = {name: each.said(_named(brief, _GROUP, name)) for name, each in self.groups.items()}
        teams = {name: each.said(_named(brief, _TEAM, name)) for name, each in self.teams.items()}
        default = [name for name, each in self.seen.observed.partitions.items() if each.is_default and name in groups]
        data: dict[str, Data] = {"cluster": self.seen.cluster, "groups": groups}
        data |= {"default_group": default[0]} if default else {}
        return {**data, **users, "teams": teams, **ours(self.seen)}

    def following(self, spec: ClusterSpec) -> frozenset[Slot]:
        """Return the quotas from which Slurm's limits follow as they are; `spec` is the file with all of them brief."""
        wanted = desired(spec)
        return frozenset(slot for slot in self.slots() if self._follows(wanted, *slot))

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


def _named(brief: frozenset[Slot], kind: str, name: str) -> frozenset[str]:
    return frozenset(who for found, whose, who in brief if (found, whose) == (kind, name))
