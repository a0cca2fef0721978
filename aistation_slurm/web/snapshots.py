"""What the page shows of Slurm: the one snapshot for all viewers, and what seldom changes beside it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from aistation_slurm.errors import AistationError
from aistation_slurm.slurm.conditional import Conditional
from aistation_slurm.slurm.model import Controller, Job, Qos
from aistation_slurm.slurm.single_flight import SingleFlight
from aistation_slurm.slurm.snapshots import NOT_YET, PERIOD, STALE_AFTER, UNREADABLE, Dumps, Taker, marked_silent
from aistation_slurm.slurm.snapshots import Snapshot as SlurmSnapshot

log = logging.getLogger(__name__)

SLOW_PERIOD = timedelta(seconds=60)
"""How often to ask for what seldom changes: the configuration, the controllers, the quotas."""
OF_LAST = 5
"""The cheapest of so many dumps tells what one costs: a single slow one must not leave the page behind for a minute."""


class StationReader(Dumps, Protocol):
    """The part of `slurm.reader.SlurmReader` that the page needs."""

    def config(self) -> dict[str, str]:
        """Return Slurm's configuration."""

    def controllers(self) -> list[Controller]:
        """Return every slurmctld, up or not."""

    def qos(self) -> list[Qos]:
        """Return every QOS with its limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What broke and was answered, as the page tells it: one incident of the store."""

    node: str
    what: str
    """What was seen, in words: `no heartbeat for 3.1 s, slurmd does not answer`."""
    at: datetime
    """When it was noticed."""
    job_ids: tuple[int, ...] = ()
    steps: tuple[tuple[str, datetime], ...] = ()
    """What happened next, in order: (`marked down`, when), ..., (`running`, when)."""
    recovered_in: timedelta | None = None
    """From the last sign of life to the last job running again; None while it is not over, or never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(SlurmSnapshot):
    """What the page shows of one moment; with `problem`, what Slurm said last, before it went away."""

    cluster: str = ""
    version: str = ""
    controllers: tuple[Controller, ...] = ()
    qos: tuple[Qos, ...] = ()
    recoveries: tuple[Recovery, ...] = ()


class Snapshots:
    """Hands out the latest snapshot, and looks again only when somebody asks and the last one is old enough."""

    def __init__(
        self,
        read: StationReader,
        *,
        conditional: Conditional | None = None,
        period: timedelta = PERIOD,
        recoveries: Callable[[], Sequence[Recovery]] = tuple,
        tick: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._read = read
        self._recoveries = recoveries
        self._tick = tick
        self._slow_due = float("-inf")
        self._taker = Taker(read, conditional, period=period, of_last=OF_LAST, tick=tick, now=now)
        self._flight = SingleFlight(self._look, Snapshot(problem=NOT_YET.problem), silent=marked_silent, tick=tick)

    @property
    def last(self) -> Snapshot:
        """The latest snapshot, however old, without a look."""
        return self._flight.last

    def current(self, *, patience: float = 1.0) -> Snapshot:
        """Return the latest snapshot; never raises.

        One look at a time: who comes while another viewer's look is under way shares it. A look is waited for until
        `patience` seconds after it began, so that a Slurm that doesn't answer holds up nobody but the first.
        """
        return self._flight.current(patience=patience)

    def close(self) -> None:
        """Let go of the threads that look."""
        self._flight.close()
        self._taker.close()

    def _look(self) -> tuple[Snapshot, float]:
        last = self._flight.last
        taken, due = self._taker.take(last)
        if taken.problem:
            self._slow_due = float("-inf")
            return replace(taken, controllers=self._ask_controllers(last)), due
        jobs = taken.jobs if taken.jobs is last.jobs else tuple(_settled(job) for job in taken.jobs)
        try:
            return self._with_slow(replace(taken, jobs=jobs, recoveries=self._ask_recoveries(last))), due
        except Exception:
            log.exception("what stands beside the snapshot could not be read")
            return replace(last, problem=UNREADABLE), due

    def _with_slow(self, taken: Snapshot) -> Snapshot:
        if self._tick() < self._slow_due:
            return taken
        try:
            config = self._read.config()
        except AistationError as error:  # it answered a moment ago
            log.warning("the configuration is not shown: %s", error)
            self._slow_due = self._tick() + STALE_AFTER.total_seconds()
            return taken
        self._slow_due = self._tick() + SLOW_PERIOD.total_seconds()
        return replace(
            taken,
            cluster=config.get("ClusterName", ""),
            version=config.get("SLURM_VERSION", ""),
            controllers=self._ask_controllers(taken),
            qos=self._ask_qos(taken),
        )

    def _ask_controllers(self, last: Snapshot) -> tuple[Controller, ...]:
        try:
            return tuple(self._read.controllers())
        except AistationError:
            return tuple(replace(each, is_up=False) for each in last.controllers)

    def _ask_qos(self, last: Snapshot) -> tuple[Qos, ...]:
        try:
            return tuple(self._read.qos())
        except AistationError as error:  # accounting may be away, or not used at all; the page lives without it
            log.warning("quotas are not shown: %s", error)
            return last.qos

    def _ask_recoveries(self, last: Snapshot) -> tuple[Recovery, ...]:
        try:
            return tuple(self._recoveries())
        except AistationError as error:
            log.warning("incidents are not shown: %s", error)
            return last.recoveries


def _settled(job: Job) -> Job:
    """Return the job without its elapsed time, which its start tells: equal looks make equal snapshots."""
    return replace(job, elapsed=None) if job.state.is_running and job.start_time else job
