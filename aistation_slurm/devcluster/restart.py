"""Slurm's daemons of a cluster are restarted, one by one, as a machine's service manager would: their jobs go on."""

from __future__ import annotations

import time

from aistation_slurm.devcluster import services
from aistation_slurm.devcluster.daemons import log_tail
from aistation_slurm.devcluster.instance import DevCluster, bring_up, stop
from aistation_slurm.devcluster.nodes import wait_registered
from aistation_slurm.errors import DevClusterError, UnknownNameError
from aistation_slurm.slurm.nodelist import expand

CONTROLLER, ALL = "slurmctld", "all"
PATIENCE = 30.0
"""Seconds that a slurmd may take until it has registered."""


def restart(cluster: DevCluster, what: str) -> list[str]:
    """Restart `slurmctld`, the slurmd of a node list, or `all` of them, and return the daemons' names.

    Raises:
        UnknownNameError: there is no such node.
        DevClusterError: a daemon does not start.
    """
    known = [node.name for node in cluster.record.nodes]
    names = known if what == ALL else [] if what == CONTROLLER else expand(what)
    if unknown := next((name for name in names if name not in known), ""):
        raise UnknownNameError("node", unknown, where=cluster.record.name, known=[*known, CONTROLLER, ALL])
    return [*(_controller(cluster) if what in {CONTROLLER, ALL} else []), *_nodes(cluster, list(names))]


def _controller(cluster: DevCluster) -> list[str]:
    stop(cluster, lambda name: name == CONTROLLER)
    bring_up(cluster, [services.slurmctld(cluster.paths, cluster.record)])
    return [CONTROLLER]


def _nodes(cluster: DevCluster, names: list[str]) -> list[str]:
    since = int(time.time())
    wanted = [services.slurmd(cluster.paths, cluster.record, cluster.record.node(name)) for name in names]
    daemons = {each.name for each in wanted}
    stop(cluster, lambda name: name in daemons)
    bring_up(cluster, wanted)
    if CONTROLLER in cluster.running() and not wait_registered(cluster.paths, names, since=since, within=PATIENCE):
        running = cluster.running()
        lost = [name for name in names if f"slurmd:{name}" not in running] or names
        hint = log_tail(cluster.paths.log / f"slurmd.{lost[0]}.out")
        raise DevClusterError(f"slurmd of {','.join(lost)} did not register after its restart", hint=hint)
    return [each.name for each in wanted]
