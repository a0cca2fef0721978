"""What the processes of a cluster, or of one of its nodes, are known by."""

from __future__ import annotations

from collections.abc import Sequence

from aistation_slurm.devcluster import network
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.processes import MARK, NodeSigns, Process, of_node, with_children
from aistation_slurm.devcluster.record import ClusterRecord, NodeRecord


def signs_of(paths: Paths, record: ClusterRecord, node: NodeRecord) -> NodeSigns:
    """Return what the node's processes are known by."""
    return NodeSigns(
        mark=f"{record.name}/{node.name}",
        name=node.name,
        slurm_conf=str(paths.slurm_conf),
        log=str(paths.log / f"slurmd.{node.name}.log"),
        job_ids=record.job_ids,
        netns=network.netns_inode(record, node) if record.layout == "netns" else 0,
    )


def of_cluster(processes: Sequence[Process], paths: Paths, nodes: Sequence[NodeSigns]) -> list[Process]:
    """Return every process of the cluster: its daemons, and all that its nodes' jobs started."""
    marked = [each for each in processes if each.environ.get(MARK) == paths.name]
    of_nodes = (each for node in nodes for each in of_node(processes, node))
    return with_children(processes, [*marked, *of_nodes])
