"""One reader made of two: what the first does not declare, the second answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, cast

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
from aistation_slurm.slurm.reader import QUESTIONS, SlurmReader


class Answering(Protocol):
    """A reader of some of the questions: it has the methods of those that it declares."""

    @property
    def name(self) -> str:
        """What it asks by."""
        ...

    @property
    def answers(self) -> frozenset[str]:
        """The names of the questions that it answers."""
        ...


class Filled:
    """A `SlurmReader` that asks the chosen reader what that declares, and the other one the rest.

    What the chosen one declares and can't answer is a failure: the other one is never asked in its place, so that
    nobody takes a way of asking that is broken for one that works.
    """

    answers = QUESTIONS

    def __init__(self, chosen: Answering, rest: SlurmReader) -> None:
        self.chosen = cast("SlurmReader", chosen)
        self.rest = rest

    @property
    def name(self) -> str:
        """What the chosen reader asks by."""
        return self.chosen.name

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""
        return self._who("jobs").jobs(with_over=with_over)

    def job(self, job_id: int) -> Job:
        """Return the job, from slurmdbd where slurmctld has forgotten it."""
        return self._who("job").job(job_id)

    def asked(self, *job_ids: int) -> list[Asked]:
        """Return what these jobs asked for, word by word; those that slurmctld has forgotten are left out."""
        return self._who("asked").asked(*job_ids)

    def batch_script(self, job_id: int) -> str:
        """Return the job's script, while slurmctld keeps it."""
        return self._who("batch_script").batch_script(job_id)

    def steps(self) -> list[JobStep]:
        """Return the steps that run now, of all jobs."""
        return self._who("steps").steps()

    def nodes(self) -> list[Node]:
        """Return every node."""
        return self._who("nodes").nodes()

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""
        return self._who("partitions").partitions()

    def reservations(self) -> list[Reservation]:
        """Return every reservation, past its start or before it."""
        return self._who("reservations").reservations()

    def config(self) -> dict[str, str]:
        """Return the configuration that slurmctld runs with."""
        return self._who("config").config()

    def loaded_qos(self) -> frozenset[str]:
        """Return the names of the QOS that slurmctld itself knows; slurmdbd tells it of new ones."""
        return self._who("loaded_qos").loaded_qos()

    def limits_in_use(self) -> LimitsInUse:
        """Return what each association and each QOS holds of its limits now, as slurmctld counts it."""
        return self._who("limits_in_use").limits_in_use()

    def controllers(self) -> list[Controller]:
        """Return every slurmctld of slurm.conf and whether it answers; does not raise when none does."""
        return self._who("controllers").controllers()

    def diag(self) -> Diag:
        """Return how slurmctld is doing, and what it was asked how often."""
        return self._who("diag").diag()

    def qos(self) -> list[Qos]:
        """Return every QOS with its limits."""
        return self._who("qos").qos()

    def accounts(self) -> list[Account]:
        """Return every account."""
        return self._who("accounts").accounts()

    def users(self) -> list[User]:
        """Return every user that slurmdbd knows."""
        return self._who("users").users()

    def associations(self, cluster: str | None = None) -> list[Association]:
        """Return every association with its own limits, of one cluster or of all."""
        return self._who("associations").associations(cluster)

    def tres(self) -> list[TresKind]:
        """Return every trackable resource that slurmdbd counts."""
        return self._who("tres").tres()

    def site_factors(self) -> dict[int, int]:
        """Return the SiteFactor of each job that waits and may start, by job id."""
        return self._who("site_factors").site_factors()

    def priority_factors(self) -> list[PriorityFactors]:
        """Return what makes up the priority of each job that waits and may start, one for each of its partitions."""
        return self._who("priority_factors").priority_factors()

    def fair_shares(self) -> list[FairShare]:
        """Return what fair share makes of every account and user of this cluster."""
        return self._who("fair_shares").fair_shares()

    def history(
        self,
        *,
        user: str | None = None,
        since: datetime | None = None,
        job_ids: Sequence[int] = (),
        duplicates: bool = False,
    ) -> list[Job]:
        """Return the jobs that slurmdbd remembers; with `duplicates` one for each run of a requeued job."""
        return self._who("history").history(user=user, since=since, job_ids=job_ids, duplicates=duplicates)

    def step_history(self, *job_ids: int) -> list[JobStep]:
        """Return the steps of these jobs, of their last run, with what they used; `batch` and `extern` too."""
        return self._who("step_history").step_history(*job_ids)

    def running_usage(self, *job_ids: int) -> list[JobStep]:
        """Return what the running steps of these jobs use; of jobs that are over or not this user's, nothing."""
        return self._who("running_usage").running_usage(*job_ids)

    def usage(self, since: datetime, until: datetime) -> list[Usage]:
        """Return what each account and user of this cluster used between two hours, by TRES."""
        return self._who("usage").usage(since, until)

    def _who(self, question: str) -> SlurmReader:
        return self.chosen if question in self.chosen.answers else self.rest
