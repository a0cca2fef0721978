"""Asks by Slurm's own commands: the only way that is the same on every release from 22.05 to 26.05."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from aistation_slurm.errors import SlurmRefused, SlurmUnreadable, UnknownToSlurm
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands import Command, Reading, RunningStep
from aistation_slurm.slurm.model import (
    Account,
    Asked,
    Association,
    Controller,
    Diag,
    FairShare,
    Job,
    JobStep,
    LimitsInUse,
    Node,
    Partition,
    PriorityFactors,
    Qos,
    Reservation,
    TresKind,
    Usage,
    User,
)
from aistation_slurm.slurm.reader import QUESTIONS
from aistation_slurm.slurm.refusals import broken_off, refusal
from aistation_slurm.slurm.runner import Runner, Streaming, shown

T = TypeVar("T")
R = TypeVar("R")
READ_SECONDS = 30.0


class CliReader:
    """A `SlurmReader` that starts a command for each question, for `steps` two."""

    name = "cli"
    answers = QUESTIONS

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

    def asked(self, *job_ids: int) -> list[Asked]:
        """Return what these jobs asked for, word by word; those that slurmctld has forgotten are left out."""
        return self._ask(commands.show_asked(*job_ids)) if job_ids else []

    def batch_script(self, job_id: int) -> str:
        """Return the job's script, while slurmctld keeps it."""
        return self._ask(commands.batch_script(job_id))

    def steps(self) -> list[JobStep]:
        """Return the steps that run now, of all jobs."""
        running = self._ask(commands.running_steps())
        found = self._shown(running)
        of_arrays = [each for each in running if each.is_of_array]
        ids = {(each.job_id, each.step_id) for each in found}
        if any((each.step.job_id, each.step.step_id) in ids for each in of_arrays):
            return found
        return found + self._shown(of_arrays, commands.EVERY_JOB)

    def nodes(self) -> list[Node]:
        """Return every node."""
        return self._ask(commands.show_nodes())

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""
        return self._ask(commands.show_partitions())

    def reservations(self) -> list[Reservation]:
        """Return every reservation, past its start or before it."""
        return self._ask(commands.show_reservations())

    def config(self) -> dict[str, str]:
        """Return the configuration that slurmctld runs with."""
        return self._ask(commands.show_config())

    def loaded_qos(self) -> frozenset[str]:
        """Return the names of the QOS that slurmctld itself knows."""
        return self._ask(commands.show_loaded_qos())

    def limits_in_use(self) -> LimitsInUse:
        """Return what each association and each QOS holds of its limits now, as slurmctld counts it."""
        return self._ask(commands.show_limits_in_use())

    def controllers(self) -> list[Controller]:
        """Return every slurmctld of slurm.conf and whether it answers; does not raise when none does."""
        command = commands.ping()
        done = self._runner.run(command.argv, timeout=self._timeout)
        try:
            return self._read(command, lambda: command.read(done.stdout))
        except SlurmUnreadable:
            if done.returncode:
                raise refusal(command.argv, done) from None
            raise

    def diag(self) -> Diag:
        """Return how slurmctld is doing, and what it was asked how often."""
        return self._ask(commands.sdiag())

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
        """Return every association with its limits, of one cluster or of all."""
        return self._ask(commands.show_associations(cluster))

    def tres(self) -> list[TresKind]:
        """Return every trackable resource that slurmdbd counts."""
        return self._ask(commands.show_tres())

    def site_factors(self) -> dict[int, int]:
        """Return the SiteFactor of each job that waits and may start, by job id."""
        return self._ask(commands.sprio_site())

    def priority_factors(self) -> list[PriorityFactors]:
        """Return what makes up the priority of each job that waits and may start, one for each of its partitions."""
        return self._ask(commands.sprio())

    def fair_shares(self) -> list[FairShare]:
        """Return what fair share makes of every account and user of this cluster."""
        return self._ask(commands.sshare())

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

    def step_history(self, *job_ids: int) -> list[JobStep]:
        """Return the steps of these jobs, of their last run, with what they used; `batch` and `extern` too."""
        return self._ask(commands.step_history(*job_ids)) if job_ids else []

    def running_usage(self, *job_ids: int) -> list[JobStep]:
        """Return what the running steps of these jobs use; of jobs that are over or not this user's, nothing."""
        if not job_ids:
            return []
        command = commands.running_usage(*job_ids)
        done = self._runner.run(command.argv, timeout=self._timeout)
        if done.returncode:
            raise refusal(command.argv, done)
        if not done.stdout:  # sstat says the same of a job that is over and of a slurmctld that is away
            self._is_held(job_ids[0])
        return self._read(command, lambda: command.read(done.stdout))

    def _is_held(self, job_id: int) -> bool:
        """True where slurmctld knows the job; raises where it is away."""
        try:
            return bool(self._ask(commands.show_job(job_id)))
        except SlurmRefused:
            return False

    def usage(self, since: datetime, until: datetime) -> list[Usage]:
        """Return what each account and user of this cluster used between two hours, by TRES."""
        if commands.full_hour(until) <= commands.full_hour(since):
            return []  # sreport would make an hour of it
        return self._ask(commands.sreport(since, until))

    def _shown(self, running: Sequence[RunningStep], *which: str) -> list[JobStep]:
        """Return those of them that still run; Slurm refuses to show the steps of no job at all."""
        try:
            return self._ask(commands.show_steps(running, *which)) if running else []
        except SlurmRefused:
            return []

    def _remembered(self, job_id: int, unknown: UnknownToSlurm) -> list[Job]:
        """Return what slurmdbd has; where there is none, what slurmctld said stands, and where it is away nothing."""
        try:
            return self.history(job_ids=(job_id,))
        except SlurmRefused:
            raise unknown from None

    def _ask(self, command: Command[T]) -> T:
        if command.reading and isinstance(self._runner, Streaming):
            return self._ask_as_it_comes(command, command.reading(), self._runner)
        done = self._runner.run(command.argv, timeout=self._timeout)
        if done.returncode:
            raise refusal(command.argv, done)
        if error := broken_off(command.argv, done):
            raise error
        return self._read(command, lambda: command.read(done.stdout))

    def _ask_as_it_comes(self, command: Command[T], reading: Reading[T], runner: Streaming) -> T:
        """Read the answer while the command still prints: of a long queue, half the time of reading it afterwards."""
        done = self._read(command, lambda: runner.stream(command.argv, reading.feed, timeout=self._timeout))
        if done.returncode:
            raise refusal(command.argv, done)
        if error := broken_off(command.argv, done):
            raise error
        return self._read(command, reading.end)

    def _read(self, command: Command[Any], read: Callable[[], R]) -> R:
        """Read the answer; whatever is wrong with it is Slurm's answer, never a traceback."""
        try:
            return read()
        except SlurmUnreadable as error:
            raise SlurmUnreadable(error.text, where=shown(command.argv), hint=error.hint) from error
        except (ValueError, LookupError, OverflowError) as error:
            raise SlurmUnreadable(f"can't be read: {error!r}", where=shown(command.argv)) from error
