"""`connect()`: one object through which everything above reads Slurm and changes it."""

from __future__ import annotations

from dataclasses import dataclass

from aistation_slurm.settings import SlurmSettings, load_settings
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import LocalRunner
from aistation_slurm.slurm.writer import SlurmWriter


@dataclass(frozen=True, slots=True)
class Slurm:
    """The Slurm of this station."""

    read: SlurmReader
    write: SlurmWriter


def connect(settings: SlurmSettings | None = None) -> Slurm:
    """Return the Slurm that the settings name; asks nothing yet.

    Raises:
        SettingsError: aistation.toml is wrong.
    """
    settings = settings or load_settings().slurm
    runner = LocalRunner(slurm_conf=settings.conf, bin=settings.bin)
    return Slurm(read=CliReader(runner), write=SlurmWriter(runner))
