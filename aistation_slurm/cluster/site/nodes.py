"""NodeName lines of the site's that lack what the cluster file says, and how they are to be written instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aistation_slurm.cluster.conf import Conf, Line
from aistation_slurm.cluster.lint.nodes import names_of
from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.slurm.tres import Gres, read_gres
from aistation_slurm.slurm.units import read_memory
from aistation_slurm.spec import ClusterSpec, GpuGroup

Pairs = tuple[tuple[str, str], ...]
SHARES = frozenset({"shard", "mps"})
_SHAPE = ("boards", "socketsperboard", "sockets", "corespersocket", "threadspercore", "procs")
_BY_NODE = ("nodeaddr", "nodehostname", "port", "bcastaddr", "cpuspeclist")
"""Keys that can hold a value for each node of the line, in its order."""


@dataclass(frozen=True, slots=True)
class NodeEdit:
    """One NodeName line, and what its nodes are to have: several lines where they are to have different things."""

    line: Line
    parts: tuple[tuple[tuple[str, ...], Pairs], ...]
    """(names, what they are to have otherwise) of each line that comes of it; the first takes its place."""
    hindrance: str = ""
    """Why it can't be written by us, or nothing."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The nodes that get something else."""
        return tuple(name for names, pairs in self.parts if pairs for name in names)

    def written(self, content: str) -> Iterator[str]:
        """Yield the lines that come of this one, as the site wrote it."""
        bare = content.partition("#")[0].rstrip()
        for names, pairs in self.parts:
            said = bare if len(self.parts) == 1 else _with(bare, "NodeName", fold(names))
            for key, value in pairs:
                said = _with(said, key, value)
            yield said

    def plain(self) -> Iterator[str]:
        """Yield the lines for a person to write."""
        yield from self.written(self.line.text)


def node_edits(spec: ClusterSpec, conf: Conf) -> Iterator[NodeEdit]:
    """Yield an edit for each NodeName line whose nodes lack what the cluster file says, as the file stands."""
    owners = {name: group for group in spec.managed_groups().values() for name in group.node_names()}
    default: dict[str, str] = {}
    for line in conf.of("NodeName"):
        if line.name.upper() == "DEFAULT":
            default |= line.pairs
            continue
        pairs = {**default, **line.pairs}
        names = names_of(line.name) or ()
        lacks: dict[int, Pairs] = {}
        parts: dict[Pairs, list[str]] = {}
        for name in names:
            group = owners.get(name)
            if id(group) not in lacks:
                lacks[id(group)] = tuple(lacking_of(group, pairs).items()) if group else ()
            parts.setdefault(lacks[id(group)], []).append(name)
        if any(parts):
            whole = sorted(((tuple(names), pairs) for pairs, names in parts.items()), key=lambda part: not part[1])
            yield NodeEdit(line, tuple(whole), _hindrance(pairs, line.pairs, parts))


def shares_of(conf: Conf) -> dict[str, dict[str, int]]:
    """Return node -> name of shares -> how many of them its NodeName line says."""
    default = ""
    found: dict[str, dict[str, int]] = {}
    for line in conf.of("NodeName"):
        if line.name.upper() == "DEFAULT":
            default = line.get("Gres") or default
            continue
        try:
            gres = read_gres(line.get("Gres") or default)
        except SlurmUnreadable:
            continue
        shares = {each.name: each.count for each in gres if each.name in SHARES}
        found |= dict.fromkeys(names_of(line.name) or (), shares)
    return found


def _hindrance(pairs: Mapping[str, str], own: Mapping[str, str], parts: Mapping[Pairs, list[str]]) -> str:
    if len(parts) > 1 and any("[" in own.get(key, "") or "," in own.get(key, "") for key in _BY_NODE):
        return "only some of its nodes change, and it has values for each of them"
    changes_cpus = any(key == "CPUs" for part in parts for key, _ in part)
    if changes_cpus and any(key in pairs for key in _SHAPE):
        return "its CPUs are said by sockets, cores and threads"
    return ""


def lacking_of(group: GpuGroup, pairs: Mapping[str, str]) -> dict[str, str]:
    """Return what a node of the group must have otherwise than these keys of its line say; more does no harm.

    Save for GPUs and shares, which are counted out.
    """
    lacks = {}
    if (gres := gres_of(group, pairs.get("gres", ""))) is not None:
        lacks["Gres"] = gres
    if _cpus(pairs) < group.cpus:
        lacks["CPUs"] = str(group.cpus)
    if _memory(pairs.get("realmemory", "1")) < group.memory:
        lacks["RealMemory"] = str(group.memory)
    return lacks


def gres_of(group: GpuGroup, said: str) -> str | None:
    """Return the Gres that a node of the group must have instead of this one, or None where it will do."""
    try:
        found = read_gres(said)
    except SlurmUnreadable:
        found = ()
    gpus = [each for each in found if each.name == "gpu"]
    shares = {each.name: each.count for each in found if each.name in SHARES}
    wanted = {group.sharing: group.shards_per_node} if group.shards_per_node else {}
    if sum(each.count for each in gpus) == group.gpus_per_node and {each.type for each in gpus} == {group.gpu_type}:
        if shares == wanted:
            return None
        kept = [each for each in _parts(said) if not each.lower().startswith(tuple(f"{name}:" for name in SHARES))]
    else:
        kept = [f"gpu:{group.gpu_type}:{group.gpus_per_node}", *_others(found, said)]
    return ",".join([*kept, *(f"{name}:{count}" for name, count in wanted.items())])


def _others(found: tuple[Gres, ...], said: str) -> list[str]:
    """Return what the line has beside GPUs and their shares, as it stands there."""
    ours = {"gpu", *SHARES}
    return [text for text, each in zip(_parts(said), found, strict=False) if each.name not in ours]


def _parts(said: str) -> list[str]:
    return [each for each in re.split(r",(?![^(]*\))", said) if each]


def _cpus(pairs: Mapping[str, str]) -> int:
    def number(key: str) -> int:
        said = pairs.get(key, "")
        return int(said) if said.isdigit() else 0

    if cpus := number("cpus") or number("procs"):
        return cpus
    sockets = number("sockets") or (number("boards") or 1) * (number("socketsperboard") or 1)
    return sockets * (number("corespersocket") or 1) * (number("threadspercore") or 1)


def _memory(said: str) -> int:
    try:
        return read_memory(said)
    except (SlurmUnreadable, ValueError):
        return 0


def _with(line: str, key: str, value: str) -> str:
    """Return the line with this value of the key, in its own place where it has one."""
    found = re.search(rf'(?i)(?:^|(?<=\s)){key}\s*=\s*("[^"]*"|\S+)', line)
    return f"{line} {key}={value}" if found is None else line[: found.start(1)] + value + line[found.end(1) :]
