"""One look at Slurm for all viewers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.errors import SlurmUnreachable, StoreError
from aistation_slurm.slurm.model import Controller, Job, Node, Partition, Qos
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.web.snapshots import PERIOD, Recovery, Snapshots

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def tick(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


class FakeSlurm:
    """Answers from memory, counts, takes as long as it is told, and can be away."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.cost = self.slow_cost = 0.0
        self.looks = 0
        self.slow_looks = 0
        self.is_away = False
        self.accounting_is_away = False
        self.fault: Exception | None = None
        self.gate: Callable[[], object] = lambda: None

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        self.looks += 1
        self.gate()
        self.clock.seconds += self.cost
        if self.fault:
            raise self.fault
        if self.is_away:
            raise SlurmUnreachable("slurmctld does not answer")
        start, elapsed = NOON, timedelta(seconds=self.clock.seconds)
        return [Job(job_id=1, name="a", user="ann", state=JobState.RUNNING, start_time=start, elapsed=elapsed)]

    def nodes(self) -> list[Node]:
        return [Node(name="n1", state=NodeState.parse("IDLE"))]

    def partitions(self) -> list[Partition]:
        return [Partition(name="main")]

    def config(self) -> dict[str, str]:
        self.slow_looks += 1
        self.clock.seconds += self.slow_cost
        return {"ClusterName": "station", "SLURM_VERSION": "22.05.8"}

    def controllers(self) -> list[Controller]:
        return [Controller(host="ctl1", is_up=not self.is_away)]

    def qos(self) -> list[Qos]:
        if self.accounting_is_away:
            raise SlurmUnreachable("slurmdbd does not answer")
        return [Qos(name="normal")]


@contextmanager
def watching(slurm: FakeSlurm, **more: object) -> Iterator[Snapshots]:
    snapshots = Snapshots(slurm, tick=slurm.clock.tick, now=slurm.clock.now, **more)  # type: ignore[arg-type]
    try:
        yield snapshots
    finally:
        snapshots.close()


@pytest.fixture
def slurm() -> FakeSlurm:
    return FakeSlurm(Clock())


def test_without_viewers_slurm_is_not_asked(slurm: FakeSlurm) -> None:
    with watching(slurm):
        slurm.clock.seconds = 3600
    assert slurm.looks == 0


def test_a_thousand_viewers_in_one_second_are_one_look(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        seen = {id(snapshots.current()) for _ in range(1000)}
    assert (slurm.looks, len(seen)) == (1, 1)


def test_the_next_second_is_the_next_look(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        snapshots.current()
        slurm.clock.seconds += 0.9
        snapshots.current()
        assert slurm.looks == 1
        slurm.clock.seconds += 0.2
        snapshots.current()
    assert slurm.looks == 2


def test_a_dear_look_is_followed_by_twenty_times_its_length_of_rest(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        slurm.cost = 0.5
        assert snapshots.current().every == timedelta(seconds=10)
        slurm.clock.seconds = 9.9
        snapshots.current()
        assert slurm.looks == 1
        slurm.clock.seconds = 10.1
        snapshots.current()
        assert slurm.looks == 2


def test_one_slow_look_among_quick_ones_changes_no_rhythm(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        snapshots.current()
        slurm.clock.seconds += 2
        slurm.cost = 3
        assert snapshots.current().every == PERIOD


def test_what_seldom_changes_is_asked_for_once_a_minute(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        for _ in range(50):
            snapshots.current()
            slurm.clock.seconds += 1.01
        assert (slurm.looks, slurm.slow_looks) == (50, 1)
        slurm.clock.seconds += 10
        assert snapshots.current().cluster == "station"
    assert slurm.slow_looks == 2


def test_what_seldom_changes_slows_nothing_down(slurm: FakeSlurm) -> None:
    slurm.slow_cost = 5
    with watching(slurm) as snapshots:
        assert snapshots.current().every == PERIOD


def test_viewers_share_the_look_that_is_under_way(slurm: FakeSlurm) -> None:
    asked, may_answer = threading.Event(), threading.Event()
    slurm.gate = lambda: (asked.set(), may_answer.wait(5))
    with watching(slurm) as snapshots:
        viewers = [threading.Thread(target=snapshots.current, kwargs={"patience": 5}) for _ in range(8)]
        for viewer in viewers:
            viewer.start()
        assert asked.wait(5)
        may_answer.set()
        for viewer in viewers:
            viewer.join(5)
        assert snapshots.current().taken_at is not None
    assert slurm.looks == 1


def test_a_slurm_that_hangs_holds_up_nobody_for_long(slurm: FakeSlurm) -> None:
    may_answer = threading.Event()
    slurm.gate = lambda: may_answer.wait(5)
    with watching(slurm) as snapshots:
        assert snapshots.current(patience=0.05).is_stale(NOON)
        slurm.clock.seconds += 1
        assert snapshots.current(patience=0.05).taken_at is None  # and this one waited for nothing at all
        may_answer.set()


def test_a_silence_is_said_before_the_command_gives_up(slurm: FakeSlurm) -> None:
    may_answer = threading.Event()
    with watching(slurm) as snapshots:
        snapshots.current()
        slurm.gate = lambda: may_answer.wait(5)
        slurm.clock.seconds += 2
        assert not snapshots.current(patience=0.05).problem
        slurm.clock.seconds += 3.1
        silent = snapshots.current(patience=0.05)
        assert silent.problem == "It has not answered since"
        assert snapshots.current(patience=0.05) is silent
        may_answer.set()
        assert not snapshots.current(patience=60).problem


def test_the_last_snapshot_stays_and_is_marked_while_slurm_is_away(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        snapshots.current()
        slurm.is_away = True
        slurm.clock.seconds += 2
        seen = snapshots.current()
    assert [job.job_id for job in seen.jobs] == [1]
    assert seen.taken_at == NOON
    assert seen.problem == "slurmctld does not answer"
    assert seen.is_stale(slurm.clock.now())
    assert not seen.controllers[0].is_up


def test_the_mark_goes_when_slurm_is_back_and_everything_is_asked_again(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        slurm.is_away = True
        assert snapshots.current().taken_at is None
        slurm.is_away = False
        slurm.clock.seconds += 2.1
        seen = snapshots.current()
    assert (seen.problem, seen.cluster) == ("", "station")
    assert not seen.is_stale(slurm.clock.now())


def test_a_fault_of_our_own_is_a_mark_too_and_no_traceback(slurm: FakeSlurm, caplog: pytest.LogCaptureFixture) -> None:
    slurm.fault = ValueError("no idea")
    with watching(slurm) as snapshots:
        seen = snapshots.current()
    assert "could not be read" in seen.problem
    assert "no idea" in caplog.text


def test_the_page_lives_without_accounting(slurm: FakeSlurm) -> None:
    slurm.accounting_is_away = True
    with watching(slurm) as snapshots:
        seen = snapshots.current()
    assert (seen.qos, seen.problem) == ((), "")


def test_the_page_lives_without_incidents(slurm: FakeSlurm) -> None:
    def broken() -> tuple[Recovery, ...]:
        raise StoreError("no database")

    with watching(slurm, recoveries=broken) as snapshots:
        assert snapshots.current().problem == ""


def test_a_snapshot_that_nobody_renewed_is_stale(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        seen = snapshots.current()
    assert not seen.is_stale(NOON + timedelta(seconds=9))
    assert seen.is_stale(NOON + timedelta(seconds=11))


def test_a_running_job_alone_changes_nothing_from_look_to_look(slurm: FakeSlurm) -> None:
    with watching(slurm) as snapshots:
        first = snapshots.current()
        slurm.clock.seconds += 5
        assert snapshots.current().jobs == first.jobs
