"""What belongs to one reason alone: the job it depends on, who drained the node, until when it may not begin. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from aistation_slurm.jobs.why.limits import amount, in_the_way, limits_of
from aistation_slurm.jobs.why.look import Look, dependency_ids
from aistation_slurm.jobs.why.reasons import Kind, read_reason
from aistation_slurm.jobs.why.room import could_run, of_one_node, spread
from aistation_slurm.jobs.why.shape import Shape, is_in
from aistation_slurm.slurm.model import Node, Partition, Reservation
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.states import NodeState

_UNAVAILABLE = re.compile(r"UnavailableNodes:(?P<nodes>\S+)")


def facts_of(look: Look) -> list[str]:
    """Return what else is known of this reason, as sentences."""
    reason = read_reason(look.job.reason)
    by_name: Mapping[str, Callable[[Look], Iterator[str]]] = {
        "JobArrayTaskLimit": _array,
        "PartitionDown": _partition,
        "PartitionInactive": _partition,
        "PartitionTimeLimit": _partition_time,
        "PartitionNodeLimit": _partition_nodes,
        "AccountNotAllowed": _accounts,
        "Licenses": _licenses,
    }
    by_kind: Mapping[Kind, Callable[[Look], Iterator[str]]] = {
        Kind.DEPENDENCY: _dependency,
        Kind.HELD: _held,
        Kind.TIME: _begin,
        Kind.NODES: _nodes,
        Kind.RESERVATION: _reservation,
        Kind.LIMIT: _night,
    }
    tell = by_name.get(reason.name) or by_kind.get(reason.kind)
    return [
        *([reason.text] if reason.text and not reason.text.startswith(reason.name) else []),
        *(tell(look) if tell else ()),
    ]


def never(look: Look) -> str:
    """Return why the job can never start as it is; nothing where it can, or where that is not known."""
    reason = read_reason(look.job.reason)
    if reason.name == "DependencyNeverSatisfied":
        return "what it depends on did not happen, and can't any more"
    for limit in in_the_way(limits_of(look.shape, look.rules, gpu_type=look.gpu_type), reason.limit):
        if limit.is_for_ever and (limit.most or limit.what != "jobs"):
            return str(limit)
    partition = look.partitions.get(look.job.partition)
    if reason.name == "PartitionTimeLimit" and partition and partition.max_time:
        return f"{partition.name} allows {partition.max_time}, and it asks for {look.job.time_limit or 'no limit'}"
    if reason.kind is Kind.RULE and not reason.name.startswith(("Partition", "Constraints")):
        return reason.says
    return _too_large(look)


def _too_large(look: Look) -> str:
    """Return why no set of nodes, all of them empty and well, could run it; a node that is away counts as there."""
    members = [_as_if_well(each) for each in look.nodes if is_in(each, look.job.partition)]
    if not members:
        return ""
    shape = spread(look.shape, members)
    able = sum(could_run(each, shape) for each in members)
    if able >= shape.nodes:
        return ""
    if able == len(members):
        return f"it asks for {shape.nodes} nodes, and {look.job.partition} has {able}"
    what = f"{shape.nodes} nodes" if shape.nodes > 1 else "a node"
    return (
        f"it asks for {what} of {look.job.partition} with {_part(shape)}; {able} of {len(members)} nodes are like that"
    )


def _part(shape: Shape) -> str:
    """Return what it asks of one node."""
    cpus, memory, gpus, shards = of_one_node(shape)
    words = [amount("cpu", cpus), amount("mem", memory)]
    words += [amount(f"gres/gpu:{shape.gpu_type}" if shape.gpu_type else "gres/gpu", gpus)] if gpus else []
    words += [amount("gres/shard", shards)] if shards else []
    words += [f"the features {shape.features}"] if shape.features else []
    words += [f"the name {shape.node_list}"] if shape.node_list else []
    return ", ".join(words)


def _as_if_well(node: Node) -> Node:
    return replace(node, state=NodeState.parse("IDLE"))


def _dependency(look: Look) -> Iterator[str]:
    known = {each.job_id: each for each in look.depends_on}
    known |= {each.array_job_id: each for each in look.depends_on if each.array_job_id}
    for job_id in dependency_ids(look.job.dependency):
        found = known.get(job_id)
        if not found:
            yield f"job {job_id}: Slurm knows it no more"
            continue
        ends = f", at the latest {found.end_time:%H:%M}" if found.state.is_running and found.end_time else ""
        yield f"job {job_id} ({found.name}) of {found.user} is {found.state.value}{ends}"
    if look.job.dependency:
        yield f"it waits for {look.job.dependency}"


def _held(look: Look) -> Iterator[str]:
    name = read_reason(look.job.reason).name
    if name in {"JobHeldUser", "JobLaunchFailure"}:
        yield f"{look.job.user} can release it: scontrol release {look.job.job_id}"
    elif name == "ReservationDeleted":
        yield f"take the reservation off and release it: scontrol update JobId={look.job.job_id} ReservationName="
    else:
        yield "an administrator must release it (an operator of Slurm: scontrol release)"


def _begin(look: Look) -> Iterator[str]:
    job = look.job
    if job.eligible_time is None:
        return
    if job.restart_count:
        yield f"it was requeued ({job.restart_count} times so far), and Slurm lets a requeued job wait two minutes"
    yield f"not before {job.eligible_time.astimezone():%Y-%m-%d %H:%M:%S}"


def _nodes(look: Look) -> Iterator[str]:
    shape = look.shape
    named = _UNAVAILABLE.search(read_reason(look.job.reason).text)
    wanted = set(expand(shape.node_list)) | (set(expand(named["nodes"])) if named else set())
    members = [each for each in look.nodes if is_in(each, look.job.partition)]
    for node in members:
        if not node.state.is_usable and (not wanted or node.name in wanted):
            yield _away(node)
    if shape.gpus and not wanted:
        free = {each.name: each.gpus - each.gpus_allocated for each in members if each.state.is_usable}
        names = fold(name for name, count in free.items() if count)
        where = f" ({names})" if names else ""
        there = sum(each.gpus for each in members)
        yield f"{sum(free.values())} of {there} GPUs of {look.job.partition} are free{where}"
    for each in look.reservations:
        if each.name != look.job.reservation and set(expand(each.nodes)) & {node.name for node in members}:
            yield _kept(each)


def _away(node: Node) -> str:
    since = f" since {node.reason_time.astimezone():%m-%d %H:%M}" if node.reason_time else ""
    by = f" by {node.reason_user}" if node.reason_user else ""
    why = f": {node.reason}" if node.reason else ""
    return f"node {node.name} is {node.state}{since}{by}{why}"


def _kept(each: Reservation) -> str:
    since = f"{each.start_time.astimezone():%m-%d %H:%M}" if each.start_time else "now"
    until = f"{each.end_time.astimezone():%m-%d %H:%M}" if each.end_time else "for ever"
    return f"reservation {each.name} keeps {each.nodes} from {since} to {until} for {_whose(each)}"


def _whose(each: Reservation) -> str:
    return ", ".join((*each.users, *each.accounts)) or "maintenance"


def _reservation(look: Look) -> Iterator[str]:
    mine = [each for each in look.reservations if each.name in look.job.reservation.split(",")]
    yield from map(_kept, mine)
    if not mine and look.job.reservation:
        yield f"there is no reservation {look.job.reservation}"


def _array(look: Look) -> Iterator[str]:
    members = [each for each in look.rules.running if each.array_job_id == look.job.array_job_id]
    _, limited, most = look.job.array_task.partition("%")
    if limited:
        running = "1 member" if len(members) == 1 else f"{len(members)} members"
        yield f"{running} of array {look.job.array_job_id} running, and its limit is {most.rstrip(']')}"


def _partition(look: Look) -> Iterator[str]:
    if partition := look.partitions.get(look.job.partition):
        yield f"partition {partition.name} is {partition.state}"


def _partition_time(look: Look) -> Iterator[str]:
    partition = look.partitions.get(look.job.partition)
    if partition and partition.max_time:
        yield f"{partition.name} allows {partition.max_time}, and it asks for {look.job.time_limit or 'no limit'}"


def _partition_nodes(look: Look) -> Iterator[str]:
    partition = look.partitions.get(look.job.partition)
    if partition:
        yield f"{partition.name} gives a job {most_nodes(partition)} nodes at most, and it asks for {look.shape.nodes}"


def most_nodes(partition: Partition) -> int:
    """Return how many nodes a partition gives to one job at most."""
    return partition.total_nodes if partition.max_nodes is None else min(partition.max_nodes, partition.total_nodes)


def _accounts(look: Look) -> Iterator[str]:
    partition = look.partitions.get(look.job.partition)
    if partition and partition.allow_accounts:
        yield f"{partition.name} is for {', '.join(partition.allow_accounts)}, and it counts for {look.job.account}"


def _licenses(look: Look) -> Iterator[str]:
    asked = look.asked.get(look.job.job_id)
    if asked and asked.licenses:
        yield f"it asks for {asked.licenses}; `scontrol show license` tells how many are in use"


def _night(look: Look) -> Iterator[str]:
    """A QOS that lets no job run is one that opens by the clock."""
    for limit in in_the_way(limits_of(look.shape, look.rules)):
        if limit.what == "jobs" and limit.most == 0:
            yield f"QOS {limit.name} is closed now; the calendar of the cluster file says when it opens"
