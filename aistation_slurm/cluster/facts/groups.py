"""Groups for nodes that no group names yet: those that are alike together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aistation_slurm.cluster.facts.compare import ANY_MODEL, for_jobs
from aistation_slurm.cluster.facts.reading import NodeFacts
from aistation_slurm.cluster.imported.words import word
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.spec import ClusterSpec, is_group
from aistation_slurm.spec.amounts import write_memory

_MAKERS = re.compile(r"^(?:(?:nvidia|geforce|tesla|quadro|amd|instinct|radeon)[_-]?)+")
_SIZE = re.compile(r"[_-](?:sxm|pcie|nvl|hbm|\d+gb).*")
ALIKE = 0.05
"""Nodes whose memory differs by less than this are of one kind: no two of them say the very same."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Nodes that can be one group."""

    gpu_type: str
    gpus: int
    cpus: int
    nodes: tuple[NodeFacts, ...]


def groups_block(nodes: Mapping[str, NodeFacts], spec: ClusterSpec | None, *, leave: int | None = None) -> str:
    """Return the lines of `groups:` for the nodes that the cluster file doesn't name; `leave` is MiB for the system.

    What can't become a group stands in comments, with the reason.
    """
    known = {node for group in spec.groups.values() for node in group.node_names()} if spec else set[str]()
    strangers = [facts for name, facts in nodes.items() if name not in known]
    taken = {name.lower() for name in spec.groups} if spec else set[str]()
    usable, remarks = _sorted_out(strangers, leave)
    types = _types(usable)
    lines = []
    for kind in _kinds(usable):
        name = _free_name(types[kind.gpu_type], taken)
        taken.add(name.lower())
        lines.append(_line(name, types[kind.gpu_type], kind, leave))
    return "\n".join([*remarks, *(["groups:", *lines] if lines else ["# No group: every node with GPUs has one."]), ""])


def _sorted_out(nodes: Sequence[NodeFacts], leave: int | None) -> tuple[list[NodeFacts], list[str]]:
    """Return the nodes that can be in a group, and remarks on the others."""
    why: dict[str, list[str]] = {}
    usable = []
    for facts in nodes:
        if reason := _hindrance(facts, leave):
            why.setdefault(reason, []).append(facts.name)
        else:
            usable.append(facts)
    return usable, [f"# Left out: {fold(names)}: {reason}" for reason, names in why.items()]


def _hindrance(facts: NodeFacts, leave: int | None) -> str:
    if not (facts.cpus and facts.memory):
        return "nothing of its CPUs and memory: give `slurmd -C` of it too"
    if not facts.gpus:
        return "no GPUs seen: give `slurmd -G` or `nvidia-smi -L` of it too, if it has any"
    if len(facts.gpus) > 1:
        return f"GPUs of several models: {', '.join(facts.gpus)}"
    if facts.cpus < facts.gpu_count:
        return f"{facts.cpus} CPUs can't serve {facts.gpu_count} GPUs"
    if for_jobs(facts.memory, leave=leave) < facts.cpus:
        return f"{facts.memory}M of memory can't serve {facts.cpus} CPUs"
    return ""


def _kinds(nodes: Sequence[NodeFacts]) -> list[_Kind]:
    """Return the nodes by model and number of GPUs, CPUs, and about the same memory."""
    alike: dict[tuple[str, int, int], list[NodeFacts]] = {}
    for facts in sorted(nodes, key=lambda each: each.memory):
        alike.setdefault((model_of(facts), facts.gpu_count, facts.cpus), []).append(facts)
    return [_Kind(*key, tuple(part)) for key, those in alike.items() for part in _by_memory(those)]


def _by_memory(nodes: Iterable[NodeFacts]) -> list[list[NodeFacts]]:
    parts: list[list[NodeFacts]] = []
    for facts in nodes:  # smallest first
        if parts and facts.memory <= parts[-1][0].memory * (1 + ALIKE):
            parts[-1].append(facts)
        else:
            parts.append([facts])
    return parts


def model_of(facts: NodeFacts) -> str:
    """Return the model of a node's GPUs, which are all alike."""
    return next(iter(facts.gpus))


def _types(nodes: Iterable[NodeFacts]) -> dict[str, str]:
    """Return model -> the gres type to call it by: short, but where two models would be called the same."""
    models = sorted({model_of(facts) for facts in nodes})
    short = {model: _short(model) for model in models}
    called = list(short.values())
    return {model: name if called.count(name) == 1 else _fitting(model) for model, name in short.items()}


def _short(model: str) -> str:
    """Return `v100` of `tesla_v100-sxm2-32gb`, `rtx_2080_ti` of `nvidia_geforce_rtx_2080_ti`."""
    return _fitting(_SIZE.sub("", _MAKERS.sub("", model)) or model)


def _fitting(model: str) -> str:
    return model[:40] if is_group(model[:40]) else ANY_MODEL


def _free_name(name: str, taken: set[str]) -> str:
    names = (name, *(f"{name[:36]}-{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in names if each.lower() not in taken)


def _line(name: str, gpu_type: str, kind: _Kind, leave: int | None) -> str:
    memory = for_jobs(min(facts.memory for facts in kind.nodes), leave=leave)
    pairs = {
        "nodes": json.dumps(fold(facts.name for facts in kind.nodes)),
        "gpu_type": word(gpu_type),
        "gpus_per_node": kind.gpus,
        "cpus": kind.cpus,
        "memory": write_memory(memory),
    }
    return f"  {word(name)}: {{{', '.join(f'{key}: {value}' for key, value in pairs.items())}}}"
