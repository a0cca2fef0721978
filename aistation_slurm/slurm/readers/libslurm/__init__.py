"""Asks by libslurm, in a worker: no command is started, and to hear that nothing has changed takes a millisecond."""

from aistation_slurm.slurm.readers.libslurm.fitting import installed_pyslurm, pyslurm_misfit
from aistation_slurm.slurm.readers.libslurm.place import find_library, libslurm_worker
from aistation_slurm.slurm.readers.libslurm.probe import LibslurmProbe
from aistation_slurm.slurm.readers.libslurm.reader import LibslurmReader, libslurm_reader

__all__ = [
    "LibslurmProbe",
    "LibslurmReader",
    "find_library",
    "installed_pyslurm",
    "libslurm_reader",
    "libslurm_worker",
    "pyslurm_misfit",
]
