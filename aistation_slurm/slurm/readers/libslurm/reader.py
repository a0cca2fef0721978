"""Asks by libslurm in a worker: what it prints is read as what the commands print, so the answers are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands import Command
from aistation_slurm.slurm.model import Diag, JobStep, Node, Partition, Reservation, TresKind
from aistation_slurm.slurm.readers.libslurm.fitting import installed_pyslurm, pyslurm_misfit
from aistation_slurm.slurm.readers.libslurm.place import libslurm_worker
from aistation_slurm.slurm.worker import Worker

T = TypeVar("T")
READ_SECONDS = 30.0
BY_LIBSLURM = frozenset({"nodes", "partitions", "reservations", "config"})
"""Whole on every release, by libslurm's own printing."""
BY_PYSLURM = frozenset({"steps", "diag", "tres"})
"""Whole by pyslurm's objects; docs/decisions/012 says what the others lack."""


def libslurm_reader(release: str, *, slurm_conf: Path | None = None, bin: Path | None = None) -> LibslurmReader:  # noqa: A002
    """Return a reader of the Slurm of this release, with pyslurm's help where that fits; asks nothing yet.

    Raises:
        SlurmMissing: there is no libslurm.
    """
    with_pyslurm = pyslurm_misfit(release, installed_pyslurm()) is None
    worker = libslurm_worker(slurm_conf=slurm_conf, bin=bin, with_pyslurm=with_pyslurm)
    return LibslurmReader(worker, with_pyslurm=with_pyslurm)


class LibslurmReader:
    """Answers some of a `SlurmReader`'s questions; those that it answers, it answers as the commands do."""

    name = "libslurm"

    def __init__(self, worker: Worker, *, with_pyslurm: bool = False, timeout: float = READ_SECONDS) -> None:
        """`worker` is `libslurm_worker(...)`, made with the same `with_pyslurm`."""
        self._worker = worker
        self._timeout = timeout
        self._answers = BY_LIBSLURM | BY_PYSLURM if with_pyslurm else BY_LIBSLURM

    @property
    def answers(self) -> frozenset[str]:
        """The names of the questions that it answers."""
        return self._answers

    def nodes(self) -> list[Node]:
        """Return every node."""
        return self._text("nodes", commands.show_nodes())

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""
        return self._text("partitions", commands.show_partitions())

    def reservations(self) -> list[Reservation]:
        """Return every reservation, past its start or before it."""
        return self._text("reservations", commands.show_reservations())

    def config(self) -> dict[str, str]:
        """Return the configuration that slurmctld runs with."""
        return self._text("config", commands.show_config())

    def steps(self) -> list[JobStep]:
        """Return the steps that run now, of all jobs."""
        answer: list[JobStep] = self._ask("steps")
        return answer

    def diag(self) -> Diag:
        """Return how slurmctld is doing, and what it was asked how often."""
        answer: Diag = self._ask("diag")
        return answer

    def tres(self) -> list[TresKind]:
        """Return every trackable resource that slurmdbd counts."""
        answer: list[TresKind] = self._ask("tres")
        return answer

    def _text(self, question: str, command: Command[T]) -> T:
        """Ask for the text that the command prints, and read it as its own."""
        text = self._ask(question)
        where = f"libslurm {question}"
        try:
            return command.read(text.decode(errors="replace"))
        except SlurmUnreadable as error:
            raise SlurmUnreadable(error.text, where=where, hint=error.hint) from error
        except (ValueError, LookupError, OverflowError, AttributeError) as error:
            raise SlurmUnreadable(f"can't be read: {error!r}", where=where) from error

    def _ask(self, question: str) -> Any:
        if question not in self._answers:
            raise SlurmUnreadable("only pyslurm can answer this", where=f"libslurm {question}")
        return self._worker.ask(question, timeout=self._timeout)
