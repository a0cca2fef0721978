"""What may be asked for, where no policy was compiled: what Slurm says of its partitions and nodes."""

from __future__ import annotations

from collections.abc import Sequence

from aistation_slurm.jobs.compiled import Group, Policy
from aistation_slurm.slurm.connect import connect
from aistation_slurm.slurm.model import Node, Partition


def ask_policy() -> Policy:
    """Return what Slurm says there is; of quotas it tells nothing.

    Raises:
        SlurmError: it can't be asked.
    """
    slurm = connect()
    return policy_of(slurm.read.partitions(), slurm.read.nodes())


def policy_of(partitions: Sequence[Partition], nodes: Sequence[Node]) -> Policy:
    """Return the partitions as groups; counts are those of their largest nodes."""
    groups = {each.name: _group(each, [node for node in nodes if each.name in node.partitions]) for each in partitions}
    default = next((each.name for each in partitions if each.is_default), None)
    return Policy(groups=groups, default_group=default, is_asked=True)


def _group(partition: Partition, nodes: Sequence[Node]) -> Group:
    types = dict.fromkeys(gres.type for node in nodes for gres in node.gres if gres.name == "gpu" and gres.type)
    return Group(
        name=partition.name,
        nodes=len(nodes),
        gpus=max((each.gpus for each in nodes), default=0),
        cpus=max((each.cpus for each in nodes), default=0),
        memory=max((each.memory for each in nodes), default=0),
        gpu_types=tuple(types),
        shards=max((gres.count for node in nodes for gres in node.gres if gres.name == "shard"), default=0),
        max_time=partition.max_time,
        teams=frozenset(partition.allow_accounts) if partition.allow_accounts else None,
    )
