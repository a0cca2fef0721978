"""Asks by slurmrestd, over its Unix socket."""

from aistation_slurm.slurm.readers.rest.client import Login
from aistation_slurm.slurm.readers.rest.reader import RestReader

__all__ = ["Login", "RestReader"]
