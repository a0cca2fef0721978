"""What can be asked of Slurm, however it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from aistation_slurm.slurm.model import Account, Association, Controller, Job, Node, Partition, Qos, User


class SlurmReader(Protocol):
    """Asks Slurm and changes nothing.

    Every call returns within its time limit, or raises `SlurmUnreachable` (nobody answered), `SlurmUnreadable` (in a
    shape that we can't read), `SlurmRefused` (not to this user) or `SlurmMissing` (no commands here).
    """

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""
        ...

    def job(self, job_id: int) -> Job:
        """Return the job, from slurmdbd where slurmctld has forgotten it.

        Raises:
            UnknownToSlurm: neither knows it.
        """
        ...

    def nodes(self) -> list[Node]:
        """Return every node."""
        ...

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""
        ...

    def config(self) -> dict[str, str]:
        """Return the configuration that slurmctld runs with."""
        ...

    def loaded_qos(self) -> frozenset[str]:
        """Return the names of the QOS that slurmctld itself knows; slurmdbd tells it of new ones."""
        ...

    def controllers(self) -> list[Controller]:
        """Return every slurmctld of slurm.conf and whether it answers; does not raise when none does."""
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
        """Return every association with its own limits, of one cluster or of all."""
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
