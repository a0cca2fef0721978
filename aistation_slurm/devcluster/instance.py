"""One cluster that stands on this machine: what it should have, what of it runs, and how one gets to the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch

from aistation_slurm.devcluster import services
from aistation_slurm.devcluster.daemons import Service, start, wait_ready
from aistation_slurm.devcluster.paths import Paths, paths_of
from aistation_slurm.devcluster.processes import Process, end_all, read_processes
from aistation_slurm.devcluster.processes import services as services_of
from aistation_slurm.devcluster.record import ClusterRecord, known_record
from aistation_slurm.devcluster.release import own_folders


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
        return {
            "SLURM_CONF": str(self.paths.slurm_conf),
            "AISTATION_CONFIG": str(self.paths.config),
            "PATH": ":".join(self._folders(path)),
        }

    def _folders(self, path: str) -> list[str]:
        """Return the folders of PATH: a Slurm of the cluster's own comes first, another cluster's is left out."""
        slurms = str(self.paths.base / "*" / "slurm" / "*bin")
        before = [each for each in path.split(":") if not fnmatch(each, slurms)]
        ours = (os.path.dirname(sys.executable), "/usr/sbin", "/sbin")
        return [*own_folders(self.paths), *(each for each in ours if each not in before), *before]

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


def bring_up(cluster: DevCluster, wanted: list[Service]) -> list[Service]:
    """Start those that don't live, wait until all are ready, and return those that were started."""
    running = cluster.running()
    fresh = [service for service in wanted if service.name not in running]
    for service in fresh:
        start(service, cluster.paths.name)
    for service in wanted:
        wait_ready(service, lambda name=service.name: name in cluster.running())  # type: ignore[misc]
    return fresh


def stop_unwanted(cluster: DevCluster) -> list[str]:
    """End those daemons of the cluster that it should not have (any more), and return their names."""
    wanted = {service.name for service in cluster.services()}
    extra = [name for name in cluster.running() if name not in wanted]
    if extra:
        stop(cluster, lambda name: name in extra)
    return extra


def stop(cluster: DevCluster, chosen: Callable[[str], bool], *, grace: float = 10.0) -> None:
    """End the chosen daemons, by TERM first; jobs stay."""
    name = cluster.paths.name
    end_all(lambda found: [p for service, p in services_of(found, name).items() if chosen(service)], grace=grace)
