"""What Slurm leaves of its cgroups (version 1) when its daemons are killed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from aistation_slurm.devcluster.conf import FREEZER
from aistation_slurm.devcluster.processes import job_in_cgroup
from aistation_slurm.devcluster.record import ClusterRecord


def remove_cgroups(record: ClusterRecord, freezer: Path = FREEZER) -> None:
    """Remove the cgroups of the cluster's jobs, and those above them that are empty then; no other cluster's."""
    for node in record.nodes:
        top = freezer / f"slurm_{node.name}"
        for folder in top.glob("uid_*/job_*"):
            if job_in_cgroup(f"/{folder.relative_to(freezer)}", node.name) in record.job_ids:
                _remove_tree(folder)
        for folder in (*top.glob("uid_*"), top):
            with suppress(OSError):  # not empty: another cluster's node of this name, or gone
                folder.rmdir()


def _remove_tree(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
