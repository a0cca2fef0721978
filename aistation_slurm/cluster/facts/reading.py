"""What `slurmd -C`, `slurmd -G` and `nvidia-smi -L` print, of one node or of many at once.

Each line may stand bare, behind `node: ` as clush and pdsh print it, or in a block under the names of its nodes as
`clush -b` and `dshbak -c` fold it. The lines are slurmd's (slurmd.c, `_print_config`; gres.c), from 22.05 to 26.05.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aistation_slurm.errors import SlurmUnreadable, SpecError
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.tres import Gres, read_gres
from aistation_slurm.spec.names import fits, read_nodes

_RULE = re.compile(r"-{4,}")
_NAMES = re.compile(r"[A-Za-z][\w.,\[\]-]*")
_HEAD = re.compile(rf"(?P<nodes>{_NAMES.pattern})(?: \(\d+\))?")
_PREFIX = re.compile(rf"(?P<nodes>{_NAMES.pattern}): ?(?P<rest>.*)")
_LOG = re.compile(r"(?:\[[^\]]*\] )?slurmd: (?P<rest>.*)")
_NODE = re.compile(r"NodeName=(?P<name>\S+) (?P<rest>.*)")
_PAIR = re.compile(r"(?P<key>\w+)=(?P<value>\S*)")
_FOUND = re.compile(r"Found (?P<gres>gpu\S*) with Autodetect=.*")
_GRES = re.compile(r"Gres Name=(?P<name>\w+) Type=(?P<type>\S+) Count=(?P<count>\d+)\b.*")
_CARD = re.compile(r"GPU \d+: (?P<model>.+?)(?: \(UUID: [^)]*\))?")
_OF_NO_USE = re.compile(r"UpTime=.*|MIG .*Device .*")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What one node says that it has."""

    name: str
    cpus: int = 0
    """0 where nothing said it."""
    memory: int = 0
    """MiB of all its memory; 0 where nothing said it."""
    gpus: Mapping[str, int] = field(default_factory=dict)
    """Model -> how many; the model as Slurm would write it, or empty where it was not told."""

    @property
    def gpu_count(self) -> int:
        """How many GPUs it has, of whatever model."""
        return sum(self.gpus.values())


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read."""

    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    """Each line that says nothing we know, as `line 3: ...`."""


@dataclass(slots=True)
class _Node:
    """What has been read of one node so far."""

    cpus: int = 0
    memory: int = 0
    detected: dict[str, int] = field(default_factory=dict)
    """Said at once, and so never added up."""
    counted: dict[str, int] = field(default_factory=dict)
    """Said one line a GPU."""


@dataclass(slots=True)
class _Reading:
    nodes: dict[str, _Node] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    block: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    """The node that named itself last, without a prefix."""

    def read(self, text: str) -> None:
        for number, node_names, line in self._lines(text):
            if not self._line(line, node_names):
                self.unread.append(f"line {number}: {line[:80]}")

    def _lines(self, text: str) -> Iterator[tuple[int, tuple[str, ...], str]]:
        """Yield (number, the nodes that it is of, text) of each line, its prefix gone."""
        is_head = False
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if _RULE.fullmatch(line):
                is_head = not is_head
                self.last = ()
            elif is_head and (head := _HEAD.fullmatch(line)):
                self.block = _expand(head["nodes"])
            elif line:
                yield (number, *self._without_prefix(line))

    def _without_prefix(self, line: str) -> tuple[tuple[str, ...], str]:
        before = _PREFIX.fullmatch(line)
        if before and before["nodes"] not in {"slurmd", "clush", "pdsh"} and (names := _expand(before["nodes"])):
            return names, _without_log(before["rest"].strip())
        return self.block, _without_log(line)

    def _line(self, line: str, names: tuple[str, ...]) -> bool:
        """True where the line said something that we know."""
        if _OF_NO_USE.fullmatch(line):
            return True
        if found := _NODE.fullmatch(line):
            return self._node(found["name"], dict(_PAIR.findall(found["rest"])), names)
        if found := _FOUND.fullmatch(line):
            return _detected(self._those(names), found["gres"])
        if found := _GRES.fullmatch(line):
            return found["name"] != "gpu" or _counted(self._those(names), found["type"], int(found["count"]))
        if found := _CARD.fullmatch(line):
            return _counted(self._those(names), found["model"], 1)
        return False

    def _those(self, names: tuple[str, ...]) -> list[_Node]:
        """Return the nodes that a line is of: those it names, else the one that named itself last."""
        return [self.nodes.setdefault(name, _Node()) for name in names or self.last]

    def _node(self, itself: str, pairs: dict[str, str], names: tuple[str, ...]) -> bool:
        if not (pairs.get("CPUs", "").isdecimal() and pairs.get("RealMemory", "").isdecimal()):
            return False
        if not names:
            self.last = (itself,)
        for name in _called(names, itself):
            node = self.nodes.setdefault(name, _Node())
            node.cpus, node.memory = int(pairs["CPUs"]), int(pairs["RealMemory"])
            if "Gres" in pairs and not _detected([node], pairs["Gres"]):
                return False
        return True


def read_facts(text: str) -> Facts:
    """Return what the nodes say that they have.

    Raises:
        SpecError: not one line says anything of a node.
    """
    reading = _Reading()
    reading.read(text)
    if not reading.nodes:
        hint = "give it what the nodes print: clush -a 'slurmd -C' | aistation cluster facts -"
        raise SpecError("no line says what a node has", where="node facts", hint=hint)
    return Facts({name: _facts(name, node) for name, node in sorted(reading.nodes.items())}, tuple(reading.unread))


def _facts(name: str, node: _Node) -> NodeFacts:
    gpus = node.detected or node.counted
    return NodeFacts(name=name, cpus=node.cpus, memory=node.memory, gpus=dict(sorted(gpus.items())))


def _called(names: tuple[str, ...], itself: str) -> tuple[str, ...]:
    """Return what the cluster calls the node: by its own name where the prefix is that with a domain behind it."""
    if len(names) == 1 and names[0].partition(".")[0] == itself:
        return (itself,)
    return names or (itself,)


def _detected(nodes: Sequence[_Node], text: str) -> bool:
    """Keep the GPUs that were told at once; true where the text can be read and there is a node."""
    try:
        gpus = [each for each in read_gres(text) if each.name == "gpu"]
    except SlurmUnreadable:
        return False
    for node in nodes:
        node.detected = _by_model(gpus)
    return bool(nodes)


def _by_model(gpus: Sequence[Gres]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in gpus:
        found[each.type] = found.get(each.type, 0) + each.count
    return found


def _counted(nodes: Sequence[_Node], model: str, count: int) -> bool:
    name = "" if model == "(null)" else re.sub(r"[^a-z0-9_.-]+", "_", model.lower()).strip("_")
    for node in nodes:
        node.counted[name] = node.counted.get(name, 0) + count
    return bool(nodes)


def _without_log(line: str) -> str:
    found = _LOG.fullmatch(line)
    return found["rest"] if found else line


def _expand(text: str) -> tuple[str, ...]:
    return expand(text) if fits(read_nodes, text) else ()
