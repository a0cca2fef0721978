"""How a cluster is: each daemon alive, stopped or dead."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from aistation_slurm.devcluster.instance import DevCluster
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.processes import Process
from aistation_slurm.devcluster.release import program, version_said
from aistation_slurm.errors import DevClusterError


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """One daemon."""

    name: str
    state: str
    """`alive`, `stopped` (it hangs) or `dead`."""
    pid: int | None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One cluster."""

    name: str
    layout: str
    slurm: str
    """Which release of Slurm it runs, as it was asked for."""
    version: str
    """Such as `24.11.5`; '' if its Slurm can't be started (any more)."""
    slurm_cluster: str
    state_folder: str
    slurm_conf: str
    settings: str
    page: str
    nodes: tuple[str, ...]
    users: tuple[str, ...]
    daemons: tuple[DaemonStatus, ...]

    @property
    def alive(self) -> int:
        """How many daemons live."""
        return sum(each.state == "alive" for each in self.daemons)

    @property
    def is_whole(self) -> bool:
        """True if all daemons live."""
        return self.alive == len(self.daemons)


def status_of(cluster: DevCluster) -> Status:
    """Return how the cluster is."""
    record, paths = cluster.record, cluster.paths
    running = cluster.running()
    return Status(
        name=record.name,
        layout=record.layout,
        slurm=record.slurm,
        version=_version(paths),
        slurm_cluster=record.slurm_cluster,
        state_folder=str(paths.root),
        slurm_conf=str(paths.slurm_conf),
        settings=str(paths.config),
        page=f"http://127.0.0.1:{record.ports.web}/" if record.page else "",
        nodes=tuple(each.name for each in record.nodes),
        users=record.users,
        daemons=tuple(_status(each.name, each.node, running.get(each.name)) for each in cluster.services()),
    )


def _version(paths: Paths) -> str:
    with suppress(DevClusterError):
        return version_said(program(paths, "slurmd"))
    return ""


def _status(name: str, node: str, process: Process | None) -> DaemonStatus:
    if process is None:
        return DaemonStatus(name, "dead", None, node)
    return DaemonStatus(name, "stopped" if process.is_stopped else "alive", process.pid, node)
