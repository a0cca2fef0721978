"""One cluster: start what is missing of it, ask how it is, take it away."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster import services
from aistation_slurm.devcluster.cgroups import remove_cgroups
from aistation_slurm.devcluster.commands import find, run
from aistation_slurm.devcluster.daemons import Service, start, wait_ready
from aistation_slurm.devcluster.database import init_sql, make_database
from aistation_slurm.devcluster.files import (
    keep_spec,
    make_folders,
    make_gpus,
    make_munge_key,
    remove_files,
    write_site,
)
from aistation_slurm.devcluster.lock import locked
from aistation_slurm.devcluster.network import netns_inode, plug_in, unplug_all
from aistation_slurm.devcluster.nodes import lost_its_jobs, mark_lost, wait_idle
from aistation_slurm.devcluster.packages import require
from aistation_slurm.devcluster.paths import Paths, paths_of
from aistation_slurm.devcluster.plan import Wishes, make_record, raise_if_no_memory, raise_if_occupied
from aistation_slurm.devcluster.processes import NODE_MARK, Process, end_all, of_node, read_processes, signal_all
from aistation_slurm.devcluster.processes import services as services_of
from aistation_slurm.devcluster.record import ClusterRecord, NodeRecord, known_record, load_record, save_record
from aistation_slurm.devcluster.signs import of_cluster, signs_of
from aistation_slurm.devcluster.steps import Say, Steps
from aistation_slurm.devcluster.users import release_users, use_users
from aistation_slurm.errors import DevClusterError
from aistation_slurm.spec import ClusterSpec


@dataclass(frozen=True, slots=True)
class DevCluster:
    """A cluster that stands on this machine, running or not."""

    paths: Paths
    record: ClusterRecord

    @classmethod
    def open(cls, name: str) -> DevCluster:
        """Return the cluster of this name.

        Raises:
            UnknownNameError: there is none.
        """
        paths = paths_of(name)
        return cls(paths, known_record(paths))

    def env(self, path: str | None = None) -> dict[str, str]:
        """Return what a shell needs in order to use the cluster; `path` is the PATH to add to, else the caller's."""
        path = os.environ.get("PATH", "/usr/bin:/bin") if path is None else path
        here = os.path.dirname(sys.executable)
        added = [each for each in (here, "/usr/sbin", "/sbin") if each not in path.split(":")]
        return {
            "SLURM_CONF": str(self.paths.slurm_conf),
            "AISTATION_CONFIG": str(self.paths.config),
            "PATH": ":".join([*added, path]),
        }

    def running(self) -> dict[str, Process]:
        """Return its daemons that live, by name."""
        return services_of(read_processes(), self.paths.name)

    def services(self) -> list[Service]:
        """Return all daemons that it should have, in the order they are started."""
        return [*controller_side(self.paths, self.record), *self.node_side(), *self.our_side()]

    def node_side(self) -> list[Service]:
        """Return each node's slurmd."""
        return [services.slurmd(self.paths, self.record, node) for node in self.record.nodes]

    def our_side(self) -> list[Service]:
        """Return our own daemons."""
        ours = [services.daemon(self.paths, self.record)] if self.record.daemon else []
        if self.record.agents:
            ours += [services.agent(self.paths, self.record, node) for node in self.record.nodes]
        return [*ours, services.page(self.paths, self.record)] if self.record.page else ours


def controller_side(paths: Paths, record: ClusterRecord) -> list[Service]:
    """Return the daemons that every cluster has once."""
    return [
        services.munged(paths),
        services.mariadbd(paths, record),
        services.slurmdbd(paths, record),
        services.slurmctld(paths, record),
        services.slurmrestd(paths),
    ]


def up(
    spec: ClusterSpec,
    spec_file: Path,
    wishes: Wishes,
    *,
    site_keys: Mapping[str, str],
    settle: Callable[[DevCluster], None],
    say: Say,
) -> DevCluster:
    """Start what is missing of the cluster, and return it with its nodes idle.

    `settle` is called once the controller answers and before the nodes start: it applies the cluster file.

    Raises:
        NeedsRoot: this isn't root.
        MissingPackage: Slurm, MariaDB or something else isn't installed.
        PortInUse: somebody else has one of the cluster's ports.
        DevClusterError: a daemon doesn't start, or there is too little memory.
    """
    paths = paths_of(wishes.name)
    with locked(paths, say):
        require()
        steps = Steps(say)
        old = load_record(paths)
        record = make_record(spec, wishes, paths, old)
        cluster = DevCluster(paths, record)
        before = set(cluster.running())
        if old:
            _revive(DevCluster(paths, old), record, steps)
        _prepare(cluster, spec, spec_file, site_keys, steps)
        _start_controller(cluster, steps)
        with steps.step("cluster file applied"):
            settle(cluster)
        _start_nodes(cluster, steps)
        was = "was up already" if before == set(cluster.running()) else "is up"
        steps.total(f"{wishes.name} {was}: {len(record.nodes)} nodes, {spec.total_gpus} simulated GPUs")
        return cluster


def _revive(old: DevCluster, record: ClusterRecord, steps: Steps) -> None:
    """Continue what was stopped and join what was cut; where the nodes are others now, take the old ones away."""
    if old.record.nodes != record.nodes:
        with steps.step("the nodes are others now: the old ones taken away, with their jobs"):
            signs = [signs_of(old.paths, old.record, node) for node in old.record.nodes]
            end_all(lambda found: [each for one in signs for each in of_node(found, one)])
            if old.record.layout == "netns":
                unplug_all(old.record)
        return
    signs = [signs_of(old.paths, old.record, node) for node in old.record.nodes]
    stopped = [each for each in of_cluster(read_processes(), old.paths, signs) if each.is_stopped]
    if stopped:
        with steps.step(f"{len(stopped)} stopped processes continued"):
            signal_all(stopped, signal.SIGCONT)


def _prepare(
    cluster: DevCluster, spec: ClusterSpec, spec_file: Path, site_keys: Mapping[str, str], steps: Steps
) -> None:
    paths, record = cluster.paths, cluster.record
    running = cluster.running()
    raise_if_occupied(record, running)
    raise_if_no_memory(len(record.nodes) - sum(name.startswith("slurmd:") for name in running))
    paths.root.mkdir(parents=True, exist_ok=True)
    save_record(paths, record)
    with steps.step("files"):
        make_folders(paths, record)
        make_munge_key(paths)
        make_gpus(paths, max(group.gpus_per_node for group in spec.groups.values()))
        keep_spec(paths, spec_file)
        changed = write_site(paths, record, spec, site_keys)
    if changed and any(name == "slurmctld" or name.startswith("slurmd:") for name in running):
        with steps.step("slurm.conf changed: slurmctld and slurmd stopped"):
            stop(cluster, lambda name: name == "slurmctld" or name.startswith("slurmd:"))
    with steps.step(f"{len(record.users)} users"):
        use_users(paths.base, paths.name, record.users)
    if record.layout == "netns":
        with steps.step(f"network of {len(record.nodes)} namespaces"):
            if plug_in(record):
                end_all(lambda found: strays(found, record))
    if not (paths.mysql / "ready").exists():
        with steps.step("database made"):
            make_database(paths)


def _start_controller(cluster: DevCluster, steps: Steps) -> None:
    paths, record = cluster.paths, cluster.record
    init_sql(paths)
    with steps.step("munged, mariadbd"):
        bring_up(cluster, [services.munged(paths), services.mariadbd(paths, record)])
    with steps.step("slurmdbd"):
        bring_up(cluster, [services.slurmdbd(paths, record)])
        _register(cluster)
    with steps.step("slurmctld, slurmrestd"):
        bring_up(cluster, [services.slurmctld(paths, record), services.slurmrestd(paths)])


def _register(cluster: DevCluster) -> None:
    """Make the cluster known to slurmdbd: slurmctld that enforces associations doesn't start without."""
    if (cluster.paths.state / "registered").exists():
        return
    env = services.slurm_env(cluster.paths)
    name = cluster.record.slurm_cluster
    known = run((find("sacctmgr"), "-nP", "show", "cluster", "format=cluster"), env=env).split()
    if name not in known:
        run((find("sacctmgr"), "-i", "add", "cluster", name), env=env)
    (cluster.paths.state / "registered").touch()


def _start_nodes(cluster: DevCluster, steps: Steps) -> None:
    record, ours = cluster.record, cluster.our_side()
    agents, others = [each for each in ours if each.node], [each for each in ours if not each.node]
    if agents:  # first: a daemon that runs already would take a node that is back without its heartbeat for dead
        with steps.step(f"{len(agents)} agents"):
            bring_up(cluster, agents)
    with steps.step(f"{len(record.nodes)} nodes"):
        start_slurmds(cluster, record.nodes)
        wait_idle(cluster.paths, record, lambda node: f"slurmd:{node}" in cluster.running())
    if others:
        with steps.step(", ".join(each.name for each in others)):
            bring_up(cluster, others)


def start_slurmds(cluster: DevCluster, nodes: Sequence[NodeRecord]) -> list[Service]:
    """Start the slurmd of each of these nodes that has none, and return those that were started.

    One that lost its jobs without a word comes back as after a reboot, so that slurmctld doesn't believe in them for
    minutes; it is told before, since it forgets across its own restart when it last heard of the node.
    """
    paths = cluster.paths
    running, steps = cluster.running(), {each.log for each in read_processes() if each.log}
    dead = [node for node in nodes if f"slurmd:{node.name}" not in running]
    lost = {node.name for node in dead if lost_its_jobs(paths, node.name, steps)}
    mark_lost(paths, lost)
    return bring_up(
        cluster, [services.slurmd(paths, cluster.record, node, rebooted=node.name in lost) for node in dead]
    )


def strays(processes: Sequence[Process], record: ClusterRecord) -> list[Process]:
    """Return the nodes' processes that live in a network namespace that is theirs no more."""
    homes = {f"{record.name}/{node.name}": netns_inode(record, node) for node in record.nodes}
    return [each for each in processes if each.netns != homes.get(each.environ.get(NODE_MARK, ""), each.netns)]


def bring_up(cluster: DevCluster, wanted: list[Service]) -> list[Service]:
    """Start those that don't live, wait until all are ready, and return those that were started."""
    running = cluster.running()
    fresh = [service for service in wanted if service.name not in running]
    for service in fresh:
        start(service, cluster.paths.name)
    for service in wanted:
        wait_ready(service, lambda name=service.name: name in cluster.running())  # type: ignore[misc]
    return fresh


def stop(cluster: DevCluster, chosen: Callable[[str], bool], *, grace: float = 10.0) -> None:
    """End the chosen daemons, by TERM first; jobs stay."""
    name = cluster.paths.name
    end_all(lambda found: [p for service, p in services_of(found, name).items() if chosen(service)], grace=grace)


def down(name: str, *, say: Say) -> bool:
    """Take the cluster away, every trace of it; False if there was none."""
    paths = paths_of(name)
    if not paths.root.exists() and not paths.lock.exists():
        return False
    with locked(paths, say):
        steps = Steps(say)
        record = load_record_if_whole(paths)
        with steps.step("processes"):
            signs = [signs_of(paths, record, node) for node in record.nodes] if record else []
            end_all(lambda found: of_cluster(found, paths, signs))
        if record and record.layout == "netns":
            with steps.step("network"):
                unplug_all(record)
        with steps.step("users"):
            release_users(paths.base, paths.name)
        with steps.step("files"):
            if record:
                remove_cgroups(record)
            remove_files(paths)
        paths.lock.unlink(missing_ok=True)
    for folder in (paths.base, paths.base.parent):
        with suppress(OSError):  # not empty: another cluster's, or a site's
            folder.rmdir()
    steps.total(f"{name} is gone")
    return True


def load_record_if_whole(paths: Paths) -> ClusterRecord | None:
    """Return what is remembered of the cluster, or None if that is damaged."""
    try:
        return load_record(paths)
    except DevClusterError:
        return None
