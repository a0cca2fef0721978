"""`connect()`: one object through which everything above reads Slurm and changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from aistation_slurm.errors import SettingsError, SlurmError
from aistation_slurm.settings import SlurmSettings, load_settings
from aistation_slurm.slurm.conditional import Conditional, What
from aistation_slurm.slurm.filled import Answering, Filled
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import LocalRunner, Runner
from aistation_slurm.slurm.ways import Way, open_libslurm, open_probe, open_rest, pyslurm_misfit_here, ways
from aistation_slurm.slurm.writer import SlurmWriter


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reader asks, and why that one."""

    reader: str = "cli"
    why: str = "nothing else was asked for"

    def __str__(self) -> str:
        return f"Slurm is asked by {self.reader}: {self.why}"


@dataclass(frozen=True, slots=True)
class Slurm:
    """The Slurm of this station."""

    read: SlurmReader
    write: SlurmWriter
    choice: Choice = Choice()
    conditional: Conditional | None = None
    """Asks whether anything changed; `slurm.snapshots` does without where that can't be asked here."""


def connect(settings: SlurmSettings | None = None) -> Slurm:
    """Return the Slurm that the settings name; slurmctld is asked nothing yet.

    Raises:
        SettingsError: aistation.toml is wrong, or names a reader that can't be used here.
    """
    settings = settings or load_settings().slurm
    runner = LocalRunner(slurm_conf=settings.conf, bin=settings.bin)
    cli, write = CliReader(runner), SlurmWriter(runner)
    probe = OnDemand(partial(open_probe, settings))
    if settings.reader == "rest":
        rest = open_rest(settings)
        return Slurm(Filled(rest, cli), write, Choice("rest", _NAMED), rest)
    choice, chosen = _libslurm_or_cli(settings, runner)
    return Slurm(Filled(chosen, cli) if chosen else cli, write, choice, probe)


def ways_here(settings: SlurmSettings | None = None) -> list[Way]:
    """Return every way to ask the Slurm that the settings name, and whether it can be used here.

    Raises:
        SettingsError: aistation.toml is wrong.
    """
    settings = settings or load_settings().slurm
    return ways(settings, LocalRunner(slurm_conf=settings.conf, bin=settings.bin))


class OnDemand:
    """A `Conditional` that is made when it is asked for the first time: most commands never ask."""

    def __init__(self, make: Callable[[], Conditional]) -> None:
        self._make = make
        self._made: Conditional | None = None

    def changed_since(self, what: What, since: int) -> int | None:
        """Return a new stamp where something changed since the last one; else None.

        Raises:
            SlurmMissing: it can't be asked here.
            SlurmUnreachable: nobody answered in time.
        """
        if self._made is None:
            self._made = self._make()
        return self._made.changed_since(what, since)


_NAMED = "[slurm] reader in aistation.toml names it"


def _libslurm_or_cli(settings: SlurmSettings, runner: Runner) -> tuple[Choice, Answering | None]:
    if settings.reader == "cli":
        return Choice("cli", _NAMED), None
    if settings.reader == "libslurm":
        try:
            return Choice("libslurm", _NAMED), open_libslurm(settings, runner)
        except SlurmError as error:
            hint = 'with reader = "auto" the commands are asked where libslurm can\'t be'
            raise SettingsError(f'[slurm] reader = "libslurm" can\'t be used here: {error}', hint=hint) from error
    try:
        misfit = pyslurm_misfit_here(settings, runner)
        return (Choice("cli", misfit), None) if misfit else (_FITS, open_libslurm(settings, runner))
    except SlurmError as error:
        return Choice("cli", f"pyslurm can't be used: {error}"), None


_FITS = Choice("libslurm", "the installed pyslurm fits this Slurm")
