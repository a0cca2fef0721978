"""Nodes: `/slurm/.../nodes`."""

from __future__ import annotations

from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.readers.rest.values import (
    Record,
    bare,
    count,
    either,
    get,
    limit,
    moment,
    records,
    text,
    tres,
    words,
)
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import read_gres


def read_nodes(said: Record) -> list[Node]:
    """Return the nodes of the answer."""
    return [_node(each) for each in records(get(said, "nodes"))]


def _node(node: Record) -> Node:
    reason = " ".join(text(get(node, "reason")).split())
    load = limit(get(node, "cpu_load"))
    return Node(
        name=text(get(node, "name")),
        address=text(get(node, "address")),
        hostname=text(get(node, "hostname")),
        port=count(get(node, "port")),
        state=_state(node),
        reason=reason,
        reason_user=text(get(node, "reason_set_by_user")) if reason else "",
        reason_time=moment(get(node, "reason_changed_at")) if reason else None,
        cpus=count(get(node, "cpus")),
        cpus_allocated=count(get(node, "alloc_cpus")),
        memory=count(get(node, "real_memory")),
        memory_allocated=count(get(node, "alloc_memory")),
        memory_free=limit(either(node, "free_mem", "free_memory")),
        load=None if load is None else load / 100,
        gres=read_gres(text(get(node, "gres"))),
        gres_used=read_gres(text(get(node, "gres_used"))),
        tres=tres(get(node, "tres")),
        tres_allocated=tres(get(node, "tres_used")),
        partitions=words(get(node, "partitions")),
        features=words(get(node, "features")),
        active_features=words(get(node, "active_features")),
        boot_time=moment(get(node, "boot_time")),
        slurmd_start_time=moment(get(node, "slurmd_start_time")),
        last_busy_time=moment(get(node, "last_busy")),
        version=bare(either(node, "version", "slurmd_version")),
        comment=text(get(node, "comment")),
    )


def _state(node: Record) -> NodeState:
    """Return the state of `["IDLE", "DRAIN"]`; up to v0.0.38 the flags stand apart."""
    flags = words(node.get("state_flags"))
    return NodeState.parse("+".join((*words(get(node, "state")), *flags)))
