"""The steps of a start, each of which makes or starts what is missing and leaves the rest alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aistation_slurm.devcluster import services
from aistation_slurm.devcluster.commands import run
from aistation_slurm.devcluster.daemons import Service
from aistation_slurm.devcluster.database import init_sql, make_database
from aistation_slurm.devcluster.files import keep_spec, make_folders, make_gpus, make_munge_key, write_site
from aistation_slurm.devcluster.instance import DevCluster, bring_up, stop, stop_unwanted
from aistation_slurm.devcluster.network import netns_inode, plug_in, quicken, unplug_all
from aistation_slurm.devcluster.nodes import forget_jobs, jobs_on, lost_its_jobs, requeue, wait_idle, wait_registered
from aistation_slurm.devcluster.processes import NODE_MARK, Process, end_all, of_node, read_processes, signal_all
from aistation_slurm.devcluster.record import ClusterRecord, NodeRecord
from aistation_slurm.devcluster.release import program, put_link, read_release
from aistation_slurm.devcluster.signs import of_cluster, signs_of
from aistation_slurm.devcluster.steps import Steps
from aistation_slurm.devcluster.users import use_users
from aistation_slurm.errors import DevClusterError
from aistation_slurm.spec import ClusterSpec


def revive(old: DevCluster, record: ClusterRecord, steps: Steps) -> None:
    """Continue what was stopped and join what was cut; where the nodes are others now, take the old ones away."""
    if old.record.nodes != record.nodes:
        with steps.step("the nodes are others now: the old ones taken away, with their jobs"):
            signs = [signs_of(old.paths, old.record, node) for node in old.record.nodes]
            end_all(lambda found: [each for one in signs for each in of_node(found, one)])
            unplug_all(old.record)
        return
    signs = [signs_of(old.paths, old.record, node) for node in old.record.nodes]
    stopped = [each for each in of_cluster(read_processes(), old.paths, signs) if each.is_stopped]
    if stopped:
        with steps.step(f"{len(stopped)} stopped processes continued"):
            signal_all(stopped, signal.SIGCONT)


def prepare(
    cluster: DevCluster,
    spec: ClusterSpec,
    spec_file: Path,
    steps: Steps,
    *,
    site_keys: Mapping[str, str],
    rules: Mapping[str, str],
) -> None:
    """Make its files, users, network and database; stop what is to run no more, or with another slurm.conf."""
    paths, record = cluster.paths, cluster.record
    if unwanted := stop_unwanted(cluster):
        steps.say(f"          no more: {', '.join(unwanted)}")
    with steps.step("files"):
        make_folders(paths, record)
        put_link(paths, read_release(record.slurm, paths.base))
        make_munge_key(paths)
        make_gpus(paths, max(group.gpus_per_node for group in spec.groups.values()))
        keep_spec(paths, spec_file)
        changed = write_site(paths, record, spec, site_keys, rules)
    if changed and any(_reads_slurm_conf(name) for name in cluster.running()):
        with steps.step("slurm.conf changed: slurmctld and slurmd stopped"):
            stop(cluster, _reads_slurm_conf)
    with steps.step(f"{len(record.users)} users"):
        use_users(paths.base, paths.name, record.users)
    if record.layout == "netns":
        with steps.step(f"network of {len(record.nodes)} namespaces"):
            if plug_in(record):
                end_all(lambda found: strays(found, record))
    quicken(record)
    if not (paths.mysql / "ready").exists():
        with steps.step("database made"):
            make_database(paths)


def _reads_slurm_conf(service: str) -> bool:
    return service == "slurmctld" or service.startswith("slurmd:")


def start_controller(cluster: DevCluster, steps: Steps) -> None:
    """Start the daemons that every cluster has once."""
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
    known = run((program(cluster.paths, "sacctmgr"), "-nP", "show", "cluster", "format=cluster"), env=env).split()
    if name not in known:
        run((program(cluster.paths, "sacctmgr"), "-i", "add", "cluster", name), env=env)
    (cluster.paths.state / "registered").touch()


def start_nodes(cluster: DevCluster, steps: Steps) -> None:
    """Start the nodes and our own daemons, and wait until the nodes are there."""
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

    Jobs whose processes died with their node are requeued: slurmctld would believe in them for minutes.
    """
    paths, since = cluster.paths, int(time.time())
    running, steps = cluster.running(), {each.log for each in read_processes() if each.log}
    dead = [node for node in nodes if f"slurmd:{node.name}" not in running]
    lost = {node.name for node in dead if lost_its_jobs(paths, node.name, steps)}
    fresh = [services.slurmd(paths, cluster.record, node) for node in dead]
    jobs: set[str] = set()
    with suppress(DevClusterError):  # nobody to tell, while slurmctld itself is dead or hangs
        jobs = jobs_on(paths, lost)
    forget_jobs(paths, lost)
    bring_up(cluster, fresh)
    with suppress(DevClusterError):
        if jobs and wait_registered(paths, lost, since=since):
            requeue(paths, jobs, names=lost)
    return fresh


def strays(processes: Sequence[Process], record: ClusterRecord) -> list[Process]:
    """Return the nodes' processes that live in a network namespace that is theirs no more."""
    homes = {f"{record.name}/{node.name}": netns_inode(record, node) for node in record.nodes}
    return [each for each in processes if each.netns != homes.get(each.environ.get(NODE_MARK, ""), each.netns)]
