"""Which jobs are listed, how arrays are folded, and how a job is named; Slurm is a stand-in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm import progress
from aistation_slurm.errors import RequestError, UnknownToSlurm
from aistation_slurm.jobs.listing import Wanted, headline, lines, since_of, training_of, trainings
from aistation_slurm.jobs.named import JobName, find_job, find_jobs, has_task, read_job_name, shown_id
from aistation_slurm.jobs.pace import pace_of
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.states import JobState
from tests.unit.watching import NOON, FakeReader, a_job, a_member, a_slurm

RUNNING, PENDING, DONE = JobState.RUNNING, JobState.PENDING, JobState.COMPLETED


def ids(reader: FakeReader, **wanted: object) -> list[int]:
    return [each.job.job_id for each in trainings(a_slurm(reader), Wanted(**wanted))]  # type: ignore[arg-type]


# -- how a job is named -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [("12", JobName(12)), ("12_3", JobName(12, task=3)), ("12+1", JobName(12, offset=1)), (" 7 ", JobName(7))],
)
def test_a_job_is_named_as_slurm_prints_it(text, name):
    assert read_job_name(text) == name
    assert str(name) == text.strip()


@pytest.mark.parametrize("text", ["", "0", "abc", "12_", "12_[1-3]", "12;rm", "-1", "12.0", "1" * 30])
def test_what_is_no_job_is_refused_with_how_one_is_named(text):
    with pytest.raises(RequestError, match="is not the id of a job") as error:
        read_job_name(text)
    assert "1234_5" in error.value.hint


@pytest.mark.parametrize(
    ("tasks", "task", "is_in"),
    [("7", 7, True), ("[4-9%2]", 5, True), ("[4-9%2]", 3, False), ("[0-8:4,11]", 4, True), ("[0-8:4,11]", 5, False),
     ("[0-8:4,11]", 11, True), ("", 0, False), ("...", 1, False)],
)  # fmt: skip
def test_a_member_that_waits_with_others_is_found_among_them(tasks, task, is_in):
    assert has_task(tasks, task) is is_in


def test_a_member_is_found_whether_it_runs_waits_or_is_forgotten():
    reader = FakeReader(
        held=[a_member("3"), a_member("[4-9%2]", job_id=100, state=PENDING)], past=[a_member("1", state=DONE)]
    )
    assert find_job(a_slurm(reader), JobName(100, task=3)).array_task == "3"
    assert find_job(a_slurm(reader), JobName(100, task=5)).state is PENDING
    assert find_job(a_slurm(reader), JobName(100, task=1)).state is DONE
    with pytest.raises(UnknownToSlurm, match="no job 100_77"):
        find_job(a_slurm(reader), JobName(100, task=77))


def test_an_arrays_own_number_means_all_its_members_and_no_single_one():
    reader = FakeReader(held=[a_member("2", job_id=100), a_member("1")], past=[a_member("0", state=DONE)])
    assert [each.array_task for each in find_jobs(a_slurm(reader), JobName(100))] == ["0", "1", "2"]
    with pytest.raises(RequestError, match="an array of 3 members") as error:
        find_job(a_slurm(reader), JobName(100))
    assert "100_0" in error.value.hint


def test_a_part_of_a_heterogeneous_job_is_named_by_its_place():
    parts = [a_job(job_id=20, het_job_id=20, het_offset=0), a_job(job_id=21, het_job_id=20, het_offset=1)]
    assert find_job(a_slurm(FakeReader(held=parts)), JobName(20, offset=1)).job_id == 21
    assert find_job(a_slurm(FakeReader(held=parts)), JobName(20)).job_id == 20
    assert [shown_id(each) for each in parts] == ["20+0", "20+1"]


# -- which jobs -------------------------------------------------------------------------------------------------------


def test_mine_are_listed_and_everybodys_on_request():
    reader = FakeReader(held=[a_job(job_id=2), a_job(job_id=1, user="bob")])
    assert ids(reader, user="ann") == [2]
    assert ids(reader) == [1, 2]


def test_jobs_are_picked_by_state_group_and_name():
    reader = FakeReader(
        held=[
            a_job(job_id=1, partition="v100", name="resnet-a"),
            a_job(job_id=2, partition="v100,dev", name="bert", state=PENDING),
            a_job(job_id=3, partition="dev", name="resnet-b", state=PENDING),
        ]
    )
    assert ids(reader, states=[PENDING]) == [2, 3]
    assert ids(reader, groups=["dev"]) == [2, 3]
    assert ids(reader, names=["resnet-*"]) == [1, 3]
    assert ids(reader, names=["resnet-*"], states=[PENDING], groups=["dev"]) == [3]


def test_since_brings_back_what_slurmctld_forgot_and_keeps_what_it_knows_better():
    reader = FakeReader(held=[a_job(job_id=2, restart_count=3)], past=[a_job(job_id=1, state=DONE), a_job(job_id=2)])
    found = trainings(a_slurm(reader), Wanted(user="ann", since=NOON))
    assert [(each.job.job_id, each.job.restart_count) for each in found] == [(1, 0), (2, 3)]
    assert reader.asked_of == [{"user": "ann", "since": NOON}]


@pytest.mark.parametrize(
    ("text", "moment"),
    [("90m", NOON - timedelta(minutes=90)), ("3d", NOON - timedelta(days=3)), ("2w", NOON - timedelta(weeks=2)),
     ("2026-11-20T08:00+00:00", datetime(2026, 11, 20, 8, tzinfo=UTC))],
)  # fmt: skip
def test_since_is_a_time_ago_or_a_date(text, moment):
    assert since_of(text, NOON) == moment


@pytest.mark.parametrize("text", ["yesterday", "d", "-3d", "3y", "99999999d", "2026-13-01"])
def test_a_since_that_is_neither_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        since_of(text, NOON)


# -- arrays -----------------------------------------------------------------------------------------------------------


def test_an_array_is_one_line_that_counts_its_members():
    members = [a_member("0", state=DONE), a_member("1", tres={"gres/gpu": 2}), a_member("2", tres={"gres/gpu": 2})]
    waiting = a_member("[3-9:2,20%2]", job_id=100, state=PENDING)
    (line, other) = lines([training_of(each) for each in [*members, waiting, a_job(job_id=500)]])
    assert line.shown_id == "100_[0-3,5,7,9,20]"
    assert line.states == {PENDING: 5, RUNNING: 2, DONE: 1}
    assert line.gpus == 4
    assert line.first.job.state is RUNNING
    assert (other.shown_id, other.is_array) == ("500", False)


def test_an_array_of_which_nothing_started_yet_is_still_an_array():
    (line,) = lines([training_of(a_member("[0-999%10]", job_id=100, state=PENDING))])
    assert (line.shown_id, line.states[PENDING]) == ("100_[0-999]", 1000)


def test_unfolded_each_member_has_a_line():
    found = [training_of(a_member(str(task))) for task in range(3)]
    assert [each.shown_id for each in lines(found, unfolded=True)] == ["100_0", "100_1", "100_2"]


def test_a_member_alone_is_shown_by_its_own_name():
    assert [each.shown_id for each in lines([training_of(a_member("7"))])] == ["100_7"]


# -- how far ----------------------------------------------------------------------------------------------------------


def test_a_training_says_how_far_it_is(tmp_path: Path):
    folder = tmp_path / "train-12"
    folder.mkdir()
    progress.report(40, 200, path=folder / progress.FILE, loss=0.5)
    found = training_of(a_job(work_dir=str(tmp_path), nodes="v-[01-02]"))
    assert (found.done, found.share, found.where, found.run_dir) == ("40/200", 0.2, "v-[01-02]", folder)


def test_a_job_that_waits_says_why_in_words_and_in_slurms_own():
    found = training_of(a_job(state=PENDING, reason="Priority"))
    assert (found.done, found.run_dir) == ("", None)
    assert found.where.endswith(" (Priority)")
    assert len(found.where) > len(" (Priority)")


def test_a_job_that_never_ran_is_not_looked_up_in_an_older_jobs_folder(tmp_path: Path):
    folder = tmp_path / "train-12"
    folder.mkdir()
    progress.report(40, 200, path=folder / progress.FILE)
    assert training_of(a_job(work_dir=str(tmp_path), state=PENDING)).progress is None
    assert training_of(a_job(work_dir=str(tmp_path), state=PENDING, restart_count=1)).progress is not None


def test_the_log_of_a_job_that_slurmctld_forgot_is_found_where_our_scripts_put_it(tmp_path: Path):
    assert training_of(a_job(work_dir=str(tmp_path), state=DONE)).log is None
    (tmp_path / "train-12.log").touch()
    assert training_of(a_job(work_dir=str(tmp_path), state=DONE)).log == tmp_path / "train-12.log"


def test_the_loss_is_told_before_other_metrics_and_what_only_counts_last():
    told = Progress(1, 2, 0.0, 0, {"epoch": 3.0, "acc": 0.912345, "val_loss": 0.25, "lr": 1e-4})
    assert headline(told, most=1) == "val_loss=0.25"
    assert headline(told) == "val_loss=0.25 acc=0.9123"
    assert headline(None) == ""


def reports(*steps: tuple[int, float], total: int | None = 100, run: int = 0) -> list[Progress]:
    return [Progress(step, total, NOON.timestamp() + at, run) for step, at in steps]


def test_the_end_of_a_training_is_foreseen_by_the_pace_of_its_present_run():
    slow, fast = reports((1, 0.0), (2, 100.0)), reports((3, 200.0), (13, 210.0), run=1)
    found = pace_of([*slow, *fast])
    assert found is not None
    assert (found.seconds_a_step, str(found)) == (1.0, "1 steps/s")
    assert found.left == timedelta(seconds=87)
    assert found.done_at == NOON + timedelta(seconds=210 + 87)


def test_a_training_that_reports_too_little_has_no_pace():
    assert pace_of([]) is pace_of(reports((1, 0.0))) is pace_of(reports((5, 0.0), (5, 9.0))) is None
    assert pace_of(reports((1, 0.0), (2, 0.1))) is None
    open_end = pace_of(reports((1, 0.0), (11, 20.0), total=None))
    assert open_end is not None
    assert (open_end.left, str(open_end)) == (None, "2 s/step")
