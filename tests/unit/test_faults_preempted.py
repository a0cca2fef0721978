"""Which waits are lifted: those of preempted jobs that have left their nodes, and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from aistation_slurm.errors import SlurmUnreachable
from aistation_slurm.faults.policy import Policy
from aistation_slurm.faults.preempted import (
    Preempted,
    requeue_wait,
    requeued,
    waits_as_slurm_said,
    was_preempted,
)
from aistation_slurm.faults.tools import Tools
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.audit import newest
from aistation_slurm.store.engine import open_store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAIT = timedelta(seconds=121)
VICTIM = Job(
    job_id=7, name="t", user="ann", state=JobState.PENDING, reason="BeginTime", restart_count=1, submit_time=NOON,
    eligible_time=NOON + WAIT,
)  # fmt: skip
RUN = replace(VICTIM, state=JobState.PREEMPTED, submit_time=NOON - timedelta(hours=1))


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def test_a_victim_is_not_started_in_the_second_in_which_its_nodes_were_told_to_end_it():
    assert requeued([VICTIM], after(2.1)) == []
    assert requeued([VICTIM], after(2.2)) == [VICTIM]


@pytest.mark.parametrize(
    "fields",
    [
        {"restart_count": 0},
        {"reason": "Resources"},
        {"state": JobState.COMPLETING},
        {"eligible_time": after(3)},
        {"submit_time": None},
    ],
    ids=str,
)
def test_what_has_not_run_or_waits_for_something_else_is_left_alone(fields):
    assert requeued([replace(VICTIM, **fields)], after(3)) == []


def test_a_begin_time_that_somebody_chose_is_kept():
    assert waits_as_slurm_said(VICTIM, WAIT)
    assert waits_as_slurm_said(replace(VICTIM, submit_time=after(1)), WAIT), (
        "slurmctld adds one to tell two records apart"
    )
    assert not waits_as_slurm_said(replace(VICTIM, eligible_time=after(60)), WAIT)
    assert not waits_as_slurm_said(replace(VICTIM, eligible_time=after(600)), WAIT)


@pytest.mark.parametrize(
    ("info", "seconds"), [("", 121), ("socket=/run/m,cred_expire=30", 31), ("cred_expire=2,socket=/run/m", 121)]
)
def test_the_wait_is_what_this_slurm_makes_it(info, seconds):
    assert requeue_wait({"AuthInfo": info}) == timedelta(seconds=seconds)


def test_only_the_last_run_tells_whether_it_was_preempted():
    earlier = replace(RUN, submit_time=after(-9000))
    assert was_preempted(VICTIM, [replace(earlier, state=JobState.NODE_FAIL), RUN, VICTIM]) is True
    assert was_preempted(VICTIM, [earlier, replace(RUN, state=JobState.NODE_FAIL)]) is False
    assert was_preempted(VICTIM, [replace(RUN, state=JobState.RUNNING)]) is None, "slurmdbd is behind"
    assert was_preempted(VICTIM, [VICTIM, replace(RUN, job_id=8)]) is None


class Lab:
    """The duty on a Slurm that answers what it is given."""

    def __init__(self, engine, **policy):
        self.now, self.jobs, self.runs, self.told, self.asked, self.away = after(3), [VICTIM], [RUN], [], [], False
        read = SimpleNamespace(jobs=self._jobs, history=self._history, config=dict)
        slurm = SimpleNamespace(read=read, write=SimpleNamespace(update_job=self._update))
        self.engine = engine
        tools = Tools(
            slurm=slurm, engine=engine, run_dir=None, policy=Policy(**policy), actor="lab", clock=lambda: self.now
        )  # fmt: skip
        self.duty = Preempted(tools)

    def round(self):
        self.duty._rest_until = 0.0
        return self.duty.round()

    def _jobs(self):
        if self.away:
            raise SlurmUnreachable("nobody answers")
        return self.jobs

    def _history(self, *, job_ids, duplicates):
        self.asked += job_ids
        return self.runs

    def _update(self, job, **changes):
        self.told.append((job.job_id, changes))


@pytest.fixture
def engine(tmp_path):
    engine = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    yield engine
    engine.dispose()


def test_a_preempted_job_is_started_now_and_the_audit_remembers_it(engine):
    lab = Lab(engine)
    line = "start job 7 now: it was preempted, and waits for nothing else"
    assert lab.round() == [line]
    assert lab.told == [(7, {"start_now": True})]
    assert [(each.actor, each.what) for each in newest(engine)] == [("lab", line)]


def test_a_job_that_was_requeued_for_another_reason_keeps_its_wait_and_slurmdbd_is_asked_once(engine):
    lab = Lab(engine)
    lab.runs = [replace(RUN, state=JobState.NODE_FAIL)]
    assert (lab.round(), lab.round(), lab.told, lab.asked) == ([], [], [], [7])


def test_where_slurmdbd_is_behind_it_is_asked_again(engine):
    lab = Lab(engine)
    lab.runs = [replace(RUN, state=JobState.RUNNING)]
    assert lab.round() == []
    lab.runs = [RUN]
    assert len(lab.round()) == 1


def test_a_dry_run_says_what_it_would_do_and_does_nothing(engine):
    lab = Lab(engine, dry_run=True)
    assert lab.round() == ["would start job 7 now: it was preempted, and waits for nothing else"]
    assert (lab.told, newest(engine)) == ([], [])


def test_switched_off_it_asks_nothing_and_without_slurm_it_does_nothing(engine):
    off = Lab(engine, enabled=False)
    off.away = True
    assert off.round() == []
    lab = Lab(engine)
    lab.away = True
    assert lab.round() == ["nothing done: nobody answers"]
    assert lab.told == []
