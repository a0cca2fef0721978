"""Which trainings are started again: the pure decision, table by table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.faults.resume import (
    STALE,
    TRIES,
    Ended,
    HoldBack,
    Leave,
    Past,
    Restart,
    ResumePolicy,
    Sight,
    Stop,
    decide,
)
from aistation_slurm.jobs.judge import Ending, judge, load_table
from aistation_slurm.jobs.tag import Tag
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.states import JobState, NodeState

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = ResumePolicy()
FOLDER = Path("/home/ann/t-7")


def ended(
    state: JobState = JobState.TIMEOUT, *, step: int | None = 40, saved: float | None = 60, restart: int = 0,
    resume: int | None = 5, log: str | None = "", code: int = 0, blind: str = "", ago: float = 30, job_id: int = 7,
    forgotten: bool = False, nodes: str = "v100-01", count: int = 1,
) -> Ended:  # fmt: skip
    """A job of ann's that ended half a minute ago; `saved` is how many seconds ago it saved a checkpoint."""
    end = NOON - timedelta(seconds=ago)
    job = Job(
        job_id=job_id, name="t", user="ann", partition="v100", state=state, restart_count=restart, nodes=nodes,
        node_count=count, start_time=NOON - timedelta(hours=1), end_time=end,
    )  # fmt: skip
    saved_at = None if saved is None else NOON - timedelta(seconds=saved)
    sight = Sight(blind=blind, folder=FOLDER, step=step, saved_at=saved_at, log=log)
    verdict = judge(Ending(state, code, log_tail=log or ""), load_table())
    return Ended(job=job, tag=Tag("a1", resume), verdict=verdict, sight=sight, is_forgotten=forgotten)


def past(restart: int = 0, *, step: int | None = 40, **fields: object) -> Past:
    whole = Past(job_id=7, submission="a1", restart_count=restart, action="restart", step=step, at=NOON - STALE)
    return replace(whole, **fields)


def one(job: Ended, *history: Past, policy: ResumePolicy = POLICY, nodes: tuple[Node, ...] = ()):
    steps = decide([job], history, policy, NOON, nodes=nodes)
    assert len(steps) <= 1
    return steps[0] if steps else None


@pytest.mark.parametrize("state", [JobState.TIMEOUT, JobState.PREEMPTED, JobState.NODE_FAIL, JobState.BOOT_FAIL])
def test_what_slurm_ended_goes_on_from_its_checkpoint_at_once(state):
    step = one(ended(state))
    assert isinstance(step, Restart)
    assert step.lift
    assert str(step).startswith("start job 7 t of ann again from step 40: ")
    assert str(step).endswith("(1 of 5)")


@pytest.mark.parametrize(
    "log", ["ModuleNotFoundError: No module named 'x'", "torch.OutOfMemoryError: CUDA out of memory"]
)
def test_a_users_own_fault_is_never_tried_again_and_is_told(log):
    step = one(ended(JobState.FAILED, code=1, log=log))
    assert isinstance(step, Stop)
    assert str(step).startswith("job 7 t of ann is not started again: ")


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.COMPLETED, JobState.RUNNING, JobState.PENDING])
def test_what_was_cancelled_ended_well_or_goes_on_is_nobodys_business(state):
    assert one(ended(state)) is None


def test_what_nobody_asked_to_be_started_again_is_left_alone():
    assert one(ended(resume=None)) is None
    assert one(ended(resume=0)) is None


def test_a_site_may_switch_it_off_and_bounds_what_users_ask_for():
    assert one(ended(), policy=ResumePolicy(max_restarts=0)) is None
    step = one(ended(resume=100, restart=2, step=30), past(0), past(1, step=20), policy=ResumePolicy(max_restarts=2))
    assert isinstance(step, Stop)
    assert "it was started again 2 times, and 2 is its limit" in step.why


def test_a_training_that_requeued_itself_at_each_time_limit_has_all_its_restarts_left():
    step = one(ended(restart=40))
    assert isinstance(step, Restart)
    assert step.number == 1


def test_after_as_many_restarts_as_were_asked_for_it_stays_ended():
    fifth = [past(restart, step=10 * restart) for restart in range(5)]
    assert isinstance(one(ended(restart=4, step=45), *fifth[:4]), Restart)
    assert isinstance(one(ended(restart=5, step=55), *fifth), Stop)


def test_a_job_that_has_just_ended_is_left_to_slurm():
    assert one(ended(ago=4.9)) is None
    assert isinstance(one(ended(ago=5)), Restart)


def test_one_run_without_progress_gets_another_try_which_waits_and_the_second_does_not():
    first = one(ended(restart=1), past(0))
    assert isinstance(first, Restart)
    assert not first.progressed
    assert not first.lift
    second = one(ended(restart=2), past(0), past(1, progressed=False))
    assert isinstance(second, Stop)
    assert "it came no further than the run before, twice in a row" in second.why


def test_progress_in_between_starts_the_count_anew():
    assert isinstance(one(ended(restart=2, step=41), past(0), past(1, progressed=False)), Restart)
    assert isinstance(one(ended(restart=2, step=41), past(0), past(1, step=41)), Restart)


def test_being_preempted_again_and_again_is_no_lack_of_progress():
    assert isinstance(one(ended(JobState.PREEMPTED, restart=2), past(0), past(1, progressed=False)), Restart)
    runs = (past(0), past(1, progressed=False, rule="preempted"))
    assert isinstance(one(ended(restart=2), *runs), Restart)


def test_a_time_limit_without_any_checkpoint_would_only_be_reached_again():
    step = one(ended(step=None, saved=None))
    assert isinstance(step, Stop)
    assert "has saved no checkpoint" in step.why
    assert isinstance(one(ended(JobState.NODE_FAIL, step=None, saved=None)), Restart)


def test_checkpoints_of_another_form_count_by_when_they_were_written():
    assert one(ended(step=None, saved=60)).progressed
    assert not one(ended(step=None, saved=7200)).progressed


@pytest.mark.parametrize("restart", [0, 1])
def test_each_run_is_decided_once(restart):
    just_now = NOON - timedelta(seconds=119)
    assert one(ended(restart=restart), past(restart, at=just_now)) is None
    assert one(ended(restart=restart), past(restart, action="stop", at=NOON - timedelta(days=1))) is None


def test_an_order_that_was_never_given_is_given_again_but_not_for_ever():
    assert isinstance(one(ended(), past(0)), Restart)
    step = one(ended(), past(0, tries=TRIES))
    assert isinstance(step, Stop)
    assert f"Slurm did not take it back in {TRIES} attempts" in step.why


def test_another_job_of_the_same_number_has_a_history_of_its_own():
    assert isinstance(one(ended(), past(0, submission="b2", action="stop")), Restart)


def test_what_can_not_be_told_is_tried_a_few_times():
    failed = ended(JobState.FAILED, code=1, restart=2, step=60)
    runs = [past(number, step=number, whose="unknown") for number in range(2)]
    assert isinstance(one(failed, runs[0]), Restart)
    step = one(failed, *runs)
    assert isinstance(step, Stop)
    assert "that was tried again 2 times already" in step.why


def test_where_we_can_not_see_nothing_is_done_until_slurm_is_about_to_forget_it():
    step = one(ended(blind="Permission denied: '/home/ann'"))
    assert isinstance(step, Leave)
    assert str(step) == "leave job 7 t of ann: Permission denied: '/home/ann'"
    late = one(ended(blind="Permission denied: '/home/ann'", ago=240))
    assert isinstance(late, Stop)
    assert "how far it was can't be seen" in late.why


def test_a_log_that_may_not_be_read_is_needed_only_where_the_state_does_not_say_it_all():
    assert isinstance(one(ended(JobState.FAILED, code=1, log=None)), Leave)
    assert isinstance(one(ended(JobState.NODE_FAIL, log=None)), Restart)
    assert isinstance(one(ended(JobState.OUT_OF_MEMORY, log=None, blind="no")), Stop)


def test_what_slurm_has_forgotten_is_told_with_the_one_command():
    step = one(ended(JobState.NODE_FAIL, forgotten=True, ago=86400))
    assert isinstance(step, Stop)
    assert step.why == "one of its nodes failed, and Slurm has forgotten it by now"
    assert step.ended.again == "aistation job submit --again /home/ann/t-7"


def test_a_folder_with_spaces_is_quoted_in_the_command_and_without_a_folder_the_job_is_named():
    odd = ended()
    spaced = replace(odd, sight=replace(odd.sight, folder=Path("/home/ann/my runs/t-7")))
    assert spaced.again == "aistation job submit --again '/home/ann/my runs/t-7'"
    assert replace(odd, sight=Sight()).again == "aistation job submit --again 7"


def test_of_an_array_the_command_names_this_member_alone():
    member = ended(JobState.OUT_OF_MEMORY)
    job = replace(member.job, array_job_id=5, array_task="3", work_dir="/home/ann")
    member = replace(member, job=job, sight=replace(member.sight, folder=Path("/home/ann/t-5_3")))
    again = "aistation job submit --again /home/ann/t-5 --array 3 --checkpoint-dir /home/ann/t-5_3/checkpoints"
    assert member.again == again
    assert (
        replace(member, sight=replace(member.sight, is_sweep=True)).again == "aistation job sweep retry 5 --members 3"
    )
    assert str(one(member)).startswith("job 7 t of ann (member 3 of 5) is not started again: ")


def test_many_at_once_are_taken_for_a_fault_of_the_platform():
    steps = decide([ended(job_id=n, ago=100 + n) for n in range(1, 6)], [], ResumePolicy(at_once=3), NOON)
    assert [each.ended.job.job_id for each in steps[:3]] == [5, 4, 3]  # the oldest first
    assert steps[3:] == [HoldBack(2, 3)]
    assert str(steps[3]).startswith("hold back: 2 more jobs ended together than the 3 that are started again")


def test_what_is_only_told_is_not_held_back():
    jobs = [ended(JobState.OUT_OF_MEMORY, job_id=n) for n in range(1, 6)]
    assert len(decide(jobs, [], ResumePolicy(at_once=1), NOON)) == 5


def nodes(*names: str, state: str = "IDLE") -> tuple[Node, ...]:
    return tuple(Node(name=name, state=NodeState.parse(state), partitions=("v100",)) for name in names)


BROKE = {"state": JobState.NODE_FAIL, "restart": 1, "step": 50}


def test_a_node_that_a_job_broke_on_twice_is_excluded_where_others_can_take_its_place():
    assert one(ended(**BROKE), past(0, nodes="v100-01"), nodes=nodes("v100-01", "v100-02")).exclude == "v100-01"
    assert "and no more on v100-01, where it broke twice" in str(
        one(ended(**BROKE), past(0, nodes="v100-01"), nodes=nodes("v100-01", "v100-02"))
    )


@pytest.mark.parametrize(
    ("fields", "earlier", "there"),
    [
        ({}, {"nodes": "v100-02"}, nodes("v100-01", "v100-02")),  # two nodes, once each
        ({}, {"nodes": "v100-01", "rule": "time-limit"}, nodes("v100-01", "v100-02")),  # nothing about the node
        ({"state": JobState.TIMEOUT}, {"nodes": "v100-01"}, nodes("v100-01", "v100-02")),
        ({}, {"nodes": "v100-01"}, nodes("v100-01")),  # there is no other one
        ({}, {"nodes": "v100-01"}, nodes("v100-01") + nodes("v100-02", state="DOWN")),
        ({"nodes": "v100-[01-02]", "count": 2}, {"nodes": "v100-[01-02]"}, nodes("v100-01", "v100-02", "v100-03")),
    ],
)
def test_no_node_is_excluded_without_need_or_where_the_job_could_not_run_then(fields, earlier, there):
    assert one(ended(**{**BROKE, **fields}), past(0, **earlier), nodes=there).exclude == ""
