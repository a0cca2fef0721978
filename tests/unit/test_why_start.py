"""When a job may start: after those that run and those ahead, when its quota has room; and how sure that is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from aistation_slurm.jobs.why.ahead import ahead_of, in_line
from aistation_slurm.jobs.why.limits import in_the_way, limits_of
from aistation_slurm.jobs.why.look import dependency_ids
from aistation_slurm.jobs.why.plan import Plan
from aistation_slurm.jobs.why.room import room_of
from aistation_slurm.jobs.why.start import estimate, expected, limits_used_up, room_in
from aistation_slurm.slurm.model import Asked, PriorityFactors, Reservation
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import Gres
from tests.unit.why_parts import HOUR, NOON, a_job, a_look, a_node, a_shape, rules, running

TWO = {"gres": (Gres(name="gpu", count=2),)}


def test_a_job_fits_at_once_where_nodes_are_free() -> None:
    assert estimate(a_shape(), Plan(a_look())) == NOON


def test_a_job_waits_for_the_first_node_that_has_enough() -> None:
    busy = (running(1, node="v100-01", ends=2 * HOUR), running(2, node="v100-02", ends=HOUR))
    room = room_of(NOON, (a_node("v100-01"), a_node("v100-02")), busy, ())
    place = room.place(a_shape(**TWO))
    assert place
    assert (place.start, place.nodes) == (NOON + HOUR, ("v100-02",))


def test_a_job_of_several_partitions_may_start_in_any_of_them() -> None:
    busy = (running(1, gpus=2),)
    room = room_of(NOON, (a_node(), a_node("p100-01", partitions=("p100",))), busy, ())
    place = room.place(a_shape(partition="v100,p100"))
    assert place
    assert place.nodes == ("p100-01",)


def test_a_gang_waits_for_all_of_its_nodes() -> None:
    busy = (running(1, node="v100-01", gpus=2, ends=2 * HOUR), running(2, node="v100-02", gpus=2, ends=HOUR))
    room = room_of(NOON, (a_node("v100-01"), a_node("v100-02")), busy, ())
    place = room.place(a_shape(nodes=2, tasks=2))
    assert place
    assert place.start == NOON + 2 * HOUR


def test_a_job_does_not_start_where_it_would_still_run_when_one_ahead_is_to_start() -> None:
    busy = (running(1, gpus=1, ends=HOUR),)
    room = room_of(NOON, (a_node(),), busy, ())
    first = room.place(a_shape(**TWO))
    assert first
    assert first.start == NOON + HOUR
    room.take(a_shape(**TWO), first)
    assert room.hole(a_shape(time_limit=3 * HOUR)) == HOUR
    short, long = room.place(a_shape(time_limit=HOUR)), room.place(a_shape(time_limit=2 * HOUR))
    assert short
    assert short.start == NOON
    assert long
    assert long.start == NOON + 2 * HOUR


@pytest.mark.parametrize("state", ["DOWN", "IDLE+DRAIN", "IDLE*"])
def test_a_node_that_is_away_is_no_place(state: str) -> None:
    assert estimate(a_shape(), Plan(a_look(nodes=(a_node(state=state),)))) is None


def test_a_reservation_of_others_keeps_its_nodes_and_its_own_is_where_a_job_belongs() -> None:
    kept = Reservation(name="kept", nodes="v100-01", start_time=NOON + HOUR / 2, end_time=NOON + 3 * HOUR)
    look = a_look(nodes=(a_node(),), reservations=(kept,))
    assert estimate(a_shape(), Plan(look)) == NOON + 3 * HOUR
    assert estimate(a_shape(time_limit=HOUR / 2), Plan(look)) == NOON
    now = replace(kept, start_time=NOON - HOUR)
    assert estimate(a_shape(reservation="kept"), Plan(a_look(nodes=(a_node(),), reservations=(now,)))) == NOON


def test_shares_take_a_gpu_from_those_who_want_whole_ones() -> None:
    node = a_node(gres=(Gres(name="gpu", type="v100", count=2), Gres(name="shard", count=8)))
    sharing = (running(1, gpus=0, tres={"cpu": 1, "gres/shard": 1}),)
    room = room_of(NOON, (node,), sharing, ())
    whole, shares = room.place(a_shape(**TWO)), room.place(a_shape(gres=(Gres(name="shard", count=7),)))
    assert whole
    assert whole.start == NOON + HOUR
    assert shares
    assert shares.start == NOON


def test_a_quota_has_room_when_enough_of_what_is_held_has_ended() -> None:
    held = (running(1, gpus=1, ends=HOUR), running(2, gpus=3, ends=2 * HOUR, node="v100-02"))
    look = a_look(a_job(gpus=2, reason="QOSMaxGRESPerUser"), rules=rules(used=4, jobs=held))
    start = expected(Plan(look))
    assert (start.at, start.by) == (NOON + 2 * HOUR, "our estimate")


def test_a_quota_that_is_held_by_a_job_without_a_time_limit_tells_no_start() -> None:
    look = a_look(a_job(reason="QOSMaxGRESPerUser"), rules=rules(used=4, jobs=(running(1, gpus=4, ends=None),)))
    assert expected(Plan(look)).at is None
    assert expected(Plan(look)).sure == "not known"


def test_slurm_s_plan_counts_where_there_is_one() -> None:
    start = expected(Plan(a_look(a_job(start_time=NOON + HOUR))))
    assert (start.at, start.by, start.sure) == (NOON + HOUR, "Slurm's plan", "sure")


def test_a_plan_is_less_sure_with_others_ahead_and_a_guess_where_something_has_no_time_limit() -> None:
    job, other = a_job(start_time=NOON + HOUR), a_job(6)
    assert expected(Plan(a_look(job, queue=(other, job)))).sure == "fairly sure"
    endless = rules(jobs=(running(1, ends=None, time_limit=None),))
    start = expected(Plan(a_look(job, rules=endless)))
    assert start.sure == "a guess"
    assert "1 jobs that run or are ahead have no time limit" in start.because[0]


def test_how_time_limits_are_used_up_tells_whether_it_may_be_earlier() -> None:
    ended = [running(n, state=JobState.COMPLETED, elapsed=HOUR / 10, time_limit=HOUR) for n in range(8)]
    assert limits_used_up(ended) == 0.1
    assert limits_used_up(ended[:3]) is None
    start = expected(Plan(a_look(a_job(start_time=NOON + HOUR), history=ended)))
    assert start.sure == "fairly sure"
    assert "so it may well be earlier" in start.because


def test_slurm_plans_only_so_deep() -> None:
    job = a_job(start_time=NOON + HOUR)
    queue = (*(a_job(number) for number in range(1, 4)), job)
    shallow = expected(
        Plan(a_look(job, queue=queue, config={"SchedulerParameters": "bf_interval=1,bf_max_job_test=2"}))
    )
    assert any("only 2 deep" in each for each in shallow.because)


def test_who_is_ahead_is_told_by_the_part_of_the_priority() -> None:
    job = a_job(7, priority=100)
    queue = (
        a_job(8, priority=900, user="bob"), a_job(5, priority=100), a_job(9, priority=100), a_job(4, priority=50), job,
        a_job(3, priority=900, reason="QOSMaxGRESPerUser"), a_job(2, priority=999, partition="p100"),
    )  # fmt: skip
    factors = {
        (8, "v100"): PriorityFactors(job_id=8, partition="v100", qos=1000, age=0, nice=100),
        (7, "v100"): PriorityFactors(job_id=7, partition="v100", qos=0, age=100),
    }
    ahead = ahead_of(job, a_look(job, queue=queue, factors=factors))
    assert [each.job.job_id for each in ahead] == [3, 8, 5]
    assert ahead[1].by == "priority 900 to 100, by QOS (+1000)"
    assert ahead[2].by == "the same priority 100, and submitted earlier"
    assert [each.job_id for each in in_line(ahead)] == [8, 5]  # one that waits for its quota lets others by


def test_those_ahead_get_their_places_first() -> None:
    job, first = a_job(7), a_job(6, gpus=2, node_count=1)
    asked = {6: Asked(job_id=6, tres_per_job=(Gres(name="gpu", count=2),), tasks=1)}
    look = a_look(job, queue=(first, job), nodes=(a_node(),), asked=asked)
    assert estimate(a_shape(), Plan(look)) == NOON + HOUR


def test_when_a_limit_has_room_is_not_known_without_its_holders() -> None:
    (limit,) = in_the_way(limits_of(a_shape(), rules(used=4)))
    assert room_in(limit) is None


def test_the_jobs_that_one_depends_on_are_found() -> None:
    assert dependency_ids("afterok:12(unfulfilled),afterany:13_*(unfulfilled)?after:14+5(failed),singleton") == [
        12,
        13,
        14,
    ]
    assert dependency_ids("") == []


def test_a_plan_over_too_many_nodes_gives_up_instead_of_taking_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aistation_slurm.jobs.why.room.MOST_TRIES", 1000)
    nodes = tuple(a_node(f"v100-{number:02}") for number in range(50))
    busy = tuple(running(n, node=f"v100-{n:02}", gpus=2, ends=timedelta(minutes=n + 1)) for n in range(50))
    room = room_of(NOON, nodes, busy, ())
    assert room.place(a_shape(nodes=50, tasks=50)) is None
    assert room.is_worn_out
    assert room.tries <= 1050


def test_behind_more_jobs_than_are_planned_no_start_is_told() -> None:
    job = a_job(999)
    look = a_look(job, queue=(*(a_job(number) for number in range(1, 103)), job))
    start = expected(Plan(look))
    assert (start.at, start.because) == (None, ("102 jobs go first, and only 100 are planned here",))
