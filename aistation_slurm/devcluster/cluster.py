"""A cluster comes up, and goes away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aistation_slurm.devcluster.cgroups import remove_cgroups
from aistation_slurm.devcluster.files import remove_files
from aistation_slurm.devcluster.instance import DevCluster, bring_up, stop
from aistation_slurm.devcluster.lock import base_locked, locked
from aistation_slurm.devcluster.network import unplug_all
from aistation_slurm.devcluster.packages import require
from aistation_slurm.devcluster.paths import Paths, paths_of
from aistation_slurm.devcluster.plan import Wishes, choose_slurm, make_record, raise_if_no_memory, raise_if_occupied
from aistation_slurm.devcluster.processes import end_all
from aistation_slurm.devcluster.record import ClusterRecord, load_record, save_record
from aistation_slurm.devcluster.release import read_release
from aistation_slurm.devcluster.release_shelf import provide
from aistation_slurm.devcluster.signs import of_cluster, signs_of
from aistation_slurm.devcluster.startup import prepare, revive, start_controller, start_nodes
from aistation_slurm.devcluster.steps import Say, Steps
from aistation_slurm.devcluster.users import release_users
from aistation_slurm.errors import DevClusterError
from aistation_slurm.spec import ClusterSpec

__all__ = ["DevCluster", "bring_up", "down", "stop", "up"]


def up(
    spec: ClusterSpec,
    spec_file: Path,
    wishes: Wishes,
    *,
    site_keys: Mapping[str, str],
    rules: Mapping[str, str],
    settle: Callable[[DevCluster], None],
    say: Say,
) -> DevCluster:
    """Start what is missing of the cluster, and return it with its nodes idle.

    `site_keys` are what the product needs in slurm.conf, `rules` job_submit.lua and what it reads, by name.
    `settle` is called once the controller answers and before the nodes start: it applies the cluster file.

    Raises:
        NeedsRoot: this isn't root.
        UsageError: there can be no such release of Slurm.
        MissingPackage: Slurm, MariaDB or something else isn't installed.
        PortInUse: somebody else has one of the cluster's ports.
        DevClusterError: a daemon doesn't start, or there is too little memory.
    """
    paths = paths_of(wishes.name)
    with locked(paths, say):
        wishes = _with_release(wishes, paths, say)
        steps = Steps(say)
        cluster, before = _claim(spec, wishes, paths, steps)
        prepare(cluster, spec, spec_file, steps, site_keys=site_keys, rules=rules)
        start_controller(cluster, steps)
        with steps.step("cluster file applied"):
            settle(cluster)
        start_nodes(cluster, steps)
        was = "was up already" if before == set(cluster.running()) else "is up"
        steps.total(f"{wishes.name} {was}: {len(cluster.record.nodes)} nodes, {spec.total_gpus} simulated GPUs")
        return cluster


def _with_release(wishes: Wishes, paths: Paths, say: Say) -> Wishes:
    """Return the wishes with the release of Slurm chosen, and here."""
    if wishes.slurm:
        wishes = replace(wishes, slurm=read_release(wishes.slurm, paths.base).spec)
    release = read_release(choose_slurm(wishes, load_record(paths)), paths.base)
    require(slurm=release.prefix is None)
    provide(release, paths.base, say)
    return replace(wishes, slurm=release.spec)


def _claim(spec: ClusterSpec, wishes: Wishes, paths: Paths, steps: Steps) -> tuple[DevCluster, set[str]]:
    """Take ports, network and job ids that no other cluster has, and return the cluster and which daemons of it run."""
    with base_locked(paths.base):
        old = load_record(paths)
        cluster = DevCluster(paths, make_record(spec, wishes, paths, old))
        if old:
            revive(DevCluster(paths, old), cluster.record, steps)
        running = cluster.running()
        raise_if_occupied(cluster.record, running)
        raise_if_no_memory(len(cluster.record.nodes) - sum(name.startswith("slurmd:") for name in running))
        paths.root.mkdir(parents=True, exist_ok=True)
        save_record(paths, cluster.record)
    return cluster, set(running)


def down(name: str, *, say: Say) -> bool:
    """Take the cluster away, every trace of it; False if there was none."""
    paths = paths_of(name)
    if not paths.root.exists() and not paths.lock.exists():
        return False
    with locked(paths, say):
        steps = Steps(say)
        record = _whole_record(paths)
        with steps.step("processes"):
            signs = [signs_of(paths, record, node) for node in record.nodes] if record else []
            end_all(lambda found: of_cluster(found, paths, signs))
        if record:
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


def _whole_record(paths: Paths) -> ClusterRecord | None:
    try:
        return load_record(paths)
    except DevClusterError:
        return None
