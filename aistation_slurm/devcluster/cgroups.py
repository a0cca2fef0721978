"""What Slurm leaves of its cgroups (version 1) when its daemons are killed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from aistation_slurm.devcluster.conf import FREEZER
from aistation_slurm.devcluster.record import ClusterRecord


def node_cgroup(node: str) -> str:
    """Return what the path of the node's cgroups begins with (Slurm, built for several slurmd on one machine)."""
    return f"/slurm_{node}"


def remove_cgroups(record: ClusterRecord | None, freezer: Path = FREEZER) -> None:
    """Remove the nodes' cgroups, from the leaves up; those that still hold a process stay."""
    for node in record.nodes if record else ():
        for folder, _, _ in os.walk(freezer / node_cgroup(node.name).lstrip("/"), topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
