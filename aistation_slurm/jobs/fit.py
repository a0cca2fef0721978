"""What was asked for, made to fit what there is; every change is said, with its reason.

What comes out is left alone by the rules that slurmctld runs (slurm_conf/aistation_fit.lua): a script is rendered for
so many nodes and GPUs, and must get just these. Pure: looks at nothing, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.adjustment import Adjustment
from aistation_slurm.jobs.choose import choose_group, may_use
from aistation_slurm.jobs.compiled import Group, Policy
from aistation_slurm.jobs.request import TrainingRequest, option_of
from aistation_slurm.jobs.room import DEVELOPMENT, EMERGENCY, NIGHT, Room, qos_in, room_in, write_memory
from aistation_slurm.jobs.spread import Shape, shape_of
from aistation_slurm.slurm.units import read_duration, read_memory, write_duration

__all__ = ["Adjustment", "Fitted", "fit"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request that can run, what had to be changed to get there, and what is worth knowing."""

    request: TrainingRequest
    adjustments: Sequence[Adjustment] = ()
    notes: Sequence[str] = ()


def fit(request: TrainingRequest, policy: Policy, *, account: str | None = None, takes_nodes: bool = True) -> Fitted:
    """Return what can run of the request: its group named, its GPUs as so many nodes with so many each.

    `account` is the team that the job will count for, where that is known. `takes_nodes` is False for a template that
    runs on one node.

    Raises:
        RequestError: nothing of it can run, or the cluster file wants what is too large refused.
        NotPermitted: the team may not use the group.
    """
    account = (request.account or account or "").lower() or None
    _raise_if_no_such_qos(request, policy)
    _raise_if_contradictory(request)
    wants_gpus = bool(request.gpus or request.gpus_per_node)
    group, changes = choose_group(request, policy, account=account, wants_gpus=wants_gpus)
    if group.nodes == 0:
        raise RequestError(f"the group {group.name!r} has no nodes", where="--group")
    room = room_in(group, policy, account=account, qos=qos_in(group, request.qos))
    named = replace(request, group=group.name)
    shape = shape_of(named, group, room, takes_nodes=takes_nodes, largest=_largest(policy, account))
    amounts, more = _amounts(named, group, room, shape)
    changes = [*changes, *shape.changes, *more]
    if changes and policy.over_request == "refuse":
        raise _too_much(changes)
    if changes and policy.over_request == "remind":
        return _as_asked(named, changes)
    return Fitted(replace(named, **_sizes(named, shape), **amounts), changes, shape.notes)


def _sizes(request: TrainingRequest, shape: Shape) -> dict[str, Any]:
    """Return nodes and GPUs; what was not asked for, and is one, is left to the template."""
    nodes = shape.nodes if request.nodes is not None or shape.nodes > 1 else None
    has_gpus = request.gpus is not None or request.gpus_per_node is not None
    each = shape.gpus if has_gpus else None
    return {"nodes": nodes, "gpus": None, "gpus_per_node": each, "shares": shape.shares}


def _amounts(
    request: TrainingRequest, group: Group, room: Room, shape: Shape
) -> tuple[dict[str, Any], list[Adjustment]]:
    """Return CPUs, memory and time that fit, as far as they were asked for."""
    found: dict[str, Any] = {}
    changes: list[Adjustment] = []

    def lower(field: str, asked: int | str, given: int | str, why: str, what: str = "") -> None:
        found[field] = given
        changes.append(Adjustment(what or field, asked, given, why))

    gpus, has_gpus = max(1, shape.gpus), bool(shape.gpus or shape.shares)
    cpus = room.cpus.shared_by(room.all_cpus, shape.nodes) if has_gpus else room.cpus
    if request.cpus_per_gpu and cpus.count is not None and request.cpus_per_gpu * gpus > cpus.count:
        lower("cpus_per_gpu", request.cpus_per_gpu, cpus.count // gpus or "none", cpus.why)
        found["cpus_per_gpu"] = cpus.count // gpus or None  # a quota of fewer CPUs than GPUs leaves none to speak of
    if request.cpus and cpus.count is not None and request.cpus > cpus.count:
        lower("cpus", request.cpus, cpus.count, cpus.why, "cpus_per_task")
    memory = room.memory.shared_by(room.all_memory, shape.nodes) if has_gpus else room.memory
    if request.mem is not None and memory.count is not None:
        asked = read_memory(request.mem)
        is_all = asked == 0 and memory.count < (room.memory.count or 0)  # --mem=0 is all that the node has
        if asked > memory.count or is_all:
            lower("mem", request.mem if asked else "all", write_memory(memory.count), memory.why, "memory_per_node")
    if request.time and group.max_time:
        limit = read_duration(request.time)
        if limit is None or limit > group.max_time:
            lower("time", request.time, write_duration(group.max_time), f"{group.name} allows no more")
    return found, changes


def _as_asked(request: TrainingRequest, changes: Sequence[Adjustment]) -> Fitted:
    """Return the request as it was, and what would fit as a reminder; its GPUs are still to be on nodes."""
    nodes = request.nodes or 1
    update: dict[str, Any] = {}
    if request.gpus is not None:
        each = request.gpus_per_node or -(-request.gpus // nodes)
        update = {"gpus": None, "gpus_per_node": each, "nodes": request.nodes or -(-request.gpus // max(1, each))}
    lines = ["this is more than fits, and is left as it is; what would fit:", *map(str, changes)]
    return Fitted(replace(request, **update), (), lines)


def _too_much(changes: Sequence[Adjustment]) -> RequestError:
    lines = [str(each) for each in changes]
    options = " ".join(f"{_option(each.what)}={each.given}" for each in changes)
    return RequestError(
        "refused, this is more than fits; what would fit:", hint="\n".join([*lines, f"ask for it so: {options}"])
    )


def _option(what: str) -> str:
    names = {"memory_per_node": "--mem", "shards": "--share"}
    return names.get(what, option_of(what))


def _largest(policy: Policy, account: str | None) -> Group | None:
    """Return the group with the most GPUs on a node, of those that the team may use."""
    mine = [each for each in policy.groups.values() if may_use(account, each) and each.gpus]
    return max(mine, key=lambda each: each.gpus, default=None)


def _raise_if_no_such_qos(request: TrainingRequest, policy: Policy) -> None:
    """Emergency and night are ours to know; any other QOS may be the site's."""
    qos = (request.qos or "").lower()
    if policy.qos and qos in {EMERGENCY, NIGHT, DEVELOPMENT} and qos not in policy.qos:
        why = "the cluster file has no calendar" if qos == NIGHT else "no group takes it"
        raise RequestError(
            f"there is no QOS {qos!r} here: {why}", where="--qos", hint=f"there are: {', '.join(policy.qos)}"
        )


def _raise_if_contradictory(request: TrainingRequest) -> None:
    total, each, nodes = request.gpus, request.gpus_per_node, request.nodes
    if not (total and each):
        return
    if total % each or (nodes is not None and total != nodes * each):
        on = f"on {nodes} nodes" if nodes else "in all"
        raise RequestError(
            f"{total} GPUs are not {each} on each node {on}", where="--gpus", hint="say only one of the two"
        )
