"""Asks by Slurm's own commands: the only way that is the same on every release from 22.05 to 26.05."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from aistation_slurm.errors import SlurmError, SlurmUnreadable, UnknownToSlurm
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands import Command
from aistation_slurm.slurm.model import Account, Association, Controller, Job, Node, Partition, Qos, User
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Completed, Runner, shown

T = TypeVar("T")
READ_SECONDS = 30.0


class CliReader:
    """A `SlurmReader` that starts a command for each question."""

    def __init__(self, runner: Runner, *, timeout: float = READ_SECONDS) -> None:
        self._runner = runner
        self._timeout = timeout

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""
        return self._ask(commands.squeue(with_over=with_over))

    def job(self, job_id: int) -> Job:
        """Return the job, from slurmdbd where slurmctld has forgotten it."""
        try:
            found = self._ask(commands.show_job(job_id))
        except UnknownToSlurm as error:
            found = self._remembered(job_id, error)
        if not found:
            raise UnknownToSlurm(f"no job {job_id}")
        return next((job for job in found if job.job_id == job_id), found[0])

    def nodes(self) -> list[Node]:
        """Return every node."""
        return self._ask(commands.show_nodes())

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""
        return self._ask(commands.show_partitions())

    def config(self) -> dict[str, str]:
        """Return the configuration that slurmctld runs with."""
        return self._ask(commands.show_config())

    def loaded_qos(self) -> frozenset[str]:
        """Return the names of the QOS that slurmctld itself knows."""
        return self._ask(commands.show_loaded_qos())

    def controllers(self) -> list[Controller]:
        """Return every slurmctld of slurm.conf and whether it answers; does not raise when none does."""
        command = commands.ping()
        done = self._runner.run(command.argv, timeout=self._timeout)
        try:
            return self._read(command, done)
        except SlurmUnreadable:
            if done.returncode:
                raise refusal(command.argv, done) from None
            raise

    def qos(self) -> list[Qos]:
        """Return every QOS with its limits."""
        return self._ask(commands.show_qos())

    def accounts(self) -> list[Account]:
        """Return every account."""
        return self._ask(commands.show_accounts())

    def users(self) -> list[User]:
        """Return every user that slurmdbd knows."""
        return self._ask(commands.show_users())

    def associations(self, cluster: str | None = None) -> list[Association]:
        """Return every association with its own limits, of one cluster or of all."""
        return self._ask(commands.show_associations(cluster))

    def history(
        self,
        *,
        user: str | None = None,
        since: datetime | None = None,
        job_ids: Sequence[int] = (),
        duplicates: bool = False,
    ) -> list[Job]:
        """Return the jobs that slurmdbd remembers; with `duplicates` one for each run of a requeued job."""
        return self._ask(commands.history(user=user, since=since, job_ids=job_ids, duplicates=duplicates))

    def _remembered(self, job_id: int, unknown: UnknownToSlurm) -> list[Job]:
        """Return what slurmdbd has; where it can't be asked, what slurmctld said stands."""
        try:
            return self.history(job_ids=(job_id,))
        except SlurmError:
            raise unknown from None

    def _ask(self, command: Command[T]) -> T:
        done = self._runner.run(command.argv, timeout=self._timeout)
        if done.returncode:
            raise refusal(command.argv, done)
        return self._read(command, done)

    def _read(self, command: Command[T], done: Completed) -> T:
        """Read the answer; whatever is wrong with it is Slurm's answer, never a traceback."""
        try:
            return command.read(done.stdout)
        except SlurmUnreadable as error:
            raise SlurmUnreadable(error.text, where=shown(command.argv), hint=error.hint) from error
        except (ValueError, LookupError, OverflowError) as error:
            raise SlurmUnreadable(f"can't be read: {error!r}", where=shown(command.argv)) from error
