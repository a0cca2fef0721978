"""Asks slurmrestd over its Unix socket: what that tells whole, and whether anything changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from aistation_slurm.errors import SlurmError, SlurmUnreadable, UnknownToSlurm
from aistation_slurm.slurm.conditional import What
from aistation_slurm.slurm.model import (
    Account,
    Association,
    Controller,
    Diag,
    Job,
    JobStep,
    Node,
    Reservation,
    TresKind,
    User,
)
from aistation_slurm.slurm.readers.rest.accounting import (
    read_accounts,
    read_associations,
    read_tres_kinds,
    read_users,
)
from aistation_slurm.slurm.readers.rest.answers import answered
from aistation_slurm.slurm.readers.rest.client import Api, Login, Query, RestClient
from aistation_slurm.slurm.readers.rest.controller import read_clock, read_controllers, read_diag
from aistation_slurm.slurm.readers.rest.history import UNCUT, history_query, read_history
from aistation_slurm.slurm.readers.rest.jobs import now_utc, read_jobs
from aistation_slurm.slurm.readers.rest.nodes import read_nodes
from aistation_slurm.slurm.readers.rest.reservations import read_reservations
from aistation_slurm.slurm.readers.rest.steps import read_step_history
from aistation_slurm.slurm.readers.rest.transport import Deadline
from aistation_slurm.slurm.readers.rest.values import Record, limit

T = TypeVar("T")
READ_SECONDS = 30.0
_OLD = 38
_ANCIENT = 10**9
"""Seconds since 1970 before which there was no Slurm, and which its `uts` does not take."""


class RestReader:
    """Answers what `answers` names, as a `SlurmReader` does; `connect()` fills in the rest. Asks nothing when made."""

    name = "rest"

    def __init__(self, socket: Path, *, login: Login | None = None, timeout: float = READ_SECONDS) -> None:
        self._client = RestClient(socket, login=login)
        self._timeout = timeout

    @property
    def answers(self) -> frozenset[str]:
        """The names of the questions that this slurmrestd answers whole, by the version that it speaks.

        Raises:
            SlurmUnreachable: it was never asked before, and does not answer.
        """
        spoken = self._client.spoken(self._deadline())
        return answered(spoken.version, spoken.release)

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""
        found = self._ask("slurm", "jobs", lambda said: read_jobs(said, now=now_utc()))
        return [job for job in found if with_over or not job.state.is_over]

    def job(self, job_id: int) -> Job:
        """Return the job, from slurmdbd where slurmctld has forgotten it."""
        until = self._deadline()
        try:
            found = self._ask("slurm", f"job/{job_id}", lambda said: read_jobs(said, now=now_utc()), until=until)
        except UnknownToSlurm as error:
            found = self._remembered(job_id, error, until)
        if not found:
            raise UnknownToSlurm(f"no job {job_id}")
        return next((job for job in found if job.job_id == job_id), found[0])

    def nodes(self) -> list[Node]:
        """Return every node."""
        return self._ask("slurm", "nodes", read_nodes)

    def reservations(self) -> list[Reservation]:
        """Return every reservation, past its start or before it."""
        return self._ask("slurm", "reservations", lambda said: read_reservations(said, now=now_utc()))

    def controllers(self) -> list[Controller]:
        """Return every slurmctld of slurm.conf and whether it answers; does not raise when none does."""
        return self._ask("slurm", "ping", read_controllers)

    def diag(self) -> Diag:
        """Return how slurmctld is doing, and what it was asked how often."""
        return self._ask("slurm", "diag", read_diag)

    def tres(self) -> list[TresKind]:
        """Return every trackable resource that slurmdbd counts."""
        return self._ask("slurmdb", "tres", read_tres_kinds)

    def accounts(self) -> list[Account]:
        """Return every account."""
        until = self._deadline()
        return self._ask("slurmdb", "accounts", read_accounts, self._with_coordinators(until), until=until)

    def users(self) -> list[User]:
        """Return every user that slurmdbd knows."""
        until = self._deadline()
        query = () if self._is_old(until) else (("with_assocs", "true"),)
        return self._ask("slurmdb", "users", read_users, query, until=until)

    def associations(self, cluster: str | None = None) -> list[Association]:
        """Return every association with its own limits, of one cluster or of all."""
        return self._ask("slurmdb", "associations", read_associations, (("cluster", cluster),) if cluster else ())

    def history(
        self,
        *,
        user: str | None = None,
        since: datetime | None = None,
        job_ids: Sequence[int] = (),
        duplicates: bool = False,
    ) -> list[Job]:
        """Return the jobs that slurmdbd remembers; with `duplicates` one for each run of a requeued job."""
        query = history_query(user=user, since=since, job_ids=job_ids, duplicates=duplicates, now=now_utc())
        return self._ask("slurmdb", "jobs", read_history, query)

    def step_history(self, *job_ids: int) -> list[JobStep]:
        """Return the steps of these jobs, of their last run, with what they used; `batch` and `extern` too."""
        if not job_ids:
            return []
        return self._ask("slurmdb", "jobs", read_step_history, (UNCUT, *(("step", str(each)) for each in job_ids)))

    def changed_since(self, what: What, since: int) -> int | None:
        """Return the new `last_update`, in seconds since 1970, where something changed since then; else None.

        No version tells the `last_update` of everything, so it is the time on slurmctld's own clock, read after it said
        "changed": what a caller reads from then on holds all that changed before. "Unchanged" is one answer without a
        body; "changed" makes slurmrestd write the whole answer, of which nothing is read but whether it is there.
        """
        until = self._deadline()
        if since > _ANCIENT and self._is_unchanged(what, since, until):
            return None
        return self._ask("slurm", "diag", read_clock, until=until)

    def _is_unchanged(self, what: What, since: int, until: Deadline) -> bool:
        moment = f"{since}" if self._is_old(until) else f"uts{since}"
        reply = self._client.ask("slurm", what, (("update_time", moment),), until=until)
        if reply.is_unchanged or reply.is_partly_unchanged:
            return reply.is_unchanged
        said = reply.whole()
        # From 23.11 on jobs are answered without one, and with a 0 for `last_update`, instead of a 304.
        return not said.get(what) and limit(said.get("last_update", -1)) == 0

    def _remembered(self, job_id: int, unknown: UnknownToSlurm, until: Deadline) -> list[Job]:
        """Return what slurmdbd has; where it can't be asked, what slurmctld said stands."""
        query = history_query(user=None, since=None, job_ids=(job_id,), duplicates=False, now=now_utc())
        try:
            return self._ask("slurmdb", "jobs", read_history, query, until=until)
        except SlurmError:
            raise unknown from None

    def _with_coordinators(self, until: Deadline) -> Query:
        """Return the query that adds coordinators; v0.0.41 to 45 know the documented `with_coords` no more."""
        version = self._client.spoken(until).version
        if version <= _OLD:
            return ()
        return (("with_coords" if version == 40 else "WithCoordinators", "true"),)

    def _is_old(self, until: Deadline) -> bool:
        """Return whether it speaks v0.0.38, which refuses every key that it does not know and gives all by itself."""
        return self._client.spoken(until).version <= _OLD

    def _ask(
        self,
        api: Api,
        noun: str,
        read: Callable[[Record], T],
        query: Query = (),
        *,
        until: Deadline | None = None,
    ) -> T:
        """Ask and read; whatever is wrong with the answer is Slurm's, never a traceback."""
        reply = self._client.ask(api, noun, query, until=until or self._deadline())
        said = {**reply.said, noun: []} if reply.is_empty else reply.whole()
        try:
            return read(said)
        except SlurmUnreadable as error:
            raise SlurmUnreadable(error.text, where=reply.where, hint=error.hint) from error
        except (ValueError, LookupError, TypeError, OverflowError) as error:
            raise SlurmUnreadable(f"can't be read: {error!r:.120}", where=reply.where) from error

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout)
