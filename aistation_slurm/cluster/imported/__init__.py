"""A cluster file written from what a running Slurm shows; what could not be seen stands in its comments."""

from __future__ import annotations

from pathlib import Path

from aistation_slurm.cluster.imported.file import Imported, tell
from aistation_slurm.cluster.imported.seen import Seen, look_at
from aistation_slurm.slurm.connect import Slurm

__all__ = ["Imported", "Seen", "imported", "look_at", "tell"]


def imported(slurm: Slurm, conf_dir: Path | None = None) -> str:
    """Return a cluster file that says what the running Slurm has: groups from partitions, teams from accounts.

    What we made is told as ours, all else as the site's own. `conf_dir` is Slurm's folder, where our own files tell
    what Slurm itself does not.

    Raises:
        SpecError: no node of it has a GPU.
        SlurmError: Slurm can't be asked.
    """
    return str(tell(look_at(slurm, conf_dir)))
