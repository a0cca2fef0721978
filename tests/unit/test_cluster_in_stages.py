"""While an apply waits for jobs, it says for which, and for how long at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aistation_slurm.cluster.applying.in_stages import is_waiting, waiting_line, way_on
from aistation_slurm.cluster.planning.staged import REASON, CloseGroup, DrainNodes
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.states import JobState, NodeState

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def a_job(number: int = 7, *, limit: timedelta | None = timedelta(hours=2), state: JobState = JobState.RUNNING) -> Job:
    begun = NOON - timedelta(minutes=30)
    return Job(job_id=number, name="train", user="ann", state=state, start_time=begun, time_limit=limit)


def test_it_says_when_the_last_job_is_over_at_the_latest():
    said = waiting_line([a_job(7), a_job(8, limit=timedelta(hours=1))], NOON)
    assert said == "waiting for 2 jobs (7, 8): for 01:30:00 at most, until 2026-11-26 13:30 UTC"


def test_a_job_without_a_limit_or_one_that_waits_itself_may_take_for_ever():
    for odd in (a_job(8, limit=None), a_job(8, state=JobState.PENDING)):
        assert "nobody knows for how long" in waiting_line([a_job(7), odd], NOON)


def test_a_job_that_is_leaving_is_as_good_as_over():
    assert "for 00:01:00 at most" in waiting_line([a_job(state=JobState.COMPLETING)], NOON)


def test_only_nodes_that_we_drained_for_it_are_ours_to_give_back():
    def node(state: str, reason: str) -> Node:
        return Node(name="v100-01", state=NodeState.parse(state), reason=reason)

    assert is_waiting(node("MIXED+DRAIN", REASON))
    assert not is_waiting(node("MIXED+DRAIN", "aistation: heartbeat lost"))
    assert not is_waiting(node("MIXED+DRAIN", "fan"))
    assert not is_waiting(node("IDLE", REASON))


def test_whoever_interrupts_it_is_told_how_to_go_on_and_how_to_take_it_back():
    lines = way_on([DrainNodes("v100-[01-03]"), CloseGroup("dev")])
    assert lines == [
        "go on:     aistation cluster apply --staged",
        "take back: scontrol update nodename=v100-[01-03] state=RESUME",
        "take back: scontrol update partitionname=dev state=UP",
    ]
