"""What a job of a lost node needs, moment by moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.faults.follow import KICKS, Kick, LetGo, RunsAgain, Wait, next_step
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.tables import LostJob

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def a_job(state="PENDING", *, reason="BeginTime", restarts=1, eligible=121, nodes=""):
    return Job(
        job_id=7,
        name="t",
        user="ann",
        state=JobState.parse(state),
        reason=reason,
        restart_count=restarts,
        eligible_time=after(eligible),
        nodes=nodes,
    )


def step(job, *, at=0.5, kicks=0, kicked=None, nodes="n1"):
    lost = LostJob(incident_id=1, job_id=7, nodes=nodes, restart_count=0, kicks=kicks)
    lost.kicked_at = None if kicked is None else after(kicked)
    return next_step(lost, job, node="n1", down_at=NOON, now=after(at))


def test_a_gang_whose_survivors_have_not_left_is_waited_for():
    assert step(a_job("COMPLETING", reason="NodeDown")) == Wait("leaving")


def test_a_job_that_has_left_and_only_waits_for_its_time_is_started_now():
    assert step(a_job()) == Kick(7)


def test_a_gang_is_not_started_in_the_second_in_which_its_survivors_were_told_to_end_it():
    assert step(a_job(), at=0.9, nodes="n[1-2]") == Wait("waiting")
    assert step(a_job(), at=1.2, nodes="n[1-2]") == Kick(7)


def test_a_lift_is_given_a_moment_to_stick():
    assert step(a_job(), at=0.9, kicks=1, kicked=0.5) == Wait("waiting")


def test_a_lift_that_did_not_stick_is_done_again():
    assert step(a_job(), at=1.1, kicks=1, kicked=0.5) == Kick(7)


def test_a_lift_that_stuck_is_not_done_again_though_slurm_still_says_the_old_reason():
    assert step(a_job(eligible=1), at=1.6, kicks=1, kicked=0.5) == Wait("waiting")


def test_a_lift_that_never_sticks_is_given_up():
    assert step(a_job(), at=60, kicks=KICKS, kicked=10) == LetGo(7, "its wait could not be lifted in 40 attempts")


def test_a_wait_that_the_user_asked_for_is_the_user_s():
    assert step(a_job(eligible=86_400)) == Wait("waiting")


def test_a_job_that_waits_for_free_nodes_is_left_to_slurm():
    assert step(a_job(reason="Resources", eligible=0), at=30) == Wait("waiting")
    assert step(a_job(reason="Resources", eligible=0), at=601) == LetGo(7, "waits (Resources)")


def test_a_held_job_is_left_alone():
    assert step(a_job(reason="JobHeldUser")) == LetGo(7, "is held")


def test_a_job_that_runs_again_is_done():
    assert step(a_job("RUNNING", reason="", nodes="n[3-4]")) == RunsAgain(7, "n[3-4]")


def test_a_job_that_slurm_has_not_given_up_yet_is_waited_for():
    assert step(a_job("RUNNING", reason="", restarts=0, nodes="n[1-2]")) == Wait("leaving")
    late = step(a_job("RUNNING", reason="", restarts=0, nodes="n[1-2]"), at=31)
    assert late == LetGo(7, "Slurm did not give it up")


def test_a_job_that_goes_on_with_fewer_nodes_is_left_alone():
    assert step(a_job("RUNNING", reason="", restarts=0, nodes="n2")) == LetGo(7, "goes on without n1 (--no-kill)")


@pytest.mark.parametrize("state", ["NODE_FAIL", "CANCELLED", "COMPLETED", "TIMEOUT"])
def test_a_job_that_is_over_stays_over(state):
    assert step(a_job(state)) == LetGo(7, f"ended as {state}")


def test_a_job_that_slurm_forgot_is_let_go():
    assert step(None) == LetGo(7, "Slurm has forgotten it")


def test_each_step_says_itself_in_one_line():
    assert [str(each) for each in (Kick(7), RunsAgain(7, "n3"), LetGo(7, "is held"))] == [
        "start job 7 now",
        "job 7 runs again on n3",
        "job 7: is held",
    ]
