"""The page's words for Slurm's tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.web import words

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_node(state: str, *, gpus: str = "gpu:v100:8", used: str = "", **more: object) -> Node:
    return Node(name="n", state=NodeState.parse(state), gres=read_gres(gpus), gres_used=read_gres(used), **more)  # type: ignore[arg-type]


def a_waiting_job(reason: str, *, restarts: int = 0, state: JobState = JobState.PENDING) -> Job:
    return Job(job_id=1, name="a", user="ann", state=state, reason=reason, restart_count=restarts)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("Resources", "next in line: waits for enough to become free"),
        ("(Priority)", "others are ahead"),
        ("QOSMaxGRESPerUser", "quota used up: GPUs per user"),
        ("QOSMaxTRESPU", "quota used up: GPUs or other resources per user"),
        ("AssocGrpGRES", "quota used up: GPUs"),
        ("QOSMaxJobsPerUserLimit", "quota used up: jobs per user"),
        ("AssocMaxJobsLimit", "quota used up: jobs"),
        ("QOSGrpNodeLimit", "quota used up: nodes"),
        ("QOSMinGRES", "asks for too few GPUs"),
        ("ReqNodeNotAvail, UnavailableNodes:gpu-02", "a node it needs is not available"),
        ("BeginTime", "its start time has not come"),
        ("SomethingOfNextYear", "SomethingOfNextYear"),
    ],
)
def test_a_reason_is_said_in_words_and_an_unknown_one_stays(reason: str, said: str) -> None:
    assert words.why_it_waits(a_waiting_job(reason)) == said


def test_a_job_that_waits_after_a_restart_says_so() -> None:
    assert "lost its node" in words.why_it_waits(a_waiting_job("BeginTime", restarts=1))


def test_a_running_job_waits_for_nothing() -> None:
    assert words.why_it_waits(a_waiting_job("None", state=JobState.RUNNING)) == ""


@pytest.mark.parametrize("state", list(JobState))
def test_every_job_state_has_a_tone_and_words(state: JobState) -> None:
    assert words.job_tone(state)
    assert words.job_words(state).islower()


@pytest.mark.parametrize(
    ("node", "tone"),
    [
        (a_node("IDLE"), "idle"),
        (a_node("MIXED", used="gpu:v100:3"), "mixed"),
        (a_node("MIXED", used="gpu:v100:8"), "full"),
        (a_node("ALLOCATED", gpus="", cpus=4, cpus_allocated=4), "full"),
        (a_node("MIXED", gpus="", cpus=4, cpus_allocated=1), "mixed"),
        (a_node("DOWN"), "down"),
        (a_node("IDLE*"), "down"),
        (a_node("MIXED+DRAIN", used="gpu:v100:8"), "drained"),
        (a_node("IDLE+POWERED_DOWN"), "away"),
    ],
)
def test_trouble_wins_over_use(node: Node, tone: str) -> None:
    assert words.node_tone(node) == tone


def test_shares_take_as_few_gpus_as_they_fit_into() -> None:
    node = a_node("MIXED", gpus="gpu:g:8,shard:g:32", used="gpu:g:1,shard:g:5")
    assert words.gpus_in_use(node) == 1 + 2


def test_a_shared_node_is_full_only_when_its_last_share_is_gone() -> None:
    assert words.node_tone(a_node("MIXED", gpus="gpu:g:2,shard:g:8", used="gpu:g:0,shard:g:7")) == "mixed"
    assert words.node_tone(a_node("MIXED", gpus="gpu:g:2,shard:g:8", used="gpu:g:0,shard:g:8")) == "full"
    assert words.node_tone(a_node("MIXED", gpus="gpu:g:2,shard:g:8", used="gpu:g:1,shard:g:4")) == "full"


@pytest.mark.parametrize(
    ("seconds", "clock", "rough", "duration"),
    [
        (-5, "0:00", "0 s", "0 s"),
        (5, "0:05", "5 s", "5 s"),
        (245, "4:05", "4 min", "4 min 05 s"),
        (11040, "3:04:00", "3 h", "3 h 04 min"),
        (90000, "1-01:00:00", "1 d", "1 d 1 h"),
    ],
)
def test_times_are_as_short_as_they_can_be_read(seconds: int, clock: str, rough: str, duration: str) -> None:
    value = timedelta(seconds=seconds)
    assert (words.clock(value), words.rough(value), words.duration(value)) == (clock, rough, duration)


def test_what_is_recent_is_just_now() -> None:
    assert words.ago(NOON, NOON + timedelta(seconds=1)) == "just now"
    assert words.ago(NOON, NOON + timedelta(minutes=3)) == "3 min ago"


def test_no_limit_is_said() -> None:
    assert words.duration(None) == "no limit"


def test_what_cannot_be_shown_becomes_a_dot() -> None:
    assert words.clean("a\nb\x1bc\u202ed") == "a·b·c·d"
    assert words.clean("训练") == "训练"


def test_amounts_are_counted_in_english() -> None:
    assert words.many(1, "node") == "1 node"
    assert words.many(1204, "job") == "1,204 jobs"
    assert words.memory(512) == "512 MiB"
    assert words.memory(262144) == "256 GiB"
