"""A cluster file written from what a running Slurm shows; what could not be seen stands in its comments."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from aistation_slurm.cluster.desired import DEVELOPMENT, EMERGENCY, NORMAL
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Association, Limits, Node, Partition, Qos
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.units import write_duration
from aistation_slurm.spec import is_group, is_name, is_user

_PLAIN = re.compile(r"[A-Za-z][\w.-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
MOST_GPUS = 64
_NO_TEAM = frozenset({"root"})


@dataclass(slots=True)
class _Seen:
    """What has been put into a group so far, and what could not be."""

    nodes: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    default: str = ""


def imported(slurm: Slurm) -> str:
    """Return a cluster file that says what the running Slurm has: groups from partitions, teams from accounts.

    Raises:
        SpecError: no node of it has a GPU.
        SlurmError: Slurm can't be asked.
    """
    cluster = slurm.read.config()["ClusterName"].lower()
    associations = [each for each in slurm.read.associations(cluster) if not each.partition]
    qos = {each.name: each for each in slurm.read.qos()}
    nodes = {each.name: each for each in slurm.read.nodes()}
    seen = _Seen()
    teams = list(_teams(associations, seen))
    names = {each.account for each in associations if _is_team(each.account)}
    groups = list(_groups(slurm.read.partitions(), nodes, qos, names, seen))
    if not groups:
        hint = "\n".join(["does its slurm.conf say Gres=gpu:...?", *seen.remarks])
        raise SpecError("no partition has a node with GPUs", where=cluster, hint=hint)
    quota = _user_quota(associations)
    default = ["", f"default_group: {_word(seen.default)}"] if seen.default else []
    head = ["# Written by `aistation cluster import` from what Slurm shows; read it through before you apply it."]
    head += [f"# Left out: {remark}" for remark in seen.remarks]
    body = ["", f"cluster: {_word(cluster)}", "", "groups:", *groups, *default, *quota, ""]
    return "\n".join([*head, *body, *_titled("teams:", teams)])


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *lines, ""] if lines else [f"{title} {{}}", ""]


def _groups(
    partitions: Iterable[Partition], nodes: dict[str, Node], qos: dict[str, Qos], teams: set[str], seen: _Seen
) -> Iterator[str]:
    """Yield a group for each partition with GPUs; the smaller come first, since a node belongs to one group only."""
    for partition in sorted(partitions, key=lambda each: (each.is_hidden, len(expand(each.nodes)), each.name)):
        members = [nodes[name] for name in expand(partition.nodes) if name in nodes and nodes[name].gpus]
        if not members:
            continue
        kind, count = Counter(_kind(node) for node in members).most_common(1)[0]
        alike = [node for node in members if _kind(node) == kind]
        if why := _hindrance(partition, alike, teams, seen):
            seen.remarks.append(f"partition {partition.name}: {why}")
            continue
        if count < len(members):
            odd = fold(node.name for node in members if _kind(node) != kind)
            seen.remarks.append(f"{odd} of partition {partition.name}: GPUs of another kind than its other nodes")
        seen.nodes |= {node.name for node in alike}
        seen.default = partition.name if partition.is_default else seen.default
        yield _group(partition, alike, qos.get(partition.qos), sorted(teams & set(partition.allow_accounts)))


def _hindrance(partition: Partition, nodes: Sequence[Node], teams: set[str], seen: _Seen) -> str:
    """Return why the partition can't be a group, or nothing."""
    gpu_type, gpus, _ = _kind(nodes[0])
    cpus, memory = min(node.cpus for node in nodes), min(node.memory for node in nodes)
    if not is_group(partition.name) or not is_group(gpu_type):
        return "its name, or that of its GPUs, can't be a group's"
    if seen.nodes & {node.name for node in nodes}:
        return "its nodes are in another group already"
    if partition.allow_accounts and not teams & set(partition.allow_accounts):
        return "none of the accounts that may use it is a team"
    if gpus > cpus or memory < cpus or gpus > MOST_GPUS:
        return f"a node of it has {gpus} GPUs, CPUs={cpus}, RealMemory={memory}: does its slurm.conf say what it has?"
    return ""


def _kind(node: Node) -> tuple[str, int, int]:
    """Return what the nodes of a group have in common: type and number of GPUs, shares of each."""
    kind = next((each.type for each in node.gres if each.name == "gpu" and each.type), "gpu")
    return kind, node.gpus, max(1, node.shards // node.gpus)


def _group(partition: Partition, nodes: Sequence[Node], qos: Qos | None, teams: Sequence[str]) -> str:
    gpu_type, gpus, shards = _kind(nodes[0])
    pairs = {
        "nodes": json.dumps(fold(node.name for node in nodes)),
        "gpu_type": _word(gpu_type),
        "gpus_per_node": str(gpus),
        "cpus": str(min(node.cpus for node in nodes)),
        "memory": f"{min(node.memory for node in nodes)}M",
        "shards_per_gpu": str(shards) if shards > 1 else "",
        "teams": f"[{', '.join(map(_word, teams))}]" if teams else "",
        "use": _use(partition),
        "quota": _gpu_quota(qos),
        "max_time": json.dumps(write_duration(partition.max_time)) if partition.max_time else "",
        "default_time": json.dumps(write_duration(partition.default_time)) if partition.default_time else "",
    }
    said = ", ".join(f"{key}: {value}" for key, value in pairs.items() if value)
    return f"  {_word(partition.name)}: {{{said}}}"


def _use(partition: Partition) -> str:
    """Return what the group is for, where the partition's QOS say so; training is the default."""
    if DEVELOPMENT not in partition.allow_qos:
        return ""
    return "both" if NORMAL in partition.allow_qos else "development"


def _gpu_quota(qos: Qos | None) -> str:
    limits = qos.limits if qos else Limits()
    amounts = {"per_user": limits.max_tres_per_user, "per_team": limits.max_tres_per_account}
    said = [f"{who}: {{gpu: {tres['gres/gpu']}}}" for who, tres in amounts.items() if "gres/gpu" in tres]
    return f"{{{', '.join(said)}}}" if said else ""


def _user_quota(associations: Sequence[Association]) -> list[str]:
    """Return the users' total where all of them have the same."""
    totals = {each.limits.grp_tres.get("gres/gpu") for each in associations if each.user and each.user != "root"}
    total = totals.pop() if len(totals) == 1 else None
    return [] if total is None else ["", f"quota: {{per_user: {{gpu: {total}}}}}"]


def _teams(associations: Sequence[Association], seen: _Seen) -> Iterator[str]:
    members: dict[str, list[Association]] = {}
    totals = {each.account: each.limits.grp_tres.get("gres/gpu") for each in associations if not each.user}
    for each in associations:
        people = members.setdefault(each.account, [])
        if each.user and each.user != "root":
            people.append(each)
    for account, people in members.items():
        if not _is_team(account):
            if account not in _NO_TEAM:
                seen.remarks.append(f"account {account}: its name can't be a team's")
            continue
        seen.remarks += [
            f"user {each.user} of account {account}: no Unix name" for each in people if not is_user(each.user)
        ]
        yield _team(account, [each for each in people if is_user(each.user)], totals.get(account))


def _is_team(account: str) -> bool:
    return is_name(account) and account not in _NO_TEAM


def _team(account: str, people: Sequence[Association], gpus: int | None) -> str:
    names = sorted(dict.fromkeys(each.user for each in people))
    urgent = sorted({each.user for each in people if EMERGENCY in each.qos})
    rights = f", emergency: [{', '.join(map(_word, urgent))}]" if urgent else ""
    quota = "" if gpus is None else f", quota: {{gpu: {gpus}}}"
    return f"  {_word(account)}: {{members: [{', '.join(map(_word, names))}]{rights}{quota}}}"


def _word(text: str) -> str:
    """Return the text as YAML; quoted where YAML, of whatever version, could take it for something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML else json.dumps(text)
