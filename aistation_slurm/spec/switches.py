"""What must hold between the switches of `slurm: {topology: ...}`."""

from __future__ import annotations

from collections.abc import Iterator

from aistation_slurm.spec.complaints import unknown_name
from aistation_slurm.spec.names import expand
from aistation_slurm.spec.slurm_keys import Topology
from aistation_slurm.spec.source import Path_, Problem

_PLACE: Path_ = ("slurm", "topology", "switches")


def check_switches(topology: Topology) -> Iterator[Problem]:
    """Yield what would make topology/tree end slurmctld, or leave a node out of reach."""
    over: dict[str, str] = {}
    leaf: dict[str, str] = {}
    for name, switch in topology.switches.items():
        if bool(switch.nodes) == bool(switch.switches):
            text = f"switch {name} has {'both nodes and switches' if switch.nodes else 'neither nodes nor switches'}"
            yield Problem((*_PLACE, name), text, "a leaf has nodes, any other has switches")
        for index, below in enumerate(switch.switches):
            path = (*_PLACE, name, "switches", index)
            if below not in topology.switches:
                yield unknown_name(path, "switch", below, topology.switches)
            elif (first := over.setdefault(below, name)) != name:
                yield Problem(path, f"switch {below} is below {first} already", "a switch has one above it")
        twice = [node for node in expand(switch.nodes or "") if leaf.setdefault(node, name) != name]
        if twice:
            text = f"{twice[0]} is at switch {leaf[twice[0]]} already"
            yield Problem((*_PLACE, name, "nodes"), text, "a node is at one switch")
    yield from _circles(topology, over)


def _circles(topology: Topology, over: dict[str, str]) -> Iterator[Problem]:
    for name in topology.switches:
        at, seen = over.get(name), {name}
        while at is not None and at not in seen:
            seen.add(at)
            at = over.get(at)
        if at == name:
            yield Problem((*_PLACE, name), f"switch {name} is above itself", "let the highest one stand below none")
