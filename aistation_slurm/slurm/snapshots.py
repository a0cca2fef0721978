"""One snapshot of Slurm for many who ask: however many they are, slurmctld is asked as often as for one.

A dump of 10,000 jobs holds slurmctld's lock on its jobs for 37 ms, so it is taken at most every second, and after one
that took t seconds not for 20 t. Where slurmctld can be asked what changed (`conditional`), what did not change is not
loaded again, for `BELIEVED` at most: by slurmctld's source, 22.05 to 26.05, it stamps nearly every change, but not

- the reason of a job that waits for a limit of its association or its QOS (acct_policy.c sets many without a stamp);
- an expected start that the backfill scheduler takes back;
- what goes by the clock alone: how long a job has run, when a node was last busy.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, get_args

from aistation_slurm.errors import AistationError, SlurmError, SlurmMissing, SlurmUnreachable
from aistation_slurm.slurm.conditional import Conditional, What
from aistation_slurm.slurm.model import Job, Node, Partition
from aistation_slurm.slurm.single_flight import PATIENCE, SingleFlight

log = logging.getLogger(__name__)

PERIOD = timedelta(seconds=1)
REST = 20
"""A dump that took t seconds is followed by at least 20 t without one, so that we cost slurmctld 5 % at most."""
BELIEVED = timedelta(seconds=60)
"""How long "nothing changed" is believed after a dump."""
BUSY = 5
"""A "changed" has cost a dump of its own: after n in a row, 5 at most, 2**n - 2 looks do without the question."""
STALE_AFTER = timedelta(seconds=10)
FIRST_PATIENCE = 30.0
"""How many seconds a question waits for the very first snapshot: there is nothing else to answer with."""
WHATS: tuple[What, ...] = get_args(What)


class Dumps(Protocol):
    """The part of `SlurmReader` that a snapshot is made of."""

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten."""

    def nodes(self) -> list[Node]:
        """Return every node."""

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What slurmctld said at one moment; with `problem`, what it said last, before it went away."""

    taken_at: datetime | None = None
    """When it was so for the last time, by a dump or by the word that nothing changed; None before the first."""
    dumped_at: datetime | None = None
    """When something of it was loaded for the last time."""
    every: timedelta = PERIOD
    """How long it is kept: grows with what a dump costs."""
    jobs: tuple[Job, ...] = ()
    """Also those that are over, but not yet forgotten."""
    nodes: tuple[Node, ...] = ()
    partitions: tuple[Partition, ...] = ()
    problem: str = ""

    def age(self, now: datetime) -> timedelta | None:
        """Return how long ago this was so for the last time; None where nobody has ever answered."""
        return None if self.taken_at is None else now - self.taken_at

    def is_stale(self, now: datetime) -> bool:
        """Return whether this can't be taken for the present any more."""
        if self.problem or self.taken_at is None:
            return True
        return now - self.taken_at > max(STALE_AFTER, 3 * self.every)


S = TypeVar("S", bound=Snapshot)
NOT_YET = Snapshot(problem="Slurm has not answered yet")
NOT_SINCE = "It has not answered since"
UNREADABLE = "what Slurm said could not be read; the server's log has the details"


class Taker:
    """Takes one snapshot after the other; to be asked by one thread at a time.

    Args:
        read: asked for the dumps.
        conditional: asked what changed; without one, each snapshot is a full dump.
        period: how long a snapshot is kept at least.
        of_last: how many of the last dumps tell what one costs: the cheapest of them counts. With more than 1, a dump
            that met a busy machine does not slow the next ones down.
        tick: the clock for costs and waits.
        now: the clock for the snapshots.
    """

    def __init__(
        self,
        read: Dumps,
        conditional: Conditional | None = None,
        *,
        period: timedelta = PERIOD,
        of_last: int = 1,
        tick: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._read = read
        self._conditional = conditional
        self._period = period
        self._tick = tick
        self._now = now
        self._costs: deque[float] = deque(maxlen=of_last)
        self._stamps: dict[What, int] = {}
        self._loaders = ThreadPoolExecutor(len(WHATS), thread_name_prefix="dump")
        self._in_a_row = self._unasked = 0
        self._dumped = self._probed_in_vain = float("-inf")

    def take(self, last: S) -> tuple[S, float]:
        """Return the next snapshot, and when (by `tick`) one may be taken again; never raises.

        While Slurm is away the last one comes back, with the problem.
        """
        began = self._tick()
        try:
            fresh = self._next(last)
        except AistationError as error:
            return self._marked(last, error.text)
        except Exception:
            log.exception("the snapshot could not be taken")
            return self._marked(last, UNREADABLE)
        if last.problem and last.taken_at:
            log.info("Slurm answers again")
        is_new = fresh.dumped_at != last.dumped_at
        return fresh, began + (fresh.every if is_new else self._period).total_seconds()

    def _marked(self, last: S, problem: str) -> tuple[S, float]:
        """Keep what was known, marked; look again soon, and at everything, once Slurm is back."""
        if problem != last.problem:
            log.warning("showing the last snapshot: %s", problem)
        self._stamps.clear()
        return replace(last, problem=problem), self._tick() + 2 * self._period.total_seconds()

    def _next(self, last: S) -> S:
        taken_at, began = self._now(), self._tick()
        changed = self._changed(last)
        if not changed:
            return replace(last, taken_at=taken_at)
        fresh = replace(last, **self._load(changed), taken_at=taken_at, problem="")
        if "jobs" in changed:
            self._costs.append(self._tick() - began)
        if changed == set(WHATS):
            self._dumped = began
        return replace(fresh, dumped_at=taken_at, every=self._every())

    def _load(self, changed: set[What]) -> dict[str, Any]:
        """Return what changed, loaded side by side: closer in time, and quicker than one after the other."""
        ways: dict[What, Callable[[], Sequence[object]]] = {
            "jobs": lambda: self._read.jobs(with_over=True),
            "nodes": self._read.nodes,
            "partitions": self._read.partitions,
        }
        loading = {what: self._loaders.submit(ways[what]) for what in WHATS if what in changed}
        wait(loading.values())
        return {what: tuple(loaded.result()) for what, loaded in loading.items()}

    def _every(self) -> timedelta:
        return max(self._period, timedelta(seconds=REST * min(self._costs, default=0.0)))

    def close(self) -> None:
        """Let go of the threads that load."""
        self._loaders.shutdown(wait=False, cancel_futures=True)

    # What changed

    def _changed(self, last: Snapshot) -> set[What]:
        """Return what has to be loaded; its stamps are taken before the load, so that no change falls between."""
        conditional = self._conditional
        if conditional is None or self._tick() - self._probed_in_vain < BELIEVED.total_seconds():
            return set(WHATS)
        if self._unasked > 0:
            self._unasked -= 1
            self._stamps.clear()
            return set(WHATS)
        is_believed = self._tick() - self._dumped < BELIEVED.total_seconds()
        try:
            if not (self._stamps and is_believed) or last.problem:
                clock = conditional.changed_since("partitions", 0)
                self._stamps = {} if clock is None else dict.fromkeys(WHATS, clock)
                return set(WHATS)
            fresh = {what: conditional.changed_since(what, since) for what, since in self._stamps.items()}
        except SlurmError as error:
            self._do_without(error)
            return set(WHATS)
        changed = {what: stamp for what, stamp in fresh.items() if stamp is not None}
        self._stamps |= changed
        self._in_a_row = min(self._in_a_row + 1, BUSY) if "jobs" in changed else 0
        self._unasked = 2**self._in_a_row - 2 if self._in_a_row else 0
        return set(changed)

    def _do_without(self, error: SlurmError) -> None:
        """Load everything for a while: a probe that fails says nothing about slurmctld, the dump will."""
        log.warning("can't be asked what changed, so everything is loaded: %s", error)
        self._stamps.clear()
        self._probed_in_vain = self._tick()
        if isinstance(error, SlurmMissing):
            self._conditional = None


class SnapshotReader:
    """Answers `jobs`, `nodes` and `partitions` from one snapshot, for any number of threads.

    Its answers are of one look, at most `Snapshot.every` old while Slurm answers; while it is away they are the last
    ones, and `current().is_stale(now)` says so. Who is about to act on a fault asks Slurm itself instead.
    """

    name = "snapshot"
    answers: frozenset[str] = frozenset(WHATS)

    def __init__(
        self,
        read: Dumps,
        conditional: Conditional | None = None,
        *,
        period: timedelta = PERIOD,
        patience: float = PATIENCE,
        tick: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._taker = Taker(read, conditional, period=period, tick=tick, now=now)
        self._patience = patience
        self._flight = SingleFlight[Snapshot](self._look, NOT_YET, silent=marked_silent, tick=tick)

    def current(self) -> Snapshot:
        """Return the snapshot of this moment: the last one, or a new one where that is due; never raises."""
        return self._flight.current(patience=self._patience)

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        """Return the jobs that wait, run or end; with `with_over` also those over but not yet forgotten.

        Raises:
            SlurmUnreachable: Slurm has never answered.
        """
        jobs = self._answered().jobs
        return list(jobs) if with_over else [job for job in jobs if not job.state.is_over]

    def nodes(self) -> list[Node]:
        """Return every node.

        Raises:
            SlurmUnreachable: Slurm has never answered.
        """
        return list(self._answered().nodes)

    def partitions(self) -> list[Partition]:
        """Return every partition, hidden ones too.

        Raises:
            SlurmUnreachable: Slurm has never answered.
        """
        return list(self._answered().partitions)

    def close(self) -> None:
        """Let go of the threads that look."""
        self._flight.close()
        self._taker.close()

    def _answered(self) -> Snapshot:
        snapshot = self.current()
        if snapshot.taken_at is None:
            snapshot = self._flight.current(patience=FIRST_PATIENCE)
        if snapshot.taken_at is None:
            raise SlurmUnreachable(snapshot.problem)
        return snapshot

    def _look(self) -> tuple[Snapshot, float]:
        return self._taker.take(self._flight.last)


def marked_silent(snapshot: S) -> S:
    """Return the snapshot, marked, where it isn't yet: Slurm takes too long to answer."""
    return snapshot if snapshot.problem else replace(snapshot, problem=NOT_SINCE)
