"""Each ended run is decided once, whoever comes at the same time; and what slurmctld forgets is known here."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.faults import resume_memory as memory
from aistation_slurm.faults.resume import STALE, Ended, Restart, Sight, Stop
from aistation_slurm.jobs.judge import Verdict
from aistation_slurm.jobs.tag import Tag
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.engine import open_store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOON + STALE
JOB = Job(
    job_id=7, name="t", user="ann", state=JobState.TIMEOUT, work_dir="/home/ann", stdout="/home/ann/t-7.log",
    comment="aistation:id=a1,resume=3",
)  # fmt: skip
TAG = Tag("a1", 3)
ENDED = Ended(job=JOB, tag=TAG, verdict=Verdict("platform", "time-limit", "it ended", retry=True), sight=Sight(step=40))
RESTART = Restart(ended=ENDED, number=1, of=3, progressed=True)
STOP = Stop(ended=ENDED, why="so")


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/aistation.db"


@pytest.fixture
def engine(url):
    opened = open_store(url)
    yield opened
    opened.dispose()


def at_once(url: str, step: Restart | Stop, now: datetime) -> list[bool]:
    """Claim the step from eight places in the same moment, each with its own connection."""
    won: list[bool] = []
    begin = threading.Barrier(8)

    def one() -> None:
        engine = open_store(url)
        begin.wait()
        won.append(memory.claim(engine, step, now))
        engine.dispose()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


@pytest.mark.parametrize("step", [RESTART, STOP], ids=["restart", "stop"])
def test_of_eight_that_come_at_once_one_acts(engine, url, step):
    assert sorted(at_once(url, step, NOON)) == [False] * 7 + [True]
    assert sorted(at_once(url, step, NOON + timedelta(seconds=1))) == [False] * 8


def test_an_order_that_was_never_given_is_taken_over_by_one(engine, url):
    memory.claim(engine, RESTART, NOON)
    assert sorted(at_once(url, RESTART, LATER)) == [False] * 7 + [True]
    assert memory.history(engine, [(7, "a1")])[0].tries == 2


def test_an_owner_is_never_told_twice_however_late(engine):
    assert memory.claim(engine, STOP, NOON)
    assert not memory.claim(engine, STOP, NOON + timedelta(days=365))


def test_the_next_run_and_another_job_of_the_same_number_are_decided_anew(engine):
    next_run = replace(RESTART, ended=replace(ENDED, job=replace(JOB, restart_count=1)))
    other_job = replace(RESTART, ended=replace(ENDED, tag=Tag("b2", 3)))
    assert [memory.claim(engine, each, NOON) for each in (RESTART, next_run, other_job, next_run)] == [True] * 3 + [
        False
    ]
    assert [each.restart_count for each in memory.history(engine, [(7, "a1")])] == [0, 1]


def test_what_was_decided_is_shown_with_what_came_of_it(engine):
    memory.claim(engine, RESTART, NOON)
    memory.settle(engine, RESTART, done_at=LATER, note="it waits")
    (shown,) = memory.resumed(engine, job_id=7)
    assert (shown.action, shown.rule, shown.step, shown.why) == ("restart", "time-limit", 40, "it ended (1 of 3)")
    assert (shown.decided_at, shown.done_at, shown.note) == (NOON, LATER, "it waits")
    assert memory.resumed(engine, job_id=8) == []


def test_a_job_that_slurm_no_longer_holds_is_known_as_it_was_seen_last(engine):
    memory.watch(engine, [(JOB, TAG)], NOON)
    memory.watch(engine, [(replace(JOB, restart_count=2), TAG)], LATER)
    assert memory.forgotten(engine, {(7, "a1")}) == []
    ((job, tag),) = memory.forgotten(engine, {(7, "another submission")})
    assert (job.restart_count, job.stdout, tag) == (2, JOB.stdout, TAG)


def test_a_job_for_which_nothing_is_left_to_do_is_watched_no_more_unless_it_runs_again(engine):
    memory.watch(engine, [(JOB, TAG)], NOON)
    memory.close(engine, [(7, "a1")], NOON)
    memory.watch(engine, [(JOB, TAG)], LATER)
    assert memory.forgotten(engine, set()) == []
    memory.watch(engine, [(replace(JOB, state=JobState.PENDING), TAG)], LATER)
    assert len(memory.forgotten(engine, set())) == 1


def test_more_jobs_than_a_database_takes_in_one_question_are_found(engine):
    jobs = [(replace(JOB, job_id=number), TAG) for number in range(1, 1001)]
    memory.watch(engine, jobs, NOON)
    memory.watch(engine, jobs, LATER)
    assert len(memory.forgotten(engine, set())) == 1000
    assert memory.history(engine, [(job.job_id, "a1") for job, _ in jobs]) == []
