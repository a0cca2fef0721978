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
    controller: bool = False
    """True where slurmctld must be restarted beside those slurmd."""

    def __str__(self) -> str:
        if not self.nodes:
            return _WORDS[self.reach]
        return f"restart {'slurmctld and ' if self.controller else ''}slurmd on {self.nodes}"

    @property
    def restarts_controller(self) -> bool:
        """True where slurmctld must be restarted."""
        return self.controller or self.reach in {Reach.SLURMCTLD, Reach.ALL}

    def __bool__(self) -> bool:
        return self.reach is not Reach.NONE


NONE = Effect()
RECONFIGURE = Effect(Reach.RECONFIGURE)
RESTART_CONTROLLER = Effect(Reach.SLURMCTLD)
RESTART_ALL = Effect(Reach.ALL)


def restart_nodes(nodes: str, *, controller: bool = False) -> Effect:
    """Return the effect that the slurmd of these nodes must be restarted; none where there are no nodes."""
    return Effect(Reach.SLURMD, nodes, controller) if nodes else NONE


def widest(effects: Iterable[Effect]) -> Effect:
    """Return the effect that goes furthest, on the nodes of all that go as far."""
    found = list(effects)
    reach = max((each.reach for each in found), default=Reach.NONE)
    if reach is not Reach.SLURMD:
        return Effect(reach)
    nodes = {each.nodes for each in found if each.nodes}
    folded = fold({name for each in nodes for name in expand(each)}) if len(nodes) > 1 else nodes.pop()
    return restart_nodes(folded, controller=any(each.restarts_controller for each in found))
