"""Faults that are real: processes killed or stopped, cables cut; each says when it took effect."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aistation_slurm.devcluster import network
from aistation_slurm.devcluster.daemons import Service
from aistation_slurm.devcluster.instance import DevCluster, bring_up
from aistation_slurm.devcluster.nodes import PASSING, SLURMS_OWN, resume_for, wait_registered
from aistation_slurm.devcluster.processes import (
    NodeSigns,
    Process,
    end_all,
    of_node,
    ourselves,
    read_processes,
    services,
    signal_all,
    start_of,
    with_children,
)
from aistation_slurm.devcluster.record import NodeRecord
from aistation_slurm.devcluster.signs import signs_of
from aistation_slurm.devcluster.startup import start_slurmds
from aistation_slurm.errors import DevClusterError, UnknownNameError, UsageError

NODE_FAULTS = {
    "kill-node": "The machine dies: slurmd, the jobs' processes, the agent, all killed.",
    "hang-node": "The machine hangs: all its processes are stopped (SIGSTOP), their sockets stay open.",
    "cut-node": "Its network is cut; what runs there runs on.",
    "kill-slurmd": "slurmd alone dies; the jobs run on.",
    "kill-agent": "The agent alone dies.",
    "start-slurmd": "Start its slurmd, if it is dead.",
    "heal-node": "Undo all of the above: join the cable, continue what is stopped, start what is dead.",
}
CLUSTER_FAULTS = {
    "kill-slurmctld": "slurmctld dies.",
    "hang-slurmctld": "slurmctld hangs (SIGSTOP).",
    "kill-slurmdbd": "slurmdbd dies.",
    "kill-mariadbd": "MariaDB dies.",
    "kill-munged": "munged dies: nobody can prove who he is.",
    "kill-daemon": "Our own daemon dies.",
    "heal": "Continue what is stopped and start what is dead, of all but the nodes.",
}
_ALIASES = {"kill-mariadb": "kill-mariadbd"}
FAULTS = NODE_FAULTS | CLUSTER_FAULTS


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that took effect."""

    kind: str
    target: str
    at_ms: int
    """Unix time in milliseconds."""
    processes: int = 0

    def __str__(self) -> str:
        return f"{self.at_ms} {self.kind} {self.target} processes={self.processes}"


def strike(cluster: DevCluster, kind: str, node_name: str = "") -> Struck:
    """Break something, or heal it, and return when that took effect.

    Raises:
        UnknownNameError: there is no such fault or node.
        UsageError: the fault needs a node, or takes none.
        DevClusterError: what is to be broken isn't there.
    """
    kind = _ALIASES.get(kind, kind)
    if kind not in FAULTS:
        raise UnknownNameError("fault", kind, where=cluster.record.name, known=FAULTS)
    if kind in CLUSTER_FAULTS:
        if node_name:
            raise UsageError(f"{kind} takes no node")
        return _strike_cluster(cluster, kind)
    if not node_name:
        raise UsageError(
            f"{kind} needs a node", hint=f"one of {', '.join(n.name for n in cluster.record.nodes[:4])}..."
        )
    return _NODE_ACTIONS[kind](cluster, cluster.record.node(node_name))


def _kill_node(cluster: DevCluster, node: NodeRecord) -> Struck:
    signs = signs_of(cluster.paths, cluster.record, node)
    # Stopped first, so that nothing of it starts something else meanwhile; the stop is the moment it dies.
    at = _now_ms()
    signal_all(_of(signs), signal.SIGSTOP)
    count = end_all(lambda found: of_node(found, signs))
    if not count:
        raise DevClusterError(f"nothing of {node.name} runs", hint=f"aistation dev fault heal-node {node.name}")
    return Struck("kill-node", node.name, at, count)


def _hang_node(cluster: DevCluster, node: NodeRecord) -> Struck:
    signs = signs_of(cluster.paths, cluster.record, node)
    at = _now_ms()
    return Struck("hang-node", node.name, at, signal_all(_of(signs), signal.SIGSTOP))


def _of(signs: NodeSigns) -> list[Process]:
    processes = read_processes()
    spared = ourselves(processes)
    return [each for each in of_node(processes, signs) if each.pid not in spared]


def _cut_node(cluster: DevCluster, node: NodeRecord) -> Struck:
    if cluster.record.layout != "netns":
        hint = "start the cluster with --layout netns"
        raise DevClusterError(f"{node.name} has no cable of its own: the layout is loopback", hint=hint)
    network.set_cable(cluster.record, node, up=False)
    return Struck("cut-node", node.name, _now_ms())


def _heal_node(cluster: DevCluster, node: NodeRecord) -> Struck:
    if cluster.record.layout == "netns":
        network.plug_in(cluster.record)
        network.set_cable(cluster.record, node, up=True)
    continued = signal_all(_of(signs_of(cluster.paths, cluster.record, node)), signal.SIGCONT)
    at = _now_ms()
    fresh = bring_up(cluster, [each for each in cluster.our_side() if each.node == node.name])
    fresh += _start_and_resume(cluster, node)
    return Struck("heal-node", node.name, at, continued + len(fresh))


def _start_slurmd(cluster: DevCluster, node: NodeRecord) -> Struck:
    at = _now_ms()
    return Struck("start-slurmd", node.name, at, len(_start_and_resume(cluster, node)))


def _start_and_resume(cluster: DevCluster, node: NodeRecord) -> list[Service]:
    """Start the node's slurmd if it is dead; return the node to service, as its administrator would after a look.

    A node that our daemon took out is left to the daemon while that lives.
    """
    since = int(time.time())
    fresh = start_slurmds(cluster, [node])
    if fresh and "slurmctld" in cluster.running():
        wait_registered(cluster.paths, [node.name], since=since)
    reasons = SLURMS_OWN if "daemon" in cluster.running() else PASSING
    with suppress(DevClusterError):  # without slurmctld there is nobody to ask, and the node is there all the same
        resume_for(cluster.paths, node.name, reasons)
    return fresh


def _kill_one(kind: str, prefix: str) -> Callable[[DevCluster, NodeRecord], Struck]:
    def act(cluster: DevCluster, node: NodeRecord) -> Struck:
        return _kill_service(cluster, kind, f"{prefix}:{node.name}", node.name)

    return act


_NODE_ACTIONS: dict[str, Callable[[DevCluster, NodeRecord], Struck]] = {
    "kill-node": _kill_node,
    "hang-node": _hang_node,
    "cut-node": _cut_node,
    "heal-node": _heal_node,
    "start-slurmd": _start_slurmd,
    "kill-slurmd": _kill_one("kill-slurmd", "slurmd"),
    "kill-agent": _kill_one("kill-agent", "agent"),
}


def _strike_cluster(cluster: DevCluster, kind: str) -> Struck:
    if kind == "heal":
        return _heal_cluster(cluster)
    verb, _, service = kind.partition("-")
    if verb == "kill":
        return _kill_service(cluster, kind, service, cluster.record.name)
    family = _family(cluster, service)
    at = _now_ms()
    return Struck(kind, cluster.record.name, at, signal_all(family, signal.SIGSTOP))


def _kill_service(cluster: DevCluster, kind: str, service: str, target: str) -> Struck:
    """Kill the daemon and what it started; of a slurmd itself alone, since its jobs are to live on."""
    family = _family(cluster, service)
    doomed = family[:1] if service.startswith("slurmd:") else family
    at = _now_ms()
    count = signal_all(doomed, signal.SIGKILL)
    _wait_gone(doomed)
    return Struck(kind, target, at, count)


def _wait_gone(processes: Sequence[Process], *, within: float = 5.0) -> None:
    """Wait until the killed are gone: a process that is dying still shows for a moment."""
    give_up = time.monotonic() + within
    while any(start_of(each.pid) == each.start for each in processes) and time.monotonic() < give_up:
        time.sleep(0.01)


def _family(cluster: DevCluster, service: str) -> Sequence[Process]:
    processes = read_processes()
    main = services(processes, cluster.record.name).get(service)
    if main is None:
        raise DevClusterError(f"{service} is not running", hint=f"aistation dev up --name {cluster.record.name}")
    return with_children(processes, [main])


def _heal_cluster(cluster: DevCluster) -> Struck:
    processes = read_processes()
    mains = services(processes, cluster.record.name)
    apart = [process for name, process in mains.items() if ":" not in name]
    continued = signal_all(with_children(processes, apart), signal.SIGCONT)
    wanted = [each for each in cluster.services() if not each.node]
    fresh = [started for each in wanted for started in bring_up(cluster, [each])]
    return Struck("heal", cluster.record.name, _now_ms(), continued + len(fresh))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
