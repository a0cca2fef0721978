"""What a change asks of Slurm's daemons, from nothing to a restart of them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from aistation_slurm.slurm.nodelist import expand, fold


class Reach(IntEnum):
    """How far an effect goes; the further, the larger."""

    NONE = 0
    RECONFIGURE = 1
    SLURMCTLD = 2
    SLURMD = 3
    ALL = 4


_WORDS = {
    Reach.NONE: "none",
    Reach.RECONFIGURE: "reconfigure",
    Reach.SLURMCTLD: "restart slurmctld",
    Reach.SLURMD: "restart slurmd",
    Reach.ALL: "restart all",
}


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """What must happen so that Slurm sees a change; effects are ordered, the mildest first."""

    reach: Reach = Reach.NONE
    nodes: str = ""
    """Whose slurmd must be restarted, as a node list; only where the effect is that."""

    def __str__(self) -> str:
        return f"{_WORDS[self.reach]} on {self.nodes}" if self.nodes else _WORDS[self.reach]

    def __bool__(self) -> bool:
        return self.reach is not Reach.NONE


NONE = Effect()
RECONFIGURE = Effect(Reach.RECONFIGURE)
RESTART_CONTROLLER = Effect(Reach.SLURMCTLD)
RESTART_ALL = Effect(Reach.ALL)


def restart_nodes(nodes: str) -> Effect:
    """Return the effect that the slurmd of these nodes must be restarted; none where there are no nodes."""
    return Effect(Reach.SLURMD, nodes) if nodes else NONE


def widest(effects: Iterable[Effect]) -> Effect:
    """Return the effect that goes furthest, on the nodes of all that go as far."""
    found = list(effects)
    reach = max((each.reach for each in found), default=Reach.NONE)
    if reach is not Reach.SLURMD:
        return Effect(reach)
    return restart_nodes(fold({name for each in found for name in expand(each.nodes)}))
