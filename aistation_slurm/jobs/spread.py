"""GPUs spread over nodes: as many as asked for or allowed, the same on each, on as few nodes as that takes.

The same numbers, and the same words, as slurm_conf/aistation_fit.lua.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.adjustment import Adjustment
from aistation_slurm.jobs.compiled import Group
from aistation_slurm.jobs.request import TrainingRequest
from aistation_slurm.jobs.room import Room


@dataclass(frozen=True, slots=True)
class Shape:
    """How many nodes, and what of GPUs on each; what was changed to get there."""

    nodes: int
    gpus: int = 0
    shares: int | None = None
    changes: Sequence[Adjustment] = ()
    notes: Sequence[str] = ()


def shape_of(request: TrainingRequest, group: Group, room: Room, *, takes_nodes: bool, largest: Group | None) -> Shape:
    """Return nodes and GPUs that fit into the room.

    Raises:
        RequestError: none of it can run there, or not on one node, which is all that the template takes.
    """
    if request.shares:
        return _shares(request, request.shares, group, room)
    if not (request.gpus or request.gpus_per_node):
        return _without_gpus(request, room)
    if not group.gpus:
        where = "--gpus" if request.gpus else "--gpus-per-node"
        raise RequestError(f"the nodes of {group.name!r} have no GPUs", where=where)
    shape = _by_node(request, group, room) if request.gpus_per_node else _in_all(request, group, room)
    if shape.nodes > 1 and not takes_nodes and (request.nodes or 1) == 1:
        raise _needs_nodes(request, group, largest)
    return shape


def spread(total: int, cap: int, most_nodes: int) -> tuple[int, int]:
    """Return nodes and GPUs on each that come nearest to the total, never over it; (0, 0) where none fit.

    On as few nodes as that takes, and at most on twice as many as so many GPUs need: 11 on nodes of 8 are twice 5,
    not eleven times 1.
    """
    best = (0, 0)
    bound = min(most_nodes, 2 * -(-total // cap)) if cap else 0
    for gpus in range(min(cap, total), 0, -1):
        nodes = min(total // gpus, bound)
        if nodes * gpus > best[0] * best[1]:
            best = nodes, gpus
    return best


def _by_node(request: TrainingRequest, group: Group, room: Room) -> Shape:
    """So many GPUs on each node: where that is too much, other numbers that come to as many in all."""
    each, cap = request.gpus_per_node or 0, room.most_gpus
    nodes = request.nodes or -(-(request.gpus or each) // each)
    total = nodes * each
    limit = min(room.all_gpus.cut(total), room.most_nodes * cap)
    if limit < 1:
        raise _nothing_fits(group, room)
    if each <= cap and nodes <= room.most_nodes and total <= limit:
        return Shape(nodes, each)
    given, fits = spread(limit, min(cap, each), room.most_nodes)
    less = _why_less(total, room, room.most_nodes * min(cap, each))
    changes = []
    if fits != each:
        changes.append(Adjustment("gpus_per_node", each, fits, room.gpus.why if each > cap else less))
    if given != nodes:
        why = f"so that there are {given * fits} GPUs in all" if given > nodes else less
        changes.append(Adjustment("nodes", nodes, given, why))
    if given * fits != total:
        changes.append(Adjustment("gpus", total, given * fits, less))
    return Shape(given, fits, changes=changes)


def _in_all(request: TrainingRequest, group: Group, room: Room) -> Shape:
    """So many GPUs all in all, on the nodes that were asked for, or on as few as that takes."""
    total, cap = request.gpus or 0, room.most_gpus
    limit = min(room.all_gpus.cut(total), room.most_nodes * cap)
    if limit < 1:
        raise _nothing_fits(group, room)
    wanted = min(request.nodes or 0, room.most_nodes, limit)
    nodes, each = (wanted, limit // wanted) if wanted and limit <= wanted * cap else spread(limit, cap, room.most_nodes)
    changes = []
    if nodes * each != total:
        why = _why_less(total, room, room.most_nodes * cap)
        changes.append(Adjustment("gpus", total, nodes * each, why))
    if request.nodes and nodes != request.nodes:
        more = f"so that there are {nodes * each} GPUs in all"
        fewer = room.nodes.why if request.nodes > room.most_nodes else "a GPU on each"
        changes.append(Adjustment("nodes", request.nodes, nodes, more if nodes > request.nodes else fewer))
    notes = (
        [f"{nodes * each} GPUs of {group.name} are {nodes} nodes x {each}"] if nodes > 1 and not request.nodes else []
    )
    return Shape(nodes, each, changes=changes, notes=notes)


def _shares(request: TrainingRequest, asked: int, group: Group, room: Room) -> Shape:
    """Shares of the GPUs of one node: Slurm takes those of one job from one GPU."""
    if (request.nodes or 1) > 1:
        raise RequestError("shares of a GPU are on one node", where="--nodes", hint="leave --nodes out")
    limit = room.shards.shared_by(room.all_shards, 1) if room.all_shards.count != 0 else room.all_shards
    fits = limit.cut(asked)
    if fits < 1:
        raise RequestError(f"no share of a GPU fits into {group.name} ({limit.why})", where="--share")
    return Shape(1, 0, fits, [Adjustment("shards", asked, fits, limit.why)] if fits < asked else [])


def _without_gpus(request: TrainingRequest, room: Room) -> Shape:
    """Nodes alone: the quotas of GPUs say nothing of them, but the group has no more than it has."""
    asked = request.nodes or 1
    if asked <= room.most_nodes:
        return Shape(asked)
    return Shape(room.most_nodes, changes=[Adjustment("nodes", asked, room.most_nodes, room.nodes.why)])


def _why_less(total: int, room: Room, most: int) -> str:
    """Return why there are fewer GPUs in all; `most` is what the group has for such a job."""
    quota = room.all_gpus
    if quota.count is not None and total > quota.count and quota.count <= most:
        return quota.why
    return room.nodes.why if total > most else "the same on each node"


def _nothing_fits(group: Group, room: Room) -> RequestError:
    limits = (room.all_gpus, room.gpus, room.nodes)
    why = next((each.why for each in limits if each.count is not None and each.count < 1), room.gpus.why)
    return RequestError(f"no part of this fits into {group.name} ({why})", where="--group")


def _needs_nodes(request: TrainingRequest, group: Group, largest: Group | None) -> RequestError:
    asked = request.gpus_per_node or request.gpus
    more = ""
    if largest is not None and largest.gpus > group.gpus:
        more = f"; the largest there is has {largest.gpus} ({largest.name})"
    return RequestError(
        f"{asked} GPUs are more than any node of {group.name} has, which is {group.gpus}{more}",
        where="--gpus" if request.gpus else "--gpus-per-node",
        hint=f"the template {request.template!r} runs on one node; --template pytorch-ddp runs on several",
    )
