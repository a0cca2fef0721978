"""What could be asked for instead: each change alone, the smallest first. Pure; whether one helps is seen elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aistation_slurm.jobs.why.facts import most_nodes
from aistation_slurm.jobs.why.limits import in_the_way, limits_of
from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.plan import Plan
from aistation_slurm.jobs.why.reasons import Kind, read_reason
from aistation_slurm.jobs.why.shape import Shape, usual_gpu
from aistation_slurm.jobs.why.start import begin_of
from aistation_slurm.slurm.model import Partition
from aistation_slurm.slurm.units import write_duration
from aistation_slurm.slurm.writer.jobs import selector

_LEAST_TIME = timedelta(minutes=1)
_SMALLEST_PART = 0.1
"""A time limit shorter than this part of the one that was asked for is no help."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that could be asked for instead."""

    what: str
    """`2 GPUs instead of 4`."""
    shape: Shape
    command: tuple[str, ...]
    """What makes the change, word by word."""
    size: float
    """How much is given up: 0 nothing, 1 all."""
    begin: datetime | None = None
    """Before it the job may still not start."""
    preempts: bool = False
    """True where it takes the place of others' jobs."""

    @property
    def line(self) -> str:
        """The command as a person types it."""
        return " ".join(self.command)


def changes(plan: Plan) -> list[Change]:
    """Return every change that is worth a try, the smallest first."""
    look = plan.look
    if read_reason(look.job.reason).kind is Kind.DEPENDENCY and look.job.priority:
        return list(_without_dependency(look))
    kinds: tuple[Callable[[Look], Iterator[Change]], ...] = (
        _release, _begin_now, _more_at_once, _other_group, _other_team, _without_wishes, _less_beside_gpus,
        _fewer_gpus, _fewer_nodes, _other_qos,
    )  # fmt: skip
    found = [*_shorter(plan), *(each for kind in kinds for each in kind(look))]
    return sorted(found, key=lambda each: each.size)


def _update(look: Look, *words: str) -> tuple[str, ...]:
    return ("scontrol", "update", f"JobId={selector(look.job)}", *words)


def _change(look: Look, what: str, shape: Shape, *words: str, size: float) -> Change:
    return Change(what, shape, _update(look, *words), size, begin=begin_of(look))


def _release(look: Look) -> Iterator[Change]:
    if read_reason(look.job.reason).name in {"JobHeldUser", "JobLaunchFailure"}:
        command = ("scontrol", "release", selector(look.job))
        yield Change("released", look.shape, command, 0.0, begin=look.job.eligible_time)


def _begin_now(look: Look) -> Iterator[Change]:
    if read_reason(look.job.reason).kind is Kind.TIME:
        yield Change("without its begin time", look.shape, _update(look, "StartTime=now"), 0.0)


def _more_at_once(look: Look) -> Iterator[Change]:
    _, limited, at_once = look.job.array_task.partition("%")
    if read_reason(look.job.reason).name == "JobArrayTaskLimit" and limited and at_once.rstrip("]").isdecimal():
        more = int(at_once.rstrip("]")) + 1
        command = ("scontrol", "update", f"JobId={look.job.array_job_id}", f"ArrayTaskThrottle={more}")
        yield Change(f"{more} members of the array at once", look.shape, command, 0.05, begin=look.job.eligible_time)


def _without_dependency(look: Look) -> Iterator[Change]:
    if read_reason(look.job.reason).name == "DependencyNeverSatisfied":
        yield _change(look, "without its dependency", look.shape, "Dependency=", size=0.3)


def _shorter(plan: Plan) -> Iterator[Change]:
    look = plan.look
    asked = look.shape.time_limit
    for most in {_allowed_time(look), _hole(plan)} - {None}:
        time = _whole_minutes(most)
        if time >= _LEAST_TIME and (asked is None or asked * _SMALLEST_PART <= time < asked):
            size = 1 - time / asked if asked else 0.5
            shape = replace(look.shape, time_limit=time)
            yield _change(
                look, f"a time limit of {_time(time)}{_instead(asked)}", shape, f"TimeLimit={_time(time)}", size=size
            )


def _fewer_gpus(look: Look) -> Iterator[Change]:
    shape = look.shape
    for each in shape.gres:
        if shape.also or (shape.nodes > 1 and shape.gres_for != "job"):
            return
        fewer = {each.count // 2, each.count - 1, *_left_of_quotas(look, each.name)}
        for count in sorted((n for n in fewer if 0 < n < each.count), reverse=True):
            gres = tuple(replace(one, count=count) if one is each else one for one in shape.gres)
            smaller = replace(shape, gres=gres)
            what = f"{_counted(each.name, count)} instead of {each.count}"
            words = (smaller.gres_order(), _same_tasks(shape))
            yield _change(look, what, smaller, *words, size=1 - count / each.count)


def _same_tasks(shape: Shape) -> str:
    """Return the order that names the tasks again.

    On 24.11.5 a job whose GPUs alone were changed waited with reason Resources on free nodes; not so with the tasks.
    """
    return f"NumTasks={shape.tasks}"


def _fewer_nodes(look: Look) -> Iterator[Change]:
    shape = look.shape
    partition = look.partitions.get(shape.partition)
    most = most_nodes(partition) if partition else 1
    for nodes in sorted({shape.nodes // 2, shape.nodes - 1, min(most, shape.nodes - 1), 1}, reverse=True):
        if not 0 < nodes < shape.nodes or shape.node_list:
            continue
        smaller = _on_nodes(shape, nodes)
        words = [f"NumNodes={nodes}", f"NumTasks={smaller.tasks}"]
        if shape.gres_for == "job" and shape.gres:
            words.append(smaller.gres_order())
        what = f"{nodes} {'node' if nodes == 1 else 'nodes'} instead of {shape.nodes}"
        if smaller.gpus < shape.gpus:
            what += f" ({_counted('gpu', smaller.gpus)} instead of {shape.gpus})"
        yield _change(look, what, smaller, *words, size=1 - nodes / shape.nodes)


def _on_nodes(shape: Shape, nodes: int) -> Shape:
    gres = shape.gres
    if shape.gres_for == "job":
        gres = tuple(replace(each, count=max(1, each.count * nodes // shape.nodes)) for each in gres)
    return replace(shape, nodes=nodes, tasks=max(1, shape.tasks * nodes // shape.nodes), gres=gres)


def _other_group(look: Look) -> Iterator[Change]:
    shape, own = look.shape, look.gpu_type
    for partition in look.partitions.values():
        if partition.name == shape.partition or not _may_use(partition, shape):
            continue
        kind = usual_gpu(partition.name, look.nodes)
        if (shape.gpus or shape.shards) and (not kind or shape.gpu_type not in {"", kind}):
            continue
        what = f"group {partition.name}" + (f" ({kind} GPUs)" if kind and kind != own else "")
        moved = replace(shape, partition=partition.name)
        yield _change(look, what, moved, f"Partition={partition.name}", size=0.1 if kind == own else 0.3)


def _other_team(look: Look) -> Iterator[Change]:
    cluster = look.config.get("ClusterName", "")
    for each in look.rules.associations:
        if each.user != look.job.user or each.account == look.job.account or each.cluster not in {"", cluster}:
            continue
        if each.partition in {"", look.job.partition}:
            shape = replace(look.shape, account=each.account)
            yield _change(look, f"for team {each.account}", shape, f"Account={each.account}", size=0.1)


def _without_wishes(look: Look) -> Iterator[Change]:
    shape = look.shape
    if shape.reservation:
        without = replace(shape, reservation="")
        yield _change(look, f"without reservation {shape.reservation}", without, "ReservationName=", size=0.1)
    if shape.features:
        without = replace(shape, features="")
        yield _change(look, f"without --constraint={shape.features}", without, "Features=", size=0.15)
    if shape.prefer:
        yield _change(look, f"without --prefer={shape.prefer}", replace(shape, prefer=""), "Prefer=", size=0.05)
    if shape.node_list:
        without = replace(shape, node_list="")
        yield _change(look, f"on any node, not {shape.node_list}", without, "ReqNodeList=", size=0.15)


def _less_beside_gpus(look: Look) -> Iterator[Change]:
    shape = look.shape
    if shape.cpus_per_gpu > 1 and shape.gpus:
        few = shape.cpus_per_gpu // 2
        less = replace(shape, cpus_per_gpu=few, cpus_per_task=1)
        what = f"{few} CPUs for each GPU instead of {shape.cpus_per_gpu}"
        yield _change(look, what, less, f"CpusPerTres=gpu:{few}", _same_tasks(shape), size=0.2)
    elif shape.cpus_per_task > 1:
        few = shape.cpus_per_task // 2
        less = replace(shape, cpus_per_task=few)
        what = f"{few} CPUs for each task instead of {shape.cpus_per_task}"
        yield _change(look, what, less, f"CPUsPerTask={few}", f"NumCPUs={few * shape.tasks}", size=0.2)
    if shape.memory_per_cpu > 1:
        half = shape.memory_per_cpu // 2
        less = replace(shape, memory_per_cpu=half)
        what = f"{half}M memory for each CPU instead of {shape.memory_per_cpu}M"
        yield _change(look, what, less, f"MinMemoryCPU={half}", size=0.2)
    if shape.memory_per_node > 1:
        half = shape.memory_per_node // 2
        less = replace(shape, memory_per_node=half)
        what = f"{half}M memory on each node instead of {shape.memory_per_node}M"
        yield _change(look, what, less, f"MinMemoryNode={half}", size=0.25)


def _other_qos(look: Look) -> Iterator[Change]:
    mine = [each for each in look.rules.associations if (each.account, each.user) == (look.job.account, look.job.user)]
    for name in dict.fromkeys(name for each in mine for name in each.qos):
        qos = look.rules.qos.get(name)
        if qos is None or name == look.job.qos:
            continue
        yield Change(
            f"QOS {name}" + (" (takes the place of others' jobs)" if qos.preempt else ""),
            replace(look.shape, qos=name), _update(look, f"QOS={name}"), 0.9 if qos.preempt else 0.2,
            begin=begin_of(look), preempts=bool(qos.preempt),
        )  # fmt: skip


def _left_of_quotas(look: Look, gres: str) -> list[int]:
    """Return how many GPUs (or shares) the quotas that are in the way would still let it have."""
    limits = in_the_way(limits_of(look.shape, look.rules, gpu_type=look.gpu_type))
    left = [each.most - each.used for each in limits if each.what.startswith(f"gres/{gres}")]
    if look.shape.cpus_per_gpu and gres == "gpu":
        left += [(each.most - each.used) // look.shape.cpus_per_gpu for each in limits if each.what == "cpu"]
    return [min(left)] if left else []


def _allowed_time(look: Look) -> timedelta | None:
    """Return the longest time limit that is allowed, where this job's is longer."""
    partition, asked = look.partitions.get(look.shape.partition), look.shape.time_limit
    most = [partition.max_time] if partition and partition.max_time else []
    limits = in_the_way(limits_of(look.shape, look.rules))
    most += [timedelta(minutes=each.most) for each in limits if each.what == "minutes"]
    return min((each for each in most if asked is None or each < asked), default=None)


def _hole(plan: Plan) -> timedelta | None:
    """Return the longest time limit with which it would fit now before those ahead start, with two rounds to spare.

    The backfill scheduler counts in steps of bf_resolution.
    """
    resolution = plan.look.scheduler.get("bf_resolution", "")
    step = timedelta(seconds=int(resolution) if resolution.isdecimal() else 60)
    hole = plan.room().hole(plan.look.shape)
    return hole - 2 * step if hole else None


def _may_use(partition: Partition, shape: Shape) -> bool:
    accounts, qos = partition.allow_accounts, partition.allow_qos
    return (
        partition.state == "UP"
        and (not accounts or shape.account in accounts)
        and shape.account not in partition.deny_accounts
        and (not qos or shape.qos in qos)
        and (partition.max_time is None or (shape.time_limit is not None and shape.time_limit <= partition.max_time))
        and (partition.max_nodes is None or shape.nodes <= partition.max_nodes)
    )


def _whole_minutes(time: timedelta | None) -> timedelta:
    return timedelta(minutes=int((time or timedelta()).total_seconds()) // 60)


def _time(time: timedelta) -> str:
    return write_duration(time)


def _instead(asked: timedelta | None) -> str:
    return f" instead of {_time(asked)}" if asked else ""


def _counted(gres: str, count: int) -> str:
    word = "GPU" if gres == "gpu" else "GPU share"
    return f"{count} {word}" + ("" if count == 1 else "s")
