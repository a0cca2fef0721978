"""What the nodes have, beside what the cluster file says that they have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from aistation_slurm.cluster.facts.reading import NodeFacts
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.spec import ClusterSpec, GpuGroup
from aistation_slurm.spec.amounts import write_memory

Level = Literal["less", "unknown", "note"]
SIGNS: Mapping[Level, str] = {"less": "!!", "unknown": "++", "note": "--"}
ANY_MODEL = "gpu"
_LEAST_LEFT, _SHARE_LEFT = 2048, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about nodes that are alike in it."""

    level: Level
    """`less` than the cluster file says, `unknown` to it, or only a `note`."""
    nodes: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{SIGNS[self.level]} {self.nodes}: {self.text}" + (f"\n   {self.hint}" if self.hint else "")


def for_system(memory: int) -> int:
    """Return how much of a node's memory, in MiB, jobs had better not be given: 2 GiB, and 2 % of all of it.

    What slurmd, the kernel and a file system's client take lies outside every job: without room for it the kernel
    ends something, and it need not be a job.
    """
    return _LEAST_LEFT + int(memory * _SHARE_LEFT)


def for_jobs(memory: int, *, leave: int | None = None) -> int:
    """Return what a cluster file had better say of a node with so much memory: whole GiB where that is one at least."""
    left = memory - (for_system(memory) if leave is None else leave)
    return left // 1024 * 1024 if left >= 1024 else max(left, memory // 2)


def compare(nodes: Mapping[str, NodeFacts], spec: ClusterSpec | None, *, leave: int | None = None) -> list[Finding]:
    """Return in what the nodes are not as the cluster file says: the worst first; `leave` is MiB for the system."""
    groups = spec.groups.items() if spec else ()
    found = [each for name, group in groups for each in _of_group(name, group, nodes, leave)]
    known = {node for _, group in groups for node in group.node_names()}
    found += _strangers([facts for name, facts in nodes.items() if name not in known])
    return sorted(found, key=lambda each: list(SIGNS).index(each.level))


def _of_group(name: str, group: GpuGroup, nodes: Mapping[str, NodeFacts], leave: int | None) -> Iterator[Finding]:
    alike: dict[tuple[Level, str, str], list[str]] = {}
    unseen: list[str] = []
    for node in group.node_names():
        if node not in nodes:
            unseen.append(node)
            continue
        for fault in _faults(group, nodes[node], leave):
            alike.setdefault(fault, []).append(node)
    for (level, text, hint), names in alike.items():
        yield Finding(level=level, nodes=fold(names), text=f"{text} (group {name})", hint=hint)
    if unseen:
        yield Finding(level="note", nodes=fold(unseen), text=f"nothing was read of them (group {name})")


def _faults(group: GpuGroup, facts: NodeFacts, leave: int | None) -> Iterator[tuple[Level, str, str]]:
    if facts.cpus and facts.cpus < group.cpus:
        yield "less", f"{facts.cpus} CPUs, the file says {group.cpus}", f"write cpus: {facts.cpus}"
    if facts.memory:
        yield from _memory(group.memory, facts.memory, leave)
    if not facts.gpus:
        return
    if facts.gpu_count < group.gpus_per_node:
        text = f"{facts.gpu_count} GPUs, the file says {group.gpus_per_node}"
        yield "less", text, "a card that is gone from the bus, or from the driver, is not counted: look at nvidia-smi"
    elif facts.gpu_count > group.gpus_per_node:
        yield "note", f"{facts.gpu_count} GPUs, of which the file uses {group.gpus_per_node}", ""
    if others := sorted(model for model in facts.gpus if model and not is_model(group.gpu_type, model)):
        yield (
            "less",
            f"GPUs are {', '.join(others)}, the file says {group.gpu_type}",
            "put them into a group of their own",
        )


def _memory(said: int, has: int, leave: int | None) -> Iterator[tuple[Level, str, str]]:
    best = for_jobs(has, leave=leave)
    hint = f"write memory: {write_memory(best)}, which leaves {has - best}M to the system"
    if has < said:
        yield "less", f"{has}M of memory, the file says {write_memory(said)}", hint
    elif has - said < (for_system(has) if leave is None else leave):
        yield (
            "note",
            f"{has}M of memory, of which {write_memory(said)} for jobs leave {has - said}M to the system",
            hint,
        )


def is_model(gpu_type: str, model: str) -> bool:
    """True where the model, as the driver calls it, is what the cluster file calls by a shorter name; `gpu` is any."""
    return gpu_type == ANY_MODEL or _letters(gpu_type) in _letters(model)


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _strangers(nodes: Iterable[NodeFacts]) -> Iterator[Finding]:
    alike: dict[str, list[str]] = {}
    for facts in nodes:
        models = [f"{count} GPUs of {model or 'a model not told'}" for model, count in facts.gpus.items()]
        amounts = f"{facts.cpus} CPUs, {facts.memory}M" if facts.cpus else "nothing of its CPUs"
        alike.setdefault(", ".join([*(models or ["no GPUs seen"]), amounts]), []).append(facts.name)
    for text, names in alike.items():
        yield Finding(level="unknown", nodes=fold(names), text=f"in no group: {text}")
