"""What can be asked of Slurm, however it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

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

QUESTIONS = frozenset({
    "jobs", "job", "steps", "nodes", "partitions", "reservations", "config", "loaded_qos", "limits_in_use",
    "controllers", "diag", "qos", "accounts", "users", "associations", "tres", "fair_shares", "history", "step_history",
    "running_usage", "usage", "site_factors", "priority_factors", "asked", "batch_script",
})  # fmt: skip
"""The name of every question of a `SlurmReader`."""


class SlurmReader(Protocol):
    """Asks Slurm and changes nothing.

    Every call returns within its time limit, or raises `SlurmUnreachable` (nobody answered), `SlurmUnreadable` (in a
    shape that we can't read), `SlurmRefused` (not to this user) or `SlurmMissing` (no commands here).
    """

    @property
    def name(self) -> str:
        """`cli`, `libslurm` or `rest`."""
        ...

    @property
    def answers(self) -> frozenset[str]:
        """The names of the questions below that it answers; each of those whole, or by an error."""
        ...

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""
        ...

    def job(self, job_id: int) -> Job:
        """Return the job, from slurmdbd where slurmctld has forgotten it.

        Raises:
            UnknownToSlurm: neither knows it.
        """
        ...

    def asked(self, *job_ids: int) -> list[Asked]:
        """Return what these jobs asked for, word by word; those that slurmctld has forgotten are left out.

        Raises:
            UnknownToSlurm: it knows none of them.
        """
        ...

    def batch_script(self, job_id: int) -> str:
        """Return the job's script, while slurmctld keeps it.

        Raises:
            NotPermitted: it is another's.
            UnknownToSlurm: there is no such job, or it has no script.
        """
        ...

    def steps(self) -> list[JobStep]:
        """Return the steps that run now, of all jobs."""
        ...

    def nodes(self) -> list[Node]:
        """Return every node."""
        ...

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""
        ...

    def reservations(self) -> list[Reservation]:
        """Return every reservation, past its start or before it."""
        ...

    def config(self) -> dict[str, str]:
        """Return the configuration that slurmctld runs with."""
        ...

    def loaded_qos(self) -> frozenset[str]:
        """Return the names of the QOS that slurmctld itself knows; slurmdbd tells it of new ones."""
        ...

    def limits_in_use(self) -> LimitsInUse:
        """Return what each association and each QOS holds of its limits now, as slurmctld counts it."""
        ...

    def controllers(self) -> list[Controller]:
        """Return every slurmctld of slurm.conf and whether it answers; does not raise when none does."""
        ...

    def diag(self) -> Diag:
        """Return how slurmctld is doing, and what it was asked how often."""
        ...

    def qos(self) -> list[Qos]:
        """Return every QOS with its limits."""
        ...

    def accounts(self) -> list[Account]:
        """Return every account."""
        ...

    def users(self) -> list[User]:
        """Return every user that slurmdbd knows."""
        ...

    def associations(self, cluster: str | None = None) -> list[Association]:
        """Return every association with its limits, of one cluster or of all.

        Those of each job (`max_*`), and the QOS, are its account's where it has none of its own, as sacctmgr has it.
        """
        ...

    def tres(self) -> list[TresKind]:
        """Return every trackable resource that slurmdbd counts."""
        ...

    def site_factors(self) -> dict[int, int]:
        """Return the SiteFactor of each job that waits and may start, by job id."""
        ...

    def priority_factors(self) -> list[PriorityFactors]:
        """Return what makes up the priority of each job that waits and may start, one for each of its partitions."""
        ...

    def fair_shares(self) -> list[FairShare]:
        """Return what fair share makes of every account and user of this cluster."""
        ...

    def history(
        self,
        *,
        user: str | None = None,
        since: datetime | None = None,
        job_ids: Sequence[int] = (),
        duplicates: bool = False,
    ) -> list[Job]:
        """Return the jobs that slurmdbd remembers; with `duplicates` one for each run of a requeued job.

        Without `since` and `job_ids`, those of the last 90 days.
        """
        ...

    def step_history(self, *job_ids: int) -> list[JobStep]:
        """Return the steps of these jobs, of their last run, with what they used; `batch` and `extern` too.

        The id of an array or of a heterogeneous job means all its members.
        """
        ...

    def running_usage(self, *job_ids: int) -> list[JobStep]:
        """Return what the running steps of these jobs use by now; each of their nodes is asked.

        Those that have ended, and those of other users' jobs, are left out. Names and times of the steps are not told.
        """
        ...

    def usage(self, since: datetime, until: datetime) -> list[Usage]:
        """Return what each account and user of this cluster used between two hours, by TRES.

        slurmdbd sums up whole hours: both are taken down to the hour.
        """
        ...
