"""Slurm's files as the cluster file wants them: `aistation.conf` and `gres.conf`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from jinja2 import Environment

from aistation_slurm.assets import asset_dir
from aistation_slurm.cluster.conf import NOUNS
from aistation_slurm.cluster.site.conf import CONF
from aistation_slurm.cluster.wanted.desired import job_qos, partition_qos
from aistation_slurm.render import Raw, printable, slurm_line, slurm_value, templates
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.units import write_duration
from aistation_slurm.spec import ClusterSpec, GpuGroup

GRES = "gres.conf"
CGROUP = "cgroup.conf"
TOPOLOGY = "topology.conf"
NAMES = (TOPOLOGY, CGROUP, CONF, GRES)
"""Every file that we may write."""
Shares = Mapping[str, Mapping[str, int]]
"""Node -> name of the shares of its GPUs -> how many."""
PREAMBLE = "Written by `aistation cluster apply` from "


def wanted_files(spec: ClusterSpec, *, gpu_device: str, source: str, kept_gres: Sequence[str] = ()) -> dict[str, str]:
    """Return name -> text of every file that `apply` writes into Slurm's configuration folder.

    `kept_gres` are the lines of gres.conf for nodes that the cluster file no longer names (`gres_to_keep`).
    """
    groups = [_group(name, group, spec, gpu_device) for name, group in spec.managed_groups().items()]
    kept = [Raw(line) for line in kept_gres]
    values = {"groups": groups, "kept": kept, "cgroup": spec.slurm.cgroup, "switches": _switches(spec)}
    bodies = {name: _templates().get_template(f"{name}.j2").render(values) for name in wanted_names(spec)}
    return {name: preamble(body, source) + body for name, body in bodies.items()}


def wanted_names(spec: ClusterSpec) -> tuple[str, ...]:
    """Return the names of the files that `apply` writes, a file that another one rests on first."""
    asked = {CGROUP: spec.slurm.cgroup, TOPOLOGY: spec.slurm.topology}
    return tuple(name for name in NAMES if name not in asked or asked[name])


def _switches(spec: ClusterSpec) -> list[Raw]:
    topology = spec.slurm.topology
    return [
        Raw(slurm_line({"SwitchName": name, "Nodes": switch.nodes, "Switches": switch.switches or None}))
        for name, switch in (topology.switches if topology else {}).items()
    ]


def gres_to_keep(
    old: str | None,
    spec: ClusterSpec,
    nodes: Mapping[str, Node],
    *,
    shares: Callable[[], Shares] = dict,
) -> list[str]:
    """Return the lines of our gres.conf for nodes that the cluster file no longer names, and that Slurm still has.

    Without its line a slurmd whose NodeName has shards ends at the next reconfigure ("failed to merge SHARED and
    SHARING configuration", seen on 22.05.8), and its jobs with it: what a node has is not ours to take away. It ends
    at another number of them, too ("multiple configurations without File"): `shares` tells those of each node's line.
    """
    ours = {node for group in spec.managed_groups().values() for node in group.node_names()}
    left = {name for name, node in nodes.items() if node.gres} - ours
    if not (left and old):
        return []
    known = shares()
    return [
        slurm_line({**line.pairs, "NodeName": fold(names), **count})
        for line in read_lines(old or "").values()
        if (those := left & set(expand(line.pairs.get("NodeName", ""))))
        for names, count in _by_count(line.pairs.get("Name", ""), sorted(those), known)
    ]


def _by_count(name: str, nodes: Sequence[str], shares: Shares) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Yield nodes with as many shares by their NodeName line, and that number; no node whose line has none."""
    counts: dict[int | None, list[str]] = {}
    for node in nodes:
        known = shares.get(node) if name in {"shard", "mps"} else None
        counts.setdefault(known.get(name, 0) if known is not None else None, []).append(node)
    yield from ((names, {} if count is None else {"Count": count}) for count, names in counts.items() if count != 0)


@cache
def _templates() -> Environment:
    return templates(asset_dir("slurm_conf"), finalize=slurm_value)


def _group(name: str, group: GpuGroup, spec: ClusterSpec, gpu_device: str) -> dict[str, object]:
    last = group.gpus_per_node - 1
    shared = f", each shared by {group.shards_per_gpu}" if group.shards_per_gpu > 1 else ""
    return {
        "comment": Raw(f"{name}: {group.total_gpus} GPUs of {group.gpu_type}{shared}, for {group.use}"),
        "nodeset": nodeset(name),
        "nodes": group.nodes,
        "gpu_type": group.gpu_type,
        "devices": f"{gpu_device}[0-{last}]" if last else f"{gpu_device}0",
        "sharing": group.sharing,
        "shards_per_node": group.shards_per_node,
        "partition": Raw(partition_line(name, spec)),
    }


def nodeset(group: str) -> str:
    """Return the name of the group's nodeset."""
    return f"nodes-{group}"


def partition_line(name: str, spec: ClusterSpec) -> str:
    """Return the group as a partition.

    A job that says nothing gets its GPUs' share of the node's CPUs, and memory by its CPUs. Not DefMemPerGPU: a job
    without GPUs, or with shares of one, would take the whole node's memory, and so does on 22.05, as long as it waits,
    every other job in the eyes of a quota. The two exclude each other (slurm.conf(5)).
    """
    group = spec.groups[name]
    return slurm_line(
        {
            "PartitionName": name,
            "Nodes": nodeset(name),
            "Default": True if name == spec.default_group else None,
            "State": "UP",
            "AllowAccounts": list(spec.allowed_teams(name)) or None,
            "AllowQos": list(job_qos(group, has_nights=spec.calendar.has_nights)),
            "QOS": partition_qos(name),
            "DefCpuPerGPU": group.cpus_per_gpu,
            "DefMemPerCPU": group.memory // group.cpus,
            "MaxTime": write_duration(group.max_time),
            "DefaultTime": write_duration(group.default_time) if group.default_time else None,
        }
    )


def preamble(body: str, source: str, *, comment: str = "#") -> str:
    """Return the two lines that stand above a file of ours: whose it is, and what was in it."""
    checksum = sha256(body.encode()).hexdigest()[:12]
    return (
        f"{comment} {PREAMBLE}{printable(source)} (contents {checksum}).\n"
        f"{comment} Changes made here are lost; change the cluster file instead.\n"
    )


def json_preamble(body: str, source: str) -> str:
    """Return the same two lines above a JSON object, whose first two keys they are; `body` is the rest of it."""
    checksum = sha256(body.encode()).hexdigest()[:12]
    note = "Changes made here are lost; change the cluster file instead."
    written = f"{PREAMBLE}{printable(source)} (contents {checksum})."
    return f'{{"written": {json.dumps(written, ensure_ascii=False)},\n "note": {json.dumps(note)},\n'


def is_ours(text: str) -> bool:
    """True where the file is one that we wrote, or says nothing at all."""
    return text.startswith((f"# {PREAMBLE}", f"-- {PREAMBLE}", f'{{"written": "{PREAMBLE}')) or not any(_meaning(text))


def is_edited(text: str) -> bool:
    """True where a file that we wrote was changed by hand since."""
    found = re.search(r"\(contents ([0-9a-f]{12})\)", text.partition("\n")[0])
    return bool(found and found[1] != sha256(body_of(text).encode()).hexdigest()[:12])


def body_of(text: str) -> str:
    """Return a file that we wrote without its preamble, which names the cluster file it came from."""
    return text.partition("\n")[2].partition("\n")[2]


def _meaning(text: str) -> list[str]:
    return [line for line in (each.partition("#")[0].strip() for each in text.splitlines()) if line]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a Slurm file, as a mapping; its first pair names it, or it is a key of the whole cluster."""

    pairs: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the line is about, such as `partition v100` or `gpu p100-[01-30]`; of a key its own name."""
        key, value = next(iter(self.pairs.items()))
        if self.is_key:
            return key
        kind = self.pairs.get("Name", "gres") if key == "NodeName" else key.removesuffix("Name").lower()
        return f"{kind} {value}"

    @property
    def is_key(self) -> bool:
        """True where it says one thing of the whole cluster, such as `ConstrainCores=YES`."""
        return next(iter(self.pairs)).lower() not in NOUNS


def read_lines(text: str) -> dict[str, Line]:
    """Return the lines of a file that we wrote, by name."""
    lines = (Line(dict(word.partition("=")[::2] for word in line.split())) for line in _meaning(text))
    return {line.name: line for line in lines if line.pairs}


def line_changes(old: str, new: str) -> tuple[str, ...]:
    """Return what changes between two texts of a file, line by line, for people."""
    before, after = read_lines(old), read_lines(new)
    changes = [f"- {name}" for name in before if name not in after]
    for name, line in after.items():
        if name not in before:
            changes.append(f"+ {name}={line.pairs[name]}" if line.is_key else f"+ {name}  {_pairs(line)}")
        elif said := _changed(before[name].pairs, line.pairs):
            changes.append(f"~ {said}" if line.is_key else f"~ {name}  {said}")
    return tuple(changes)


def _pairs(line: Line) -> str:
    return " ".join(f"{key}={value}" for key, value in list(line.pairs.items())[1:])


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    keys = [key for key in (*new, *(each for each in old if each not in new)) if old.get(key) != new.get(key)]
    return "  ".join(f"{key} {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in keys)
