"""A child process that may die: what can end its process, or never come back, is asked there and not here."""

from aistation_slurm.slurm.worker.owner import Worker

__all__ = ["Worker"]
