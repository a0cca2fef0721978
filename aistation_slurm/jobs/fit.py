"""What was asked for, made to fit what there is; every change is said, with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.slurm.model import Node, Partition


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One thing that was changed for the user, and why."""

    what: str
    asked: int
    given: int
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.asked} -> {self.given} ({self.why})"


@dataclass(frozen=True, slots=True)
class Group:
    """What a GPU group has to give to one job."""

    name: str
    nodes: int
    gpus_in_a_node: int
    cpus_in_a_node: int


def find_group(name: str | None, partitions: Sequence[Partition], nodes: Sequence[Node]) -> Group:
    """Return the group of this name, or Slurm's default one; counts are those of its largest nodes.

    Raises:
        RequestError: there is no such group, or no default.
    """
    chosen = next((each for each in partitions if (each.name == name if name else each.is_default)), None)
    if chosen is None:
        known = [each.name for each in partitions]
        close = get_close_matches(name or "", known, n=1)
        raise RequestError(
            f"no GPU group called {name!r}" if name else "no GPU group was named, and there is no default one",
            where="--group",
            hint=f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}",
        )
    members = [each for each in nodes if chosen.name in each.partitions]
    return Group(
        name=chosen.name,
        nodes=len(members),
        gpus_in_a_node=max((each.gpus for each in members), default=0),
        cpus_in_a_node=max((each.cpus for each in members), default=0),
    )


def fit(request: TrainingRequest, group: Group) -> tuple[TrainingRequest, list[Adjustment]]:
    """Return a request that can run in this group, and what had to be changed to get there.

    More GPUs a node than a node has become more nodes; more nodes than the group has, and more CPUs, become fewer.

    Raises:
        RequestError: nothing of it can run there.
    """
    changes: list[Adjustment] = []
    nodes, gpus = request.nodes or 1, request.gpus_per_node or 0
    if group.nodes == 0:
        raise RequestError(f"the group {group.name!r} has no nodes", where="--group")
    if gpus and not group.gpus_in_a_node:
        raise RequestError(f"the nodes of {group.name!r} have no GPUs", where="--gpus-per-node")
    if gpus > group.gpus_in_a_node:
        total, needed = nodes * gpus, -(-nodes * gpus // group.gpus_in_a_node)
        given = -(-total // needed)
        changes.append(Adjustment("gpus_per_node", gpus, given, f"a node of {group.name} has no more"))
        changes.append(Adjustment("nodes", nodes, needed, f"so that there are {total} GPUs in all"))
        nodes, gpus = needed, given
    if nodes > group.nodes:
        changes.append(Adjustment("nodes", nodes, group.nodes, f"{group.name} has no more"))
        nodes = group.nodes
    update: dict[str, Any] = {"nodes": nodes, "gpus_per_node": gpus} if changes else {}
    if request.cpus_per_gpu and request.cpus_per_gpu * max(1, gpus) > group.cpus_in_a_node:
        most = max(1, group.cpus_in_a_node // max(1, gpus))
        why = f"a node of {group.name} has {group.cpus_in_a_node} CPUs"
        changes.append(Adjustment("cpus_per_gpu", request.cpus_per_gpu, most, why))
        update["cpus_per_gpu"] = most
    return replace(request, **update), changes
