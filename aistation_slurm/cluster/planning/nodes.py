"""Do slurmctld's nodes have what the cluster file says? A partition with an unknown node is fatal to slurmctld."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from aistation_slurm.errors import SpecError
from aistation_slurm.render import slurm_line
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.spec import ClusterSpec, GpuGroup


def node_complaints(
    spec: ClusterSpec, nodes: Mapping[str, Node], *, where: str, settled: Set[str] = frozenset()
) -> Iterator[SpecError]:
    """Yield what slurmctld's nodes lack, each with the NodeName line that would put it right.

    `settled` are those whose NodeName line is right, or becomes so by the plan: they lack a restart, no more.
    """
    for name, group in spec.managed_groups().items():
        names = [node for node in group.node_names() if node not in settled]
        if unknown := [node for node in names if node not in nodes]:
            hint = f"add the line, and restart slurmctld and the slurmd: {node_line(group, unknown)}"
            yield SpecError(f"group {name}: slurmctld knows no node {fold(unknown)}", where=where, hint=hint)
        known = [nodes[node] for node in names if node in nodes]
        for what, poor in _lacking(group, known):
            hint = f"change the line to: {node_line(group, [node.name for node in poor])}"
            yield SpecError(f"group {name}: {fold(node.name for node in poor)} {what}", where=where, hint=hint)


def poor_nodes(spec: ClusterSpec, nodes: Mapping[str, Node]) -> list[str]:
    """Return the nodes of ours that slurmctld does not know, or with less than the cluster file says."""
    return [
        name
        for group in spec.managed_groups().values()
        for name in group.node_names()
        if name not in nodes or next(_faults(group, nodes[name]), None)
    ]


def node_line(group: GpuGroup, names: Sequence[str]) -> str:
    """Return the NodeName line of these nodes, as the site's slurm.conf must have it."""
    shards = f",{group.sharing}:{group.shards_per_node}" if group.shards_per_node else ""
    return slurm_line(
        {
            "NodeName": fold(names),
            "CPUs": group.cpus,
            "RealMemory": group.memory,
            "Gres": f"gpu:{group.gpu_type}:{group.gpus_per_node}{shards}",
        }
    )


def _lacking(group: GpuGroup, nodes: Sequence[Node]) -> Iterator[tuple[str, list[Node]]]:
    """Yield (what they lack, those nodes); more than the file says does no harm, save for GPUs and shares."""
    faults: dict[str, list[Node]] = {}
    for node in nodes:
        for fault in _faults(group, node):
            faults.setdefault(fault, []).append(node)
    yield from faults.items()


def _faults(group: GpuGroup, node: Node) -> Iterator[str]:
    types = {each.type for each in node.gres if each.name == "gpu"} - {group.gpu_type}
    if node.gpus != group.gpus_per_node:
        yield f"has Gres=gpu:{node.gpus}, not {group.gpus_per_node}"
    elif types:
        yield f"has GPUs of type {' and '.join(sorted(types)) or 'none'}, not {group.gpu_type}"
    shares = node.shards if group.sharing == "shard" else sum(each.count for each in node.gres if each.name == "mps")
    if shares != group.shards_per_node:
        yield f"has Gres={group.sharing}:{shares}, not {group.shards_per_node}"
    if node.cpus < group.cpus:
        yield f"has {node.cpus} CPUs, not {group.cpus}"
    if node.memory < group.memory:
        yield f"has RealMemory={node.memory}, not {group.memory}"
