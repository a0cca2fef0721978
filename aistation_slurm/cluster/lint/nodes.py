"""Rules about NodeName lines and gres.conf."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from aistation_slurm.cluster.conf import Conf, Line
from aistation_slurm.cluster.lint.finding import Files, Finding, Level, Running
from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.tres import Gres, read_gres

_GRES_KEYS = frozenset(
    {"autodetect", "count", "cores", "cpus", "file", "files", "flags", "ignore", "link", "links", "multiplefiles"}
    | {"name", "nodename", "type"}
)
MOST = 65_533
"""More nodes than these Slurm can't have (MAX_SLURM_NODES)."""
_RANGE = re.compile(r"(?<=[\[,])(\d+)-(\d+)(?=[\],])")
_NAMES = re.compile(r"[A-Za-z0-9_.:\-\[\],]+")
_STATES = frozenset({"unknown", "down", "drain", "fail", "failing", "future", "cloud", "idle"})
RESTARTABLE = (23, 11)
"""From here on nodes come and go by a reconfigure."""


@lru_cache(maxsize=65_536)
def names_of(text: str) -> tuple[str, ...] | None:
    """Return the nodes of a list, or None where Slurm couldn't read it."""
    sizes = [int(last) - int(first) + 1 for first, last in _RANGE.findall(text)]
    if not _NAMES.fullmatch(text) or text.count("[") != text.count("]") or any(not 0 < each <= MOST for each in sizes):
        return None
    if "[" not in text:
        return tuple(dict.fromkeys(each for each in text.split(",") if each))
    try:
        return expand(text)
    except (SlurmUnreadable, ValueError):
        return None


def node_lines(conf: Conf) -> Iterator[Line]:
    """Yield the NodeName lines that make nodes: not the defaults, which have no names."""
    yield from (line for line in conf.of("NodeName") if line.name.upper() != "DEFAULT")


def nodes_of(conf: Conf) -> dict[str, Line]:
    """Return the name of each node, and the line that makes it."""
    return {name: line for line in node_lines(conf) for name in names_of(line.name) or ()}


def bad_node_list(files: Files, running: Running) -> Iterator[Finding]:
    """A list of nodes that Slurm can't take apart."""
    keys = {"nodename": ("nodename", "nodeaddr", "nodehostname"), "nodeset": ("nodes",), "partitionname": ("nodes",)}
    for line in files.conf.lines:
        for key in keys.get(line.noun, ()):
            if (said := line.get(key)) and names_of(said) is None:
                yield Finding("bad-node-list", "fatal", line.where, f"{said!r} is no node list", "such as gpu-[01-16]")


def no_nodes(files: Files, running: Running) -> Iterator[Finding]:
    """A cluster without a node."""
    if not any(node_lines(files.conf)):
        yield Finding("no-nodes", "fatal", str(files.conf.path), "has no NodeName line")


def duplicate_node(files: Files, running: Running) -> Iterator[Finding]:
    """A node in two NodeName lines, or twice in one."""
    seen: dict[str, Line] = {}
    for line in node_lines(files.conf):
        names = names_of(line.name) or ()
        twice = [name for name in names if name in seen]
        if twice:
            first = seen[twice[0]].where
            yield Finding("duplicate-node", "fatal", line.where, f"{fold(twice)} stands in {first} too", "keep one")
        elif (listed := _listed(line.name)) and listed > len(names):
            yield Finding("duplicate-node", "fatal", line.where, f"{line.name} names a node twice", "name it once")
        seen.update(dict.fromkeys(names, line))


def _listed(text: str) -> int:
    """Return how many names a plain list has, with what it has twice; 0 for one that is not plain."""
    parts = re.split(r",(?![^\[]*\])", text)
    counts = [len(names_of(part) or ()) for part in parts]
    return sum(counts)


def odd_node(files: Files, running: Running) -> Iterator[Finding]:
    """A NodeName line whose values contradict each other."""
    for line in node_lines(files.conf):
        if line.name.upper() == "ALL":
            yield Finding("odd-node", "fatal", line.where, "ALL is no name for a node", "name the nodes")
            continue
        for what in (*_uneven(line), *_bad_state(line), *_bad_port(line)):
            yield Finding("odd-node", "fatal", line.where, what)


def _uneven(line: Line) -> Iterator[str]:
    count = len(names_of(line.name) or ())
    port = line.get("Port").strip("[]")
    for key, said in (("NodeAddr", line.get("NodeAddr")), ("NodeHostname", line.get("NodeHostname")), ("Port", port)):
        found = len(names_of(f"port[{port}]" if key == "Port" else said) or ())
        if said and found not in {1, count}:
            yield f"{key}={said} is {found}, and there are {count} nodes"


def _bad_state(line: Line) -> Iterator[str]:
    state = line.get("State")
    if state and state.lower().rstrip("*~#!%$@^") not in _STATES:
        yield f"State={state} is none that a node can start in"


def _bad_port(line: Line) -> Iterator[str]:
    numbers = [int(each) for each in re.findall(r"\d+", line.get("Port"))]
    if line.get("Port") and (not numbers or not all(0 < each < 65536 for each in numbers)):
        yield f"Port={line.get('Port')} is none"


def gres_without_type(files: Files, running: Running) -> Iterator[Finding]:
    """A node with a GRES that GresTypes does not name: slurmctld takes such a node's GRES for none."""
    known = {each.strip().lower() for each in files.conf.value("GresTypes").split(",")}
    for line in files.conf.of("NodeName"):
        try:
            unknown = {each.name.lower() for each in read_gres(line.get("Gres"))} - known
        except SlurmUnreadable:
            yield Finding("bad-gres", "fatal", line.where, f"Gres={line.get('Gres')} can't be read", "gpu:v100:8")
            continue
        if unknown:
            fix = f"add it in {files.conf.where('GresTypes')}"
            yield Finding("gres-without-type", "note", line.where, f"GresTypes lacks {','.join(sorted(unknown))}", fix)


def odd_gres_conf(files: Files, running: Running) -> Iterator[Finding]:
    """A line of gres.conf that can't be read: every slurmd ends, and slurmctld where it reads that file."""
    for line in files.gres.lines if files.gres else ():
        unknown = [key for key in line.pairs if key not in _GRES_KEYS]
        if line.rest or unknown or not line.pairs:
            what = f"{line.rest or ', '.join(unknown) or line.text!r} is none of gres.conf's keys"
            yield Finding("odd-gres-conf", "fatal", line.where, what)


def shards_without_gres_line(files: Files, running: Running) -> Iterator[Finding]:
    """A node with shards in slurm.conf and none in gres.conf: its slurmd ends.

    "failed to merge SHARED and SHARING configuration", seen on 22.05.8.
    """
    named: set[str] = set()
    for line in files.gres.lines if files.gres else ():
        if line.get("Name").lower() in {"shard", "mps"}:
            if not line.get("NodeName"):
                return
            named |= set(names_of(line.get("NodeName")) or ())
    for line in node_lines(files.conf):
        if not re.search(r"(?i)(^|,)(shard|mps):", line.get("Gres")):
            continue
        if bare := [name for name in names_of(line.name) or () if name not in named]:
            where = files.gres.path if files.gres else files.conf.path.with_name("gres.conf")
            fix = f"add to {where}: NodeName={fold(bare)} Name=shard Count=..."
            what = f"{fold(bare)} has shards here and none in gres.conf: its slurmd would end"
            yield Finding("shards-without-gres-line", "fatal", line.where, what, fix)


def nodes_added_needs_restart(files: Files, running: Running) -> Iterator[Finding]:
    """Nodes that come or go: before 23.11 a reconfigure with them ends slurmctld."""
    if not running.nodes:
        return
    wanted = nodes_of(files.conf)
    added = [name for name in wanted if name not in running.nodes]
    gone = [name for name in running.nodes if name not in wanted]
    fix = "restart slurmctld and every slurmd; no reconfigure" if running.version < RESTARTABLE else ""
    level: Level = "restart" if fix else "note"
    if added:
        where = wanted[added[0]].where
        yield Finding("nodes-added-needs-restart", level, where, f"{fold(added)} is new", fix)
    if gone:
        where = str(files.conf.path)
        yield Finding("nodes-added-needs-restart", level, where, f"{fold(gone)} is no longer there", fix)


def removing_a_busy_node(files: Files, running: Running) -> Iterator[Finding]:
    """Nodes that would go with jobs on them."""
    wanted = nodes_of(files.conf)
    busy = _busy(running)
    gone = [name for name in running.nodes if name not in wanted and name in busy]
    if gone:
        text = f"{fold(gone)} would go, and runs {_some(busy, gone)}"
        yield _under_jobs(busy, gone, rule="removing-a-busy-node", where=str(files.conf.path), text=text)


def cores_or_gres_of_a_busy_node(files: Files, running: Running) -> Iterator[Finding]:
    """Nodes whose cores or GRES change under their jobs, which Slurm then ends."""
    busy = _busy(running)
    for line in node_lines(files.conf):
        changed = [name for name in names_of(line.name) or () if name in busy and _differs(line, running, name)]
        if changed:
            text = f"cores or GRES of {fold(changed)} change under {_some(busy, changed)}"
            yield _under_jobs(busy, changed, rule="cores-or-gres-of-a-busy-node", where=line.where, text=text)


def _under_jobs(busy: dict[str, list[int]], names: list[str], *, rule: str, where: str, text: str) -> Finding:
    fix = f"drain {fold(names)} first, then apply"
    return Finding(rule, "kills jobs", where, text, fix, jobs=_jobs_on(busy, names), nodes=fold(names))


def _differs(line: Line, running: Running, name: str) -> bool:
    node = running.nodes.get(name)
    if node is None:
        return False
    try:
        wanted = read_gres(line.get("Gres"))
    except SlurmUnreadable:
        return False
    cpus = line.get("CPUs")
    return (bool(wanted) and _is_other(wanted, node)) or (cpus.isdigit() and node.cpus not in {0, int(cpus)})


def _is_other(wanted: Sequence[Gres], node: Node) -> bool:
    """True where the node has another number of something, or other types where both name them.

    What slurmctld shows is not what the line says (seen on 22.05.8): once the node's slurmd has registered, with the
    type that gres.conf has, of a share too (`shard:p100:16`); before that a busy node has `shard:0`, save in CfgTRES.
    """
    for name in {each.name for each in (*wanted, *node.gres)}:
        asked, has = ([each for each in gres if each.name == name] for gres in (wanted, node.gres))
        found = max(sum(each.count for each in has), node.tres.get(f"gres/{name}", 0))
        types, others = ({each.type: each.count for each in gres if each.type} for gres in (asked, has))
        if sum(each.count for each in asked) != found or (types and others and types != others):
            return True
    return False


def _busy(running: Running) -> dict[str, list[int]]:
    """Return the jobs on each node that has one."""
    busy: dict[str, list[int]] = {}
    for job in running.alive:
        for name in names_of(job.nodes) or () if job.nodes else ():
            busy.setdefault(name, []).append(job.job_id)
    return busy


def _jobs_on(busy: dict[str, list[int]], names: list[str]) -> tuple[int, ...]:
    return tuple(sorted({job for name in names for job in busy[name]}))


def _some(busy: dict[str, list[int]], names: list[str]) -> str:
    ids = _jobs_on(busy, names)
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"job {', '.join(map(str, ids[:3]))}{more}"
