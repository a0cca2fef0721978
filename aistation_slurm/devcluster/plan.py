"""What a cluster is to be: from the cluster file, the wishes of whoever starts it, and what is remembered of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster import network
from aistation_slurm.devcluster.paths import DEFAULT_NAME, Paths
from aistation_slurm.devcluster.ports import choose_ports, choose_subnet, is_free, listener, ports_of
from aistation_slurm.devcluster.processes import Process
from aistation_slurm.devcluster.record import INSTALLED, ClusterRecord, Layout, NodeRecord, Ports, other_records
from aistation_slurm.errors import DevClusterError, PortInUse
from aistation_slurm.spec import ClusterSpec

# Up to here each node gets its own network namespace and agent unless told otherwise.
FEW_NODES = 16
MOST_CLUSTERS = 60
MEMORY_BASE, MEMORY_PER_NODE = 400, 8  # MiB


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever starts the cluster asked for; None leaves it to us."""

    name: str = DEFAULT_NAME
    layout: Layout | None = None
    agents: bool | None = None
    daemon: bool | None = None
    page: bool | None = None
    slurm: str | None = None
    """Which release of Slurm: `installed`, `debian:SUITE` or `/PREFIX`."""


def choose_slurm(wishes: Wishes, old: ClusterRecord | None) -> str:
    """Return which release of Slurm the cluster runs: the one asked for, the one that it has, else the installed one.

    Raises:
        DevClusterError: it has another, which can't be changed in place.
    """
    wanted = wishes.slurm or (old.slurm if old else INSTALLED)
    if old and wanted != old.slurm:
        hint = f"take it down first (aistation dev down --name {wishes.name}), or give another --name"
        raise DevClusterError(f"{wishes.name} runs the Slurm {old.slurm}, not {wanted}", hint=hint)
    return wanted


def make_record(spec: ClusterSpec, wishes: Wishes, paths: Paths, old: ClusterRecord | None) -> ClusterRecord:
    """Return what the cluster is to be; of an old one, its network and ports are kept where they fit.

    Raises:
        DevClusterError: the old one's layout or Slurm's name for it is another, which can't be changed in place.
    """
    names = [name for group in spec.groups.values() for name in group.node_names()]
    layout = wishes.layout or (old.layout if old else choose_layout(len(names)))
    if old and (old.layout, old.slurm_cluster) != (layout, spec.cluster):
        was, now = f"{old.slurm_cluster} in layout {old.layout}", f"{spec.cluster} in layout {layout}"
        hint = f"take it down first (aistation dev down --name {paths.name}), or give another --name"
        raise DevClusterError(f"{paths.name} holds the cluster {was}, not {now}", hint=hint)
    if layout == "netns" and len(names) > network.MOST_NODES:
        raise DevClusterError(f"layout netns takes {network.MOST_NODES} nodes at most", hint="--layout loopback")
    others = other_records(paths.base, paths.name)
    ports = _ports(len(names), old, others)
    subnet = _subnet(layout, old, others)
    agents = _wish(wishes.agents, old.agents if old else None, layout == "netns")
    return ClusterRecord(
        name=paths.name,
        tag=old.tag if old else f"{paths.name[:6]}{secrets.token_hex(2)}",
        layout=layout,
        subnet=subnet,
        slot=old.slot if old else choose_slot(each.slot for each in others),
        ports=ports,
        nodes=tuple(_node(name, index, layout, subnet, ports) for index, name in enumerate(names)),
        users=tuple(spec.users()),
        slurm_cluster=spec.cluster,
        agents=agents,
        daemon=_wish(wishes.daemon, old.daemon if old else None, layout == "netns"),
        page=_wish(wishes.page, old.page if old else None, False),
        slurm=choose_slurm(wishes, old),
    )


def choose_slot(taken: Iterable[int]) -> int:
    """Return the lowest number that no other cluster has.

    Raises:
        DevClusterError: Slurm's job ids (67 million) don't suffice for one more.
    """
    used = set(taken)
    free = next(each for each in range(len(used) + 1) if each not in used)
    if free >= MOST_CLUSTERS:
        raise DevClusterError(f"{MOST_CLUSTERS} clusters are the most on one machine", hint="take one down")
    return free


def choose_layout(nodes: int) -> Layout:
    """Return the layout that suits so many nodes on this machine."""
    return "netns" if nodes <= FEW_NODES and network.namespaces_work() else "loopback"


def _wish(wished: bool | None, before: bool | None, default: bool) -> bool:
    if wished is not None:
        return wished
    return default if before is None else before


def _ports(nodes: int, old: ClusterRecord | None, others: Collection[ClusterRecord]) -> Ports:
    if old and (old.layout == "netns" or len(old.nodes) >= nodes):
        return old.ports
    taken = {port for each in others for port in ports_of(each)}
    if old is None:
        return choose_ports(nodes, taken=taken)
    more = choose_ports(nodes, taken=taken | ports_of(old))
    return old.ports.model_copy(update={"slurmd": more.slurmd})


def _subnet(layout: Layout, old: ClusterRecord | None, others: Collection[ClusterRecord]) -> int:
    if layout == "loopback":
        return 0
    return old.subnet if old else choose_subnet(taken={each.subnet for each in others})


def _node(name: str, index: int, layout: Layout, subnet: int, ports: Ports) -> NodeRecord:
    if layout == "netns":
        return NodeRecord(name=name, address=f"10.213.{subnet}.{index + 2}", port=ports.slurmd, index=index)
    return NodeRecord(name=name, address="127.0.0.1", port=ports.slurmd + index, index=index)


def raise_if_occupied(record: ClusterRecord, running: Mapping[str, Process], *, patience: float = 2.0) -> None:
    """Return if each port that one of our daemons is about to take is free.

    Raises:
        PortInUse: somebody else listens on one; the hint names the process.
    """
    for service, port in needed_ports(record):
        if service not in running and not _becomes_free(port, patience):
            who = listener(port)
            hint = f"stop {who or 'what listens there'}, or start the cluster under another --name"
            raise PortInUse(f"port {port}, which {service} of {record.name} needs, is in use", hint=hint)


def _becomes_free(port: int, patience: float) -> bool:
    """True if the port is free, or is within so many seconds: who was killed just now still lets go of his."""
    give_up = time.monotonic() + patience
    while not is_free(port):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True


def needed_ports(record: ClusterRecord) -> list[tuple[str, int]]:
    """Return (daemon, port of the host) for all that the cluster starts."""
    ports = record.ports
    needed = [("slurmctld", ports.slurmctld), ("slurmdbd", ports.slurmdbd), ("mariadbd", ports.mariadb)]
    if record.layout == "loopback":
        needed += [(f"slurmd:{node.name}", node.port) for node in record.nodes]
    if record.daemon:
        needed.append(("daemon", ports.heartbeat))
    return [*needed, ("page", ports.web)] if record.page else needed


def raise_if_no_memory(nodes_to_start: int, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Return if there is memory for so many more nodes.

    Raises:
        DevClusterError: there is not.
    """
    lines = (line.split() for line in meminfo.read_text().splitlines())
    available = next((int(words[1]) // 1024 for words in lines if words[0] == "MemAvailable:"), None)
    needed = nodes_to_start * MEMORY_PER_NODE + (MEMORY_BASE if nodes_to_start else 0)
    if available is not None and available < needed:
        raise DevClusterError(
            f"{nodes_to_start} nodes need about {needed} MiB of memory, {available} MiB are available",
            hint="start fewer of them: --scale N takes at most N nodes of each group",
        )
