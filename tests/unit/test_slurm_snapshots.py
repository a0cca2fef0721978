"""One snapshot of Slurm for many who ask, and nothing loaded that did not change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.errors import SlurmMissing, SlurmUnreachable
from aistation_slurm.slurm.conditional import What
from aistation_slurm.slurm.filled import Filled
from aistation_slurm.slurm.model import Account, Job, Node, Partition
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import LocalRunner
from aistation_slurm.slurm.single_flight import SingleFlight
from aistation_slurm.slurm.snapshots import BELIEVED, PERIOD, SnapshotReader
from aistation_slurm.slurm.states import JobState, NodeState

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class FakeSlurmctld:
    """Answers as slurmctld does: stamps what changes with whole seconds, and tells whether something did."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cost = 0.0
        self.is_away = False
        self.probe_is_away = self.probe_is_missing = False
        self.asked: list[str] = []
        self.probed: list[str] = []
        self.changed_at: dict[str, int] = {"jobs": 0, "nodes": 0, "partitions": 0}
        self.queue = [Job(job_id=1, name="a", user="ann", state=JobState.PENDING)]
        self.gate: Callable[[], object] = lambda: None
        self.gate_of_jobs: Callable[[], object] = lambda: None

    def tick(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def clock(self) -> int:
        return int(self.now().timestamp())

    def change(self, what: str) -> None:
        self.changed_at[what] = self.clock()

    def submit(self, job_id: int) -> None:
        self.queue.append(Job(job_id=job_id, name="b", user="ann", state=JobState.PENDING))
        self.change("jobs")

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        self._answer("jobs")
        return list(self.queue)

    def nodes(self) -> list[Node]:
        self._answer("nodes")
        return [Node(name="n1", state=NodeState.parse("IDLE"))]

    def partitions(self) -> list[Partition]:
        self._answer("partitions")
        return [Partition(name="main")]

    def changed_since(self, what: What, since: int) -> int | None:
        self.probed.append(what)
        if self.probe_is_missing:
            raise SlurmMissing("no libslurm")
        if self.probe_is_away or self.is_away:
            raise SlurmUnreachable("the probe got no answer")
        return self.clock() if since - 1 < self.changed_at[what] or not since else None

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        self.gate()
        if what == "jobs":
            self.gate_of_jobs()
            self.seconds += self.cost
        if self.is_away:
            raise SlurmUnreachable("slurmctld does not answer")


@pytest.fixture
def slurm() -> FakeSlurmctld:
    return FakeSlurmctld()


@contextmanager
def reading(slurm: FakeSlurmctld, *, conditional: bool = False) -> Iterator[SnapshotReader]:
    reader = SnapshotReader(slurm, slurm if conditional else None, tick=slurm.tick, now=slurm.now, patience=30)
    try:
        yield reader
    finally:
        reader.close()


def test_nobody_asks_nothing_is_asked(slurm: FakeSlurmctld) -> None:
    with reading(slurm):
        slurm.seconds = 3600
    assert slurm.asked == []


def test_whatever_is_asked_in_one_second_is_one_dump(slurm: FakeSlurmctld) -> None:
    with reading(slurm) as reader:
        for _ in range(100):
            assert [each.job_id for each in reader.jobs()] == [1]
            assert [each.name for each in reader.nodes()] == ["n1"]
            assert [each.name for each in reader.partitions()] == ["main"]
    assert sorted(slurm.asked) == ["jobs", "nodes", "partitions"]


def test_many_threads_share_one_dump(slurm: FakeSlurmctld) -> None:
    asked, may_answer = threading.Event(), threading.Event()
    slurm.gate = lambda: (asked.set(), may_answer.wait(30))
    seen: list[list[Job]] = []
    with reading(slurm) as reader:
        askers = [threading.Thread(target=lambda: seen.append(reader.jobs())) for _ in range(20)]
        for asker in askers:
            asker.start()
        assert asked.wait(30)
        may_answer.set()
        for asker in askers:
            asker.join(30)
    assert [len(each) for each in seen] == [1] * 20
    assert slurm.asked.count("jobs") == 1


def test_an_answer_is_the_askers_own_to_change(slurm: FakeSlurmctld) -> None:
    with reading(slurm) as reader:
        reader.jobs().clear()
        assert len(reader.jobs()) == 1


def test_jobs_that_are_over_are_answered_only_where_they_are_asked_for(slurm: FakeSlurmctld) -> None:
    slurm.queue.append(Job(job_id=2, name="c", user="ann", state=JobState.COMPLETED))
    with reading(slurm) as reader:
        assert [each.job_id for each in reader.jobs()] == [1]
        assert [each.job_id for each in reader.jobs(with_over=True)] == [1, 2]


def test_a_dump_of_a_second_is_followed_by_twenty_seconds_without_one(slurm: FakeSlurmctld) -> None:
    slurm.cost = 1.0
    with reading(slurm) as reader:
        assert reader.current().every == timedelta(seconds=20)
        slurm.seconds = 19.9
        reader.current()
        assert slurm.asked.count("jobs") == 1
        slurm.seconds = 20.1
        reader.current()
    assert slurm.asked.count("jobs") == 2


def test_the_last_dump_tells_what_the_next_one_costs(slurm: FakeSlurmctld) -> None:
    with reading(slurm) as reader:
        assert reader.current().every == PERIOD
        slurm.seconds, slurm.cost = 2.0, 3.0
        assert reader.current().every == timedelta(seconds=60)


def test_a_snapshot_tells_its_age_and_when_it_is_stale(slurm: FakeSlurmctld) -> None:
    with reading(slurm) as reader:
        seen = reader.current()
    assert seen.age(NOON + timedelta(seconds=4)) == timedelta(seconds=4)
    assert not seen.is_stale(NOON + timedelta(seconds=9))
    assert seen.is_stale(NOON + timedelta(seconds=11))


def test_before_slurm_ever_answered_there_is_no_answer(slurm: FakeSlurmctld) -> None:
    slurm.is_away = True
    with reading(slurm) as reader:
        assert reader.current().age(NOON) is None
        with pytest.raises(SlurmUnreachable, match="slurmctld does not answer"):
            reader.nodes()


def test_the_last_answer_is_served_and_marked_while_slurm_is_away(slurm: FakeSlurmctld) -> None:
    with reading(slurm) as reader:
        reader.current()
        slurm.is_away, slurm.seconds = True, 2.0
        assert [each.job_id for each in reader.jobs()] == [1]
        seen = reader.current()
        assert (seen.problem, seen.taken_at) == ("slurmctld does not answer", NOON)
        assert seen.is_stale(slurm.now())
        slurm.is_away, slurm.seconds = False, 4.1
        assert not reader.current().is_stale(slurm.now())


def test_filled_with_another_reader_it_answers_everything(slurm: FakeSlurmctld) -> None:
    class Others(CliReader):
        def accounts(self) -> list[Account]:
            return [Account(name="face")]

    with reading(slurm) as reader:
        filled: SlurmReader = Filled(reader, Others(LocalRunner()))
        assert [each.name for each in filled.nodes()] == ["n1"]
        assert [each.name for each in filled.accounts()] == ["face"]
    assert slurm.asked.count("nodes") == 1


# What did not change is not loaded again


def test_an_unchanged_slurm_is_only_asked_whether_it_changed(slurm: FakeSlurmctld) -> None:
    slurm.seconds = 5.0
    with reading(slurm, conditional=True) as reader:
        first = reader.current()
        slurm.seconds += 2
        second = reader.current()
    assert sorted(slurm.asked) == ["jobs", "nodes", "partitions"]
    assert second.jobs is first.jobs
    assert second.age(slurm.now()) == timedelta()
    assert second.dumped_at == first.dumped_at


def test_the_first_stamp_does_not_cost_a_dump(slurm: FakeSlurmctld) -> None:
    with reading(slurm, conditional=True) as reader:
        reader.current()
    assert slurm.probed == ["partitions"]


def test_only_what_changed_is_loaded_again(slurm: FakeSlurmctld) -> None:
    slurm.seconds = 5.0
    with reading(slurm, conditional=True) as reader:
        reader.current()
        slurm.seconds += 2
        slurm.submit(2)
        slurm.seconds += 2
        assert [each.job_id for each in reader.current().jobs] == [1, 2]
        assert sorted(slurm.asked) == ["jobs", "jobs", "nodes", "partitions"]
        slurm.seconds += 2
        reader.current()
    assert len(slurm.asked) == 4


def test_a_change_in_the_second_of_the_dump_is_seen(slurm: FakeSlurmctld) -> None:
    slurm.seconds = 5.0
    with reading(slurm, conditional=True) as reader:
        reader.current()
        slurm.submit(2)  # in the second of the stamp, after the dump
        slurm.seconds += 2
        assert [each.job_id for each in reader.current().jobs] == [1, 2]


def test_a_change_while_the_dump_is_taken_is_seen(slurm: FakeSlurmctld) -> None:
    slurm.seconds = 5.0
    with reading(slurm, conditional=True) as reader:

        def another_comes() -> None:
            slurm.gate_of_jobs = lambda: None
            slurm.seconds += 0.5
            slurm.change("jobs")

        slurm.gate_of_jobs = another_comes
        reader.current()
        slurm.submit(2)
        slurm.seconds += 20
        assert [each.job_id for each in reader.current().jobs] == [1, 2]


def test_nothing_changed_is_not_believed_for_ever(slurm: FakeSlurmctld) -> None:
    slurm.seconds = 5.0
    with reading(slurm, conditional=True) as reader:
        reader.current()
        slurm.queue.append(Job(job_id=2, name="b", user="ann", state=JobState.PENDING))  # and no stamp of it
        slurm.seconds += BELIEVED.total_seconds() - 1
        assert len(reader.current().jobs) == 1
        slurm.seconds += 2
        assert len(reader.current().jobs) == 2


def test_after_a_dear_dump_it_is_not_asked_what_changed_either(slurm: FakeSlurmctld) -> None:
    slurm.cost = 1.0
    with reading(slurm, conditional=True) as reader:
        reader.current()
        slurm.submit(2)
        slurm.seconds = 19.0
        assert len(reader.current().jobs) == 1
    assert slurm.probed == ["partitions"]


def test_an_unchanged_poll_does_not_lengthen_the_wait_for_the_next(slurm: FakeSlurmctld) -> None:
    slurm.seconds, slurm.cost = 5.0, 1.0
    with reading(slurm, conditional=True) as reader:
        reader.current()
        slurm.seconds += 25
        reader.current()
        slurm.submit(2)
        slurm.seconds += 1.1
        assert len(reader.current().jobs) == 2


def test_a_probe_that_fails_means_full_dumps_and_no_stale_mark(slurm: FakeSlurmctld) -> None:
    slurm.probe_is_away = True
    with reading(slurm, conditional=True) as reader:
        for _ in range(3):
            assert not reader.current().problem
            slurm.seconds += 2
    assert slurm.asked.count("jobs") == 3
    assert len(slurm.probed) == 1


def test_once_slurm_is_back_everything_is_loaded_again(slurm: FakeSlurmctld) -> None:
    slurm.seconds = 5.0
    with reading(slurm, conditional=True) as reader:
        reader.current()
        slurm.is_away, slurm.seconds = True, 10.0
        assert reader.current().problem
        slurm.is_away, slurm.seconds = False, 100.0
        assert not reader.current().problem
    assert sorted(slurm.asked[-3:]) == ["jobs", "nodes", "partitions"]


def test_where_the_queue_changes_all_the_time_it_is_asked_ever_less_often(slurm: FakeSlurmctld) -> None:
    with reading(slurm, conditional=True) as reader:
        for _ in range(200):
            slurm.submit(2)
            slurm.seconds += 2
            reader.current()
    assert slurm.asked.count("jobs") == 200
    assert slurm.probed.count("jobs") < 15


def test_a_queue_that_falls_quiet_is_asked_again(slurm: FakeSlurmctld) -> None:
    with reading(slurm, conditional=True) as reader:
        for _ in range(50):
            slurm.submit(2)
            slurm.seconds += 2
            reader.current()
        slurm.seconds += 2
        for _ in range(40):
            slurm.seconds += 1.1
            reader.current()
        before = slurm.asked.count("jobs")
        for _ in range(20):
            slurm.seconds += 1.1
            reader.current()
    assert slurm.asked.count("jobs") - before <= 1


def test_where_there_is_no_libslurm_it_is_not_looked_for_again(slurm: FakeSlurmctld) -> None:
    slurm.probe_is_missing = True
    with reading(slurm, conditional=True) as reader:
        for _ in range(5):
            reader.current()
            slurm.seconds += 100
    assert (slurm.asked.count("jobs"), len(slurm.probed)) == (5, 1)


def test_a_look_that_breaks_is_logged_and_made_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, looks = [0.0], []

    def look() -> tuple[str, float]:
        looks.append(clock[0])
        raise RuntimeError("no idea")

    flight = SingleFlight(look, "first", silent=str, tick=lambda: clock[0])
    assert flight.current(patience=30) == "first"
    clock[0] = 5.0
    flight.current(patience=30)
    flight.close()
    assert looks == [0.0, 5.0]
    assert "no idea" in caplog.text
