"""A snapshot becomes the page's context."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.slurm.model import Controller, Job, Limits, Node, Partition, Qos
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.web import contexts
from aistation_slurm.web.overview import (
    NO_GROUP,
    controllers_in_words,
    job_row,
    jobs_in_order,
    overview,
    recovery_card,
    teams,
    totals,
)
from aistation_slurm.web.snapshots import Recovery, Snapshot

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_node(
    name: str, state: str = "IDLE", *, used: int = 0, groups: tuple[str, ...] = ("v100",), reason: str = ""
) -> Node:
    return Node(
        name=name,
        state=NodeState.parse(state),
        reason=reason,
        cpus=64,
        gres=read_gres("gpu:v100:8"),
        gres_used=read_gres(f"gpu:v100:{used}"),
        partitions=groups,
    )


def a_job(job_id: int, state: JobState = JobState.RUNNING, *, gpus: int = 8, **more: object) -> Job:
    given: dict[str, object] = {"name": "train", "user": "ann", "account": "face", "partition": "v100"}
    return Job(job_id=job_id, state=state, tres={"gres/gpu": gpus}, **(given | more))  # type: ignore[arg-type]


def a_snapshot(**more: object) -> Snapshot:
    given: dict[str, object] = {
        "taken_at": NOON,
        "cluster": "station",
        "controllers": (Controller(host="ctl1", is_up=True),),
        "partitions": (Partition(name="v100", qos="group-v100"),),
        "nodes": (a_node("v100-01", "ALLOCATED", used=8), a_node("v100-02")),
        "jobs": (a_job(1, nodes="v100-01"),),
    }
    return Snapshot(**(given | more))  # type: ignore[arg-type]


def test_the_totals_count_each_node_once_though_two_groups_have_it() -> None:
    shared = a_node("n1", "MIXED", used=3, groups=("a", "b"))
    page = overview(a_snapshot(nodes=(shared,), partitions=(Partition(name="a"), Partition(name="b"))), NOON)
    assert (page.totals.gpus, page.totals.gpus_used, page.totals.nodes) == (8, 3, 1)
    assert [card.name for card in page.groups] == ["a", "b"]


def test_the_keys_of_a_node_in_two_groups_differ() -> None:
    shared = a_node("n1", groups=("a", "b"))
    page = overview(a_snapshot(nodes=(shared,), partitions=(Partition(name="a"), Partition(name="b"))), NOON)
    assert len({tile.key for card in page.groups for tile in card.tiles}) == 2


def test_gpus_of_a_node_that_is_down_are_neither_used_nor_free() -> None:
    figures = totals([a_node("n1", "DOWN"), a_node("n2", "MIXED", used=2)], [])
    assert (figures.gpus, figures.gpus_used, figures.gpus_lost, figures.nodes_usable) == (16, 2, 8, 1)


def test_waiting_jobs_are_summed_with_what_they_ask_for() -> None:
    waiting = [
        a_job(1, JobState.PENDING, gpus=16, submit_time=NOON - timedelta(hours=2)),
        a_job(2, JobState.PENDING, gpus=4, submit_time=NOON - timedelta(hours=1)),
    ]
    figures = totals([], waiting)
    assert (figures.waiting, figures.waiting_gpus, figures.waiting_since) == (2, 20, NOON - timedelta(hours=2))


def test_a_group_says_its_quota_its_longest_time_and_who_may() -> None:
    limits = Limits(max_tres_per_user={"gres/gpu": 16}, grp_tres={"gres/gpu": 64})
    group = Partition(name="v100", qos="group-v100", max_time=timedelta(days=2), allow_accounts=("robot", "face"))
    page = overview(a_snapshot(partitions=(group,), qos=(Qos(name="group-v100", limits=limits),)), NOON)
    assert page.groups[0].facts == (
        "quota 16 GPUs per user", "quota 64 GPUs in all", "at most 2 d", "for robot, face",
    )  # fmt: skip


def test_a_job_that_waits_for_two_groups_waits_in_both_and_counts_once() -> None:
    both = (Partition(name="a"), Partition(name="b"))
    nodes = (a_node("n1", groups=("a",)), a_node("n2", groups=("b",)))
    page = overview(a_snapshot(partitions=both, nodes=nodes, jobs=(a_job(1, JobState.PENDING, partition="a,b"),)), NOON)
    assert [card.waiting for card in page.groups] == [1, 1]
    assert page.totals.waiting == 1


def test_a_group_without_nodes_is_not_shown_and_nodes_without_a_group_are() -> None:
    page = overview(a_snapshot(partitions=(Partition(name="site"),), nodes=(a_node("n1", groups=()),)), NOON)
    assert [card.name for card in page.groups] == [NO_GROUP]


@pytest.mark.parametrize(("state", "words"), [("UP", ""), ("DRAIN", "takes no new jobs"), ("INACTIVE", "closed")])
def test_a_closed_group_says_so(state: str, words: str) -> None:
    card = overview(a_snapshot(partitions=(Partition(name="v100", state=state),)), NOON).groups[0]
    assert (card.is_open, card.closed_words) == (not words, words)


def test_tiles_leave_out_what_all_names_begin_with_but_never_a_digit_that_tells_apart() -> None:
    nodes = tuple(a_node(f"v100-{number}") for number in ("01", "02", "10"))
    card = overview(a_snapshot(nodes=nodes), NOON).groups[0]
    assert (card.prefix, [tile.label for tile in card.tiles]) == ("v100-", ["01", "02", "10"])


def test_a_tile_of_a_lone_node_bears_its_whole_name() -> None:
    assert overview(a_snapshot(nodes=(a_node("gpu01"),)), NOON).groups[0].tiles[0].label == "gpu01"


def test_a_node_that_recovery_set_aside_says_so_and_why() -> None:
    node = a_node("v100-01", "DOWN", reason="aistation: no heartbeat for 3.1 s, slurmd does not answer")
    card = overview(a_snapshot(nodes=(node, a_node("v100-02"))), NOON).groups[0]
    tile = card.troubles[0]
    assert (tile.is_ours, tile.reason) == (True, "no heartbeat for 3.1 s, slurmd does not answer")


def test_a_tile_names_the_jobs_on_its_node() -> None:
    jobs = (a_job(7, nodes="v100-[01-02]", node_count=2), a_job(8, JobState.PENDING))
    card = overview(a_snapshot(jobs=jobs), NOON).groups[0]
    assert [tile.details[-1] for tile in card.tiles] == ["job 7", "job 7"]


def test_running_jobs_come_first_then_the_next_in_line_then_what_is_just_over() -> None:
    jobs = [
        a_job(1, JobState.PENDING, priority=5),
        a_job(2, JobState.COMPLETED, end_time=NOON - timedelta(minutes=1)),
        a_job(3, start_time=NOON - timedelta(hours=2)),
        a_job(4, JobState.PENDING, priority=9),
        a_job(5, start_time=NOON - timedelta(hours=1)),
        a_job(6, JobState.FAILED, end_time=NOON - timedelta(minutes=6)),
    ]
    assert [job.job_id for job in jobs_in_order(jobs, NOON)] == [5, 3, 4, 1, 2]


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    page = overview(a_snapshot(jobs=tuple(a_job(number) for number in range(1, 31))), NOON, jobs_shown=10)
    assert (len(page.jobs), page.jobs_left_out, page.totals.running) == (10, 20, 30)


def test_a_running_job_counts_from_its_start_a_waiting_one_from_its_submission() -> None:
    submitted, started = NOON - timedelta(hours=2), NOON - timedelta(hours=1)
    assert job_row(a_job(1, submit_time=submitted, start_time=started), NOON).since == started
    waiting = job_row(a_job(1, JobState.PENDING, submit_time=submitted, start_time=NOON), NOON)
    assert (waiting.since, waiting.expected) == (submitted, NOON)


def test_an_expected_start_next_year_is_not_told() -> None:
    assert job_row(a_job(1, JobState.PENDING, start_time=NOON + timedelta(days=364)), NOON).expected is None


def test_a_node_that_only_a_hidden_partition_has_is_shown_without_a_group() -> None:
    page = overview(a_snapshot(nodes=(a_node("n1", groups=("hidden",)),)), NOON)
    assert [card.name for card in page.groups] == [NO_GROUP]


def test_a_member_of_an_array_has_squeues_id() -> None:
    assert job_row(a_job(9, array_job_id=7, array_task="[3-5%2]"), NOON).key == "7_[3-5%2]"


def test_a_share_of_a_gpu_is_called_a_share() -> None:
    assert job_row(replace(a_job(1), tres={"gres/shard": 2}), NOON).gpus == "2 shares"


def test_an_evil_name_is_shown_without_its_control_characters() -> None:
    assert job_row(a_job(1, name="a\x1b[31m\nb\u202e"), NOON).name == "a·[31m·b·"


def test_teams_are_in_order_of_the_gpus_they_have() -> None:
    jobs = (
        a_job(1, gpus=2, account="robot"),
        a_job(2, gpus=8),
        a_job(3, JobState.PENDING),
        a_job(4, JobState.COMPLETED, account="old"),
    )
    assert [(row.name, row.gpus, row.waiting) for row in teams(jobs)] == [("face", 8, 1), ("robot", 2, 0)]


def test_a_recovery_tells_its_steps_from_the_last_sign_of_life() -> None:
    steps = (
        ("last heartbeat", NOON),
        ("marked down", NOON + timedelta(seconds=3.1)),
        ("running again", NOON + timedelta(seconds=3.9)),
    )
    card = recovery_card(
        Recovery(node="n1", what="gone", at=NOON, job_ids=(1, 2), steps=steps, recovered_in=timedelta(seconds=3.9))
    )
    assert (card.result, card.jobs, card.is_over) == ("running again after 3.9 s", "jobs 1, 2", True)
    assert [step.after for step in card.steps] == ["+0.0 s", "+3.1 s", "+3.9 s"]


def test_a_recovery_that_is_not_over_says_so() -> None:
    assert recovery_card(Recovery(node="n1", what="gone", at=NOON, job_ids=(1,))).result == "under way"
    assert recovery_card(Recovery(node="n1", what="gone", at=NOON)).is_over


def test_a_recovered_job_that_finds_no_room_says_so() -> None:
    lost = Recovery(node="n1", what="gone", at=NOON, job_ids=(1,))
    assert recovery_card(lost, [a_job(1, JobState.PENDING, reason="Resources")]).result == "waits for free GPUs"
    assert recovery_card(lost, [a_job(1, JobState.PENDING, reason="BeginTime")]).result == "under way"
    assert recovery_card(lost, [a_job(2, JobState.PENDING, reason="Resources")]).result == "under way"


def test_the_controllers_are_told_in_words() -> None:
    down, backup = Controller(host="c1", is_up=False), Controller(host="c2", is_up=True, is_primary=False)
    assert controllers_in_words([Controller(host="c1", is_up=True), backup]) == "slurmctld answers"
    assert controllers_in_words([down, backup]) == "the backup c2 answers"
    assert controllers_in_words([down]) == "slurmctld does not answer"


def test_the_same_state_a_second_later_makes_the_same_page() -> None:
    first = overview(a_snapshot(), NOON)
    later = overview(a_snapshot(taken_at=NOON + timedelta(seconds=1)), NOON + timedelta(seconds=1))
    assert first == later


def test_a_stale_snapshot_makes_another_page() -> None:
    assert overview(a_snapshot(), NOON) != overview(a_snapshot(), NOON + timedelta(minutes=1))


def test_every_field_of_every_context_says_what_it_is() -> None:
    classes = [each for each in vars(contexts).values() if isinstance(each, type) and is_dataclass(each)]
    assert len(classes) > 5
    assert [
        f"{each.__name__}.{one.name}" for each in classes for one in fields(each) if not one.metadata.get("help")
    ] == []
