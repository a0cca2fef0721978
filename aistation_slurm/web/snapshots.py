"""One look at Slurm for all viewers: however many watch, slurmctld is asked as often as for one."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from aistation_slurm.errors import AistationError
from aistation_slurm.slurm.model import Controller, Job, Node, Partition, Qos

log = logging.getLogger(__name__)

PERIOD = timedelta(seconds=1)
SLOW_PERIOD = timedelta(seconds=60)
"""How often to ask for what seldom changes: the configuration, the controllers, the quotas."""
REST = 20
"""A look that took t seconds is followed by at least 20 t without one, so that we cost slurmctld 5 % at most."""
STALE_AFTER = timedelta(seconds=10)
SILENCE = timedelta(seconds=3)
"""A look that takes longer than this is taken for a Slurm that is away, until it answers after all."""


class StationReader(Protocol):
    """The part of `slurm.reader.SlurmReader` that the page needs."""

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""

    def nodes(self) -> list[Node]:
        """Return all nodes."""

    def partitions(self) -> list[Partition]:
        """Return all partitions."""

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
class Snapshot:
    """What Slurm said at one moment; with `problem`, what it said last, before it went away."""

    taken_at: datetime | None = None
    """None where nobody has ever answered."""
    every: timedelta = PERIOD
    """How long a snapshot is kept: grows with what a look costs."""
    cluster: str = ""
    version: str = ""
    controllers: tuple[Controller, ...] = ()
    partitions: tuple[Partition, ...] = ()
    nodes: tuple[Node, ...] = ()
    jobs: tuple[Job, ...] = ()
    qos: tuple[Qos, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    problem: str = ""

    def is_stale(self, now: datetime) -> bool:
        """Return whether this can't be taken for the present any more."""
        if self.problem or self.taken_at is None:
            return True
        return now - self.taken_at > max(STALE_AFTER, 3 * self.every)


class Snapshots:
    """Hands out the latest snapshot, and looks again only when somebody asks and the last one is old enough."""

    def __init__(
        self,
        read: StationReader,
        *,
        period: timedelta = PERIOD,
        recoveries: Callable[[], Sequence[Recovery]] = tuple,
        tick: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._read = read
        self._period = period
        self._recoveries = recoveries
        self._tick = tick
        self._now = now
        self._lock = threading.Lock()
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._looking: Future[None] | None = None
        self._last = Snapshot(problem="Slurm has not answered yet")
        self._due = self._slow_due = self._began = float("-inf")
        self._costs: deque[float] = deque(maxlen=5)

    @property
    def last(self) -> Snapshot:
        """The latest snapshot, however old, without a look."""
        return self._last

    def current(self, *, patience: float = 1.0) -> Snapshot:
        """Return the latest snapshot; never raises.

        One look at a time: who comes while another viewer's look is under way shares it. A look is waited for until
        `patience` seconds after it began, so that a Slurm that doesn't answer holds up nobody but the first.
        """
        with self._lock:
            if self._looking is None and self._tick() >= self._due:
                self._began = self._tick()
                self._looking = self._looker.submit(self._look)
            looking, taken = self._looking, self._tick() - self._began
            if looking is not None and taken > SILENCE.total_seconds() and not self._last.problem:
                self._last = replace(self._last, problem="It has not answered since")
        if looking is not None and taken < patience:
            wait((looking,), timeout=patience - taken)
        return self._last

    def close(self) -> None:
        """Let go of the thread that looks."""
        self._looker.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        try:
            fresh = self._next()
            self._due = self._began + fresh.every.total_seconds()
            with self._lock:
                self._last = fresh
        except AistationError as error:
            self._keep(error.text)
        except Exception:
            log.exception("the snapshot could not be taken")
            self._keep("what Slurm said could not be read; the server's log has the details")
        finally:
            with self._lock:
                self._looking = None

    def _keep(self, problem: str) -> None:
        """Keep what was known, marked; look again soon, and at everything, once Slurm is back."""
        if problem != self._last.problem:
            log.warning("showing the last snapshot: %s", problem)
        kept = replace(self._last, problem=problem, controllers=self._ask_controllers())
        with self._lock:
            self._last = kept
        self._due = self._tick() + 2 * self._period.total_seconds()
        self._slow_due = float("-inf")

    def _next(self) -> Snapshot:
        base, taken_at, began = self._with_slow(), self._now(), self._tick()
        jobs = tuple(_settled(job) for job in self._read.jobs(with_over=True))
        nodes = tuple(self._read.nodes())
        partitions = tuple(self._read.partitions())
        self._costs.append(self._tick() - began)
        if self._last.problem and self._last.taken_at:
            log.info("Slurm answers again")
        return replace(
            base,
            taken_at=taken_at,
            every=self._every(),
            partitions=partitions,
            nodes=nodes,
            jobs=jobs,
            recoveries=self._ask_recoveries(),
            problem="",
        )

    def _every(self) -> timedelta:
        """The cheapest of the last looks tells what one costs; the others met a busy machine."""
        return max(self._period, timedelta(seconds=REST * min(self._costs)))

    def _with_slow(self) -> Snapshot:
        if self._tick() < self._slow_due:
            return self._last
        config = self._read.config()
        self._slow_due = self._tick() + SLOW_PERIOD.total_seconds()
        return replace(
            self._last,
            cluster=config.get("ClusterName", ""),
            version=config.get("SLURM_VERSION", ""),
            controllers=self._ask_controllers(),
            qos=self._ask_qos(),
        )

    def _ask_controllers(self) -> tuple[Controller, ...]:
        try:
            return tuple(self._read.controllers())
        except AistationError:
            return tuple(replace(each, is_up=False) for each in self._last.controllers)

    def _ask_qos(self) -> tuple[Qos, ...]:
        try:
            return tuple(self._read.qos())
        except AistationError as error:  # accounting may be away, or not used at all; the page lives without it
            log.warning("quotas are not shown: %s", error)
            return self._last.qos

    def _ask_recoveries(self) -> tuple[Recovery, ...]:
        try:
            return tuple(self._recoveries())
        except AistationError as error:
            log.warning("incidents are not shown: %s", error)
            return self._last.recoveries


def _settled(job: Job) -> Job:
    """Return the job without its elapsed time, which its start tells: equal looks make equal snapshots."""
    return replace(job, elapsed=None) if job.state.is_running and job.start_time else job
