"""Groups from partitions: what their nodes have in common, who may use them, for how long, and how much of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aistation_slurm.cluster.imported.entry import Entry
from aistation_slurm.cluster.imported.quotas import MODELS, PER_SOMEBODY, quota_of, rest_of
from aistation_slurm.cluster.imported.seen import Remarks, Seen
from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.cluster.wanted.desired import DEVELOPMENT, NORMAL
from aistation_slurm.slurm.model import Limits, Node, Partition
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.spec import is_group
from aistation_slurm.spec.amounts import write_duration, write_memory

MOST_GPUS, MOST_SHARES, MOST_CPUS = 64, 64, 65_533


@dataclass(frozen=True, slots=True)
class Kind:
    """What the nodes of a group have in common."""

    gpu_type: str
    gpus: int
    shares: int = 1
    """Of each GPU."""
    sharing: str = ""
    """`shard` or `mps`, where they are shared."""


def groups_of(seen: Seen, remarks: Remarks) -> dict[str, Entry]:
    """Return the groups, in slurmctld's order; a node is in one only, and what can't be a group is remarked on."""
    taken: dict[str, str] = {}
    found: dict[str, Entry] = {}
    for partition, nodes in _in_turn(seen, remarks):
        if why := _hindrance(seen, partition, nodes, taken):
            remarks.add(f"partition {partition.name}", why)
            continue
        taken |= {node.name: partition.name for node in nodes}
        found[partition.name] = _group(seen, partition, nodes, remarks)
    in_order = [name for name in seen.observed.partitions if name in found]
    return {name: found[name] for name in sorted(in_order, key=lambda name: not found[name].is_ours)}


def _in_turn(seen: Seen, remarks: Remarks) -> list[tuple[Partition, list[Node]]]:
    """Return each partition that has GPUs with those of its nodes that are alike.

    Which of two that share nodes becomes the group: one of ours; then one that all may see, that has one kind of GPUs,
    that is the default, that has more nodes of that kind, and fewer others; then the first in slurm.conf.
    """
    found = []
    for partition in seen.observed.partitions.values():
        nodes = [seen.observed.nodes[name] for name in expand(partition.nodes) if name in seen.observed.nodes]
        if with_gpus := [node for node in nodes if node.gpus]:
            alike = _alike(partition, nodes, with_gpus, remarks)
            shape = (len(alike) < len(with_gpus), not partition.is_default, -len(alike), len(nodes))
            found.append(((not seen.is_our_group(partition), partition.is_hidden, *shape), partition, alike))
        elif nodes:
            remarks.add(f"partition {partition.name}", "its nodes have no GPUs")
    return [(partition, alike) for _, partition, alike in sorted(found, key=lambda each: each[0])]


def _alike(partition: Partition, nodes: Sequence[Node], with_gpus: Sequence[Node], remarks: Remarks) -> list[Node]:
    kind, count = Counter(kind_of(node) for node in with_gpus).most_common(1)[0]
    if bare := [node.name for node in nodes if not node.gpus]:
        remarks.add(f"{fold(bare)} of partition {partition.name}", "no GPUs")
    if count < len(with_gpus):
        odd = fold(node.name for node in with_gpus if kind_of(node) != kind)
        remarks.add(f"{odd} of partition {partition.name}", "GPUs of another kind than its other nodes")
    if mixed := [node.name for node in with_gpus if len({each.type for each in node.gres if each.name == "gpu"}) > 1]:
        remarks.note(
            f"{fold(mixed)} of partition {partition.name}", "GPUs of several models, the first of which is told"
        )
    return [node for node in with_gpus if kind_of(node) == kind]


def kind_of(node: Node) -> Kind:
    """Return what the node has: the model of most of its GPUs, how many, and how they are shared."""
    models = Counter[str]()
    for each in node.gres:
        if each.name == "gpu" and each.type:
            models[each.type] += each.count
    model = models.most_common(1)[0][0] if models else "gpu"
    counts = {"shard": node.shards, "mps": sum(each.count for each in node.gres if each.name == "mps")}
    sharing = next((name for name, count in counts.items() if count > node.gpus), "")
    return Kind(model, node.gpus, counts[sharing] // node.gpus if sharing else 1, sharing)


def _hindrance(seen: Seen, partition: Partition, nodes: Sequence[Node], taken: Mapping[str, str]) -> str:
    """Return why the partition can't be a group, or nothing."""
    kind = kind_of(nodes[0])
    if not is_group(partition.name) or not is_group(kind.gpu_type):
        return "its name, or that of its GPUs, can't be a group's"
    if other := next((taken[node.name] for node in nodes if node.name in taken), ""):
        return f"its nodes are in group {other} already"
    if partition.name.lower() in {name.lower() for name in taken.values()}:
        return "another group has its name, but for capitals"
    if partition.allow_accounts and not seen.teams.keys() & set(partition.allow_accounts):
        return "none of the accounts that may use it is a team"
    cpus, memory = min(node.cpus for node in nodes), min(node.memory for node in nodes)
    if not (0 < kind.gpus <= MOST_GPUS and 0 < cpus <= MOST_CPUS and memory > 0):
        return (
            f"a node of it has {kind.gpus} GPUs, CPUs={cpus}, RealMemory={memory}: does its slurm.conf say what it has?"
        )
    return ""


def _group(seen: Seen, partition: Partition, nodes: Sequence[Node], remarks: Remarks) -> Entry:
    kind, is_ours = kind_of(nodes[0]), seen.is_our_group(partition)
    cpus, memory = _sizes(seen, partition, nodes, kind)
    data: dict[str, Data] = {
        "nodes": _nodes_text(seen, partition, nodes),
        "gpu_type": kind.gpu_type,
        "gpus_per_node": kind.gpus,
        "cpus": cpus,
        "memory": write_memory(memory),
        **_sharing(partition, kind, remarks),
        "teams": _teams(seen, partition, remarks),
        "use": _use(partition) if is_ours else "",
        "max_time": write_duration(partition.max_time) if partition.max_time else "",
        "default_time": write_duration(partition.default_time) if partition.default_time else "",
    }
    if not is_ours:
        _unsaid(partition, remarks)
    return Entry(data, is_ours, _quotas(seen, partition, kind, remarks))


def _nodes_text(seen: Seen, partition: Partition, nodes: Sequence[Node]) -> str:
    """Return the node list: as our own file has it, where that names the same nodes."""
    names = {node.name for node in nodes}
    nodeset = seen.our_lines.get(f"nodeset nodes-{partition.name}")
    said = nodeset.pairs.get("Nodes", "") if nodeset else ""
    return said if said and set(expand(said)) == names else fold(names)


def _sizes(seen: Seen, partition: Partition, nodes: Sequence[Node], kind: Kind) -> tuple[int, int]:
    """Return CPUs and memory of each node: what all have, or less where our own file gives jobs a share of less."""
    cpus, memory = min(node.cpus for node in nodes), min(node.memory for node in nodes)
    line = seen.our_lines.get(f"partition {partition.name}")
    per_gpu, per_cpu = (line.pairs.get(key, "") if line else "" for key in ("DefCpuPerGPU", "DefMemPerCPU"))
    if per_gpu.isdecimal() and int(per_gpu) != max(1, cpus // kind.gpus):
        cpus = int(per_gpu) * kind.gpus
    if per_cpu.isdecimal() and int(per_cpu) != memory // cpus:
        memory = int(per_cpu) * cpus
    return cpus, memory


def _sharing(partition: Partition, kind: Kind, remarks: Remarks) -> dict[str, Data]:
    if kind.shares <= 1:
        return {}
    if kind.shares > MOST_SHARES:
        text = f"each GPU is shared by {kind.shares} ({kind.sharing}), of which the file can say {MOST_SHARES}"
        remarks.add(f"partition {partition.name}", text)
    how: dict[str, Data] = {"sharing": kind.sharing} if kind.sharing != "shard" else {}
    return {"shards_per_gpu": min(kind.shares, MOST_SHARES), **how}


def _teams(seen: Seen, partition: Partition, remarks: Remarks) -> list[Data]:
    """Return the teams that may use it, without those below another one of them: they may anyway."""
    named = dict.fromkeys(partition.allow_accounts)
    if lost := [name for name in named if name not in seen.teams]:
        remarks.add(f"partition {partition.name}", f"AllowAccounts={','.join(lost)}: no team")
    return [name for name in named if name in seen.teams and named.keys().isdisjoint(_above(seen, name))]


def _above(seen: Seen, team: str) -> Iterable[str]:
    while (row := seen.teams.get(team)) and row.parent:
        yield (team := row.parent)


def _use(partition: Partition) -> str:
    """Return what the group is for, where the partition's QOS say so; training is the default."""
    if DEVELOPMENT not in partition.allow_qos:
        return ""
    return "both" if NORMAL in partition.allow_qos else "development"


def _unsaid(partition: Partition, remarks: Remarks) -> None:
    values = {
        "AllowQos": ",".join(partition.allow_qos),
        "AllowGroups": ",".join(partition.allow_groups),
        "DenyAccounts": ",".join(partition.deny_accounts),
        "MaxNodes": partition.max_nodes or "",
        "PriorityTier": partition.priority_tier if partition.priority_tier != 1 else "",
        "Hidden": "YES" if partition.is_hidden else "",
    }
    if said := " ".join(f"{key}={value}" for key, value in values.items() if value):
        remarks.add(f"partition {partition.name}", f"{said}: no key says that")


def _quotas(seen: Seen, partition: Partition, kind: Kind, remarks: Remarks) -> dict[str, dict[str, Data]]:
    qos = seen.observed.qos.get(partition.qos)
    limits = qos.limits if qos else Limits()
    models = frozenset({kind.gpu_type})
    user = quota_of(
        limits.max_tres_per_user,
        jobs=limits.max_jobs_per_user,
        submitted=limits.max_submit_jobs_per_user,
        models=models,
    )
    team = quota_of(
        limits.max_tres_per_account,
        jobs=limits.max_jobs_per_account,
        submitted=limits.max_submit_jobs_per_account,
        models=models,
    )
    rest = rest_of(limits, *PER_SOMEBODY)
    if unsaid := [
        *(f"per user {each}" for each in user.unsaid),
        *(f"per account {each}" for each in team.unsaid),
        *rest,
    ]:
        remarks.add(f"QOS {partition.qos} of partition {partition.name}", f"{' '.join(unsaid)}: no key says that")
    quotas = {"per_user": user.quota, "per_team": team.quota}
    return {who: _typed(quota) for who, quota in quotas.items()} if seen.is_our_group(partition) else quotas


def _typed(quota: dict[str, Data]) -> dict[str, Data]:
    """Return the quota as the file has it: we write a limit of a group's one model for GPUs of any model too."""
    models = quota.get(MODELS)
    is_twice = isinstance(models, dict) and set(models.values()) == {quota.get("gpu")}
    return {key: value for key, value in quota.items() if not (is_twice and key == "gpu")}
