"""How a sweep stands: who is in the queue, in accounting, or known by a log only; what is best, what starts again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from aistation_slurm.errors import RequestError, SlurmUnreachable
from aistation_slurm.jobs.sweep.after import of_job, of_sweep, read_after
from aistation_slurm.jobs.sweep.find import find, find_path, recent
from aistation_slurm.jobs.sweep.folder import Array, Sweep, folder_of, locked, read_sweep, with_arrays, write_new
from aistation_slurm.jobs.sweep.look import attempts, look, records
from aistation_slurm.jobs.sweep.retry import by_script, to_retry
from aistation_slurm.jobs.sweep.start import split, with_limit
from aistation_slurm.jobs.sweep.table import better_if_more, table_of
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST, AGAIN = Array(12, 0, "0-5"), Array(20, 0, "1,3")


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    path = folder_of(tmp_path, "train", "abc")
    made = Sweep(path, "abc", "train", tmp_path, 6)
    write_new(made, [{"lr": number} for number in range(6)])
    return with_arrays(made, [FIRST])


def a_job(task: str, state: JobState, array: int = 12, **more: object) -> Job:
    return Job(job_id=90, array_job_id=array, array_task=task, name="train", user="ann", state=state, **more)


def slurm_with(queue: list[Job], history: list[Job] | None = None) -> SimpleNamespace:
    """A Slurm that holds these jobs and remembers those; without a history it has no accounting."""

    def remembered(**_: object) -> list[Job]:
        if history is None:
            raise SlurmUnreachable("no slurmdbd")
        return history

    return SimpleNamespace(read=SimpleNamespace(jobs=lambda **_: queue, history=remembered))


def states(found: list) -> list[str]:
    return [each.state.value for each in found]


def test_members_that_wait_share_one_record_and_each_that_ran_has_its_own(sweep):
    queue = [
        a_job("[4-5%1]", JobState.PENDING, reason="JobArrayTaskLimit"),
        a_job("0", JobState.COMPLETED),
        a_job("1", JobState.RUNNING),
        a_job("2", JobState.FAILED),
        a_job("3", JobState.PENDING, reason="BeginTime"),  # requeued
        a_job("3", JobState.RUNNING, array=99),  # another's
    ]
    found = look(sweep, slurm_with(queue))
    assert states(found) == ["COMPLETED", "RUNNING", "FAILED", "PENDING", "PENDING", "PENDING"]
    assert [each.job.reason for each in found[3:]] == ["BeginTime", "JobArrayTaskLimit", "JobArrayTaskLimit"]
    assert found[3].job_name == "12_3"


def test_what_slurmctld_has_forgotten_is_asked_of_accounting(sweep):
    queue = [a_job("5", JobState.RUNNING)]
    history = [
        a_job("0", JobState.COMPLETED),
        a_job("1", JobState.NODE_FAIL),
        a_job("[2-4]", JobState.CANCELLED),
        a_job("5", JobState.PENDING),
    ]
    assert states(look(sweep, slurm_with(queue, history))) == [
        "COMPLETED", "NODE_FAIL", "CANCELLED", "CANCELLED", "CANCELLED", "RUNNING",
    ]  # fmt: skip


def test_without_accounting_the_log_tells_how_a_member_ended(sweep):
    for member, code in ((0, 0), (1, 3)):
        sweep.log(FIRST, member).write_text(f"x\naistation: run 0 of job 91 ended with code {code} at 1.000\n")
    sweep.log(FIRST, 2).write_text("killed in the middle")
    found = look(sweep, slurm_with([]))
    assert states(found) == ["COMPLETED", "FAILED", "UNKNOWN", "UNKNOWN", "UNKNOWN", "UNKNOWN"]
    assert [each.is_unknown for each in found[1:3]] == [False, True]


def test_a_rest_that_was_cut_short_stands_for_every_member_without_a_record(sweep):
    past = [a_job("[0,2,...]", JobState.PENDING), a_job("1", JobState.FAILED)]
    assert states(look(sweep, slurm_with([], past))) == ["PENDING", "FAILED", *["PENDING"] * 4]


def test_a_rest_that_was_cancelled_names_no_members_any_more(sweep):
    """Seen on 22.05.8 in the queue and in accounting: the record has the array's number, and no task."""
    rest = replace(a_job("", JobState.CANCELLED), job_id=12, array_job_id=None)
    other = replace(rest, job_id=13)
    each = [a_job("0", JobState.COMPLETED), a_job("1", JobState.CANCELLED), rest, other]
    for slurm in (slurm_with(each), slurm_with([], each), slurm_with([rest], each[:2])):
        assert states(look(sweep, slurm)) == ["COMPLETED", *["CANCELLED"] * 5]


def test_the_last_array_of_a_member_counts(sweep):
    again = with_arrays(sweep, [AGAIN])
    queue = [a_job(str(each), JobState.FAILED) for each in range(6)] + [a_job("1", JobState.COMPLETED, array=20)]
    found = look(again, slurm_with(queue, []))
    assert states(found) == ["FAILED", "COMPLETED", "FAILED", "UNKNOWN", "FAILED", "FAILED"]
    assert [each.tries for each in found] == [1, 2, 1, 2, 1, 1]


def test_only_failed_members_are_started_again(sweep):
    each = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT, JobState.RUNNING]
    jobs = [a_job(str(task), state) for task, state in enumerate(each)]
    found = look(sweep, slurm_with(jobs))
    assert [one.member for one in to_retry(found)] == [1, 3]
    assert [one.member for one in to_retry(found, cancelled=True)] == [1, 2, 3]
    assert [one.member for one in to_retry(found, members=[0, 5])] == [0, 5]
    with pytest.raises(RequestError, match="not over yet: 4"):
        to_retry(found, members=[0, 4])


def test_members_that_were_never_submitted_are_started_again(sweep):
    half = replace(sweep, arrays=(Array(12, 0, "0-2"),))
    found = attempts(half, records(half.arrays, [a_job("[0-2]", JobState.COMPLETED)]))
    assert [one.member for one in to_retry(found)] == [3, 4, 5]


def test_a_member_is_started_again_by_its_own_script_under_its_own_task(sweep):
    found = attempts(sweep, {})
    assert by_script(found, [0, 4]) == {0: "0-3", 4: "0-1"}


def test_more_members_than_an_array_may_have_become_several():
    assert split(2500, 1001) == [(0, "0-1000"), (1001, "0-1000"), (2002, "0-497")]
    assert split(1000, 1001) == [(0, "0-999")]
    assert (with_limit("0-9", 3), with_limit("0-9", None)) == ("0-9%3", "0-9")


def report(sweep: Sweep, array: Array, member: int, **metrics: float) -> None:
    folder = sweep.run_folder(array, member)
    folder.path.mkdir(exist_ok=True)
    folder.progress_file.write_text(json.dumps({"step": 3, "total": 4, "time": 1.0, "metrics": metrics}) + "\n")


def test_the_table_is_best_first_and_what_has_no_number_is_last(sweep):
    for member, loss in enumerate([0.5, float("nan"), 0.1, float("inf"), -2.0]):
        report(sweep, FIRST, member, loss=loss, accuracy=-loss)
    found = attempts(sweep, records([FIRST], [a_job("[0-5]", JobState.RUNNING)]))
    table = table_of(sweep, found)
    assert (table.by, table.is_max) == ("loss", False)
    assert [each.number for each in table.members] == [4, 2, 0, 3, 1, 5]
    assert [each.number for each in table_of(sweep, found, by="accuracy").members] == [4, 2, 0, 3, 1, 5]
    assert [each.number for each in table_of(sweep, found, is_max=True).members] == [3, 0, 2, 4, 1, 5]
    assert table.best.params == {"lr": 4}
    assert table.counts == {"RUNNING": 6}
    assert table.metric_names == ["loss", "accuracy"]
    with pytest.raises(RequestError, match="no metric called 'los'") as caught:
        table_of(sweep, found, by="los")
    assert caught.value.hint == "there are: accuracy, loss"


def test_a_member_that_was_started_again_shows_its_earlier_report_until_a_new_one(sweep):
    again = with_arrays(sweep, [AGAIN])
    report(again, FIRST, 1, loss=1.0)
    report(again, FIRST, 3, loss=3.0)
    report(again, AGAIN, 3, loss=0.3)
    table = table_of(again, attempts(again, {}))
    assert [(each.number, each.metrics) for each in table.members[:2]] == [(3, {"loss": 0.3}), (1, {"loss": 1.0})]


def test_a_training_that_reports_nothing_shows_what_its_log_says(sweep):
    sweep.log(FIRST, 2).write_text("aistation: run 0 of job 91 on v100-01 at 1.000\n{'loss': 0.25, 'epoch': 1.0}\n")
    table = table_of(sweep, attempts(sweep, records([FIRST], [a_job("[0-5]", JobState.RUNNING)])))
    assert (table.best.number, table.best.metrics["loss"]) == (2, 0.25)


def test_nobody_is_best_before_somebody_has_reported(sweep):
    table = table_of(sweep, attempts(sweep, {}))
    assert (table.best, table.by, [each.number for each in table.members]) == (None, "", list(range(6)))


def test_what_is_better_follows_from_the_name():
    assert [better_if_more(each) for each in ("loss", "val_accuracy", "error_score", "F1", "mae")] == [
        False, True, False, True, False,
    ]  # fmt: skip


def test_a_sweep_is_found_by_its_id_its_array_its_folder_and_as_the_last_one(sweep, tmp_path):
    known = {"abc", "12", "12_3", "train-sweeps/abc", None}
    assert {find_path(each, tmp_path) for each in known} == {sweep.path}
    assert find_path("13", tmp_path) is None


def test_a_sweep_is_found_by_what_slurm_says_from_any_folder(sweep, tmp_path):
    job = a_job("3", JobState.RUNNING, work_dir=str(tmp_path))
    slurm = slurm_with([job])
    slurm.read.job = lambda _: job
    here = tmp_path / "elsewhere"
    here.mkdir()
    for each in ("abc", "12"):
        assert find(each, slurm, here=here, user="ann", now=NOON).path == sweep.path
    assert [each.path for each in recent(slurm, here=here, user="ann", now=NOON)] == [sweep.path]
    assert recent(slurm, here=here, user="chen", now=NOON) == []
    with pytest.raises(RequestError, match="no sweep called 'abd'"):
        find("abd", slurm, here=here, user="ann", now=NOON)
    with pytest.raises(RequestError, match="no sweep was submitted in this folder"):
        find(None, slurm, here=here, user="ann", now=NOON)


def test_what_to_wait_for_is_written_as_slurm_takes_it(sweep):
    found = attempts(sweep, records([FIRST], [a_job("[0-5]", JobState.RUNNING)]))
    assert [read_after(each) for each in ("12", "abc:any", "12_3:notok", "12:corr")] == [
        ("12", "afterok"), ("abc", "afterany"), ("12_3", "afternotok"), ("12", "aftercorr"),
    ]  # fmt: skip
    assert of_job("12_3", "afterok") == "afterok:12_3"
    assert of_sweep(sweep, "aftercorr", found) == "aftercorr:12"
    for bad in ("12:soon", ":ok", ""):
        with pytest.raises(RequestError, match="can't be waited for"):
            read_after(bad)
    with pytest.raises(RequestError, match="no sweep and no job called 'x'"):
        of_job("x", "afterok")


def test_after_a_sweep_that_was_started_again_means_each_member_s_last_array(sweep):
    again = with_arrays(sweep, [AGAIN])
    over = [a_job(str(each), JobState.COMPLETED) for each in (0, 2, 4)]
    alive = [a_job("5", JobState.RUNNING), a_job("[1,3]", JobState.PENDING, array=20)]
    found = attempts(again, records(again.arrays, over + alive))
    assert of_sweep(again, "afterok", found) == "afterok:20_1:20_3:12_5"
    failed = attempts(again, records(again.arrays, [*over, *alive[1:], a_job("5", JobState.FAILED)]))
    with pytest.raises(RequestError, match="1 member of abc failed already"):
        of_sweep(again, "afterok", failed)
    with pytest.raises(RequestError, match="no longer one array"):
        of_sweep(again, "aftercorr", found)


def test_two_commands_do_not_change_a_sweep_at_once(sweep):
    busy = pytest.raises(RequestError, match="another command works on this sweep")
    with locked(sweep.path), busy, locked(sweep.path):
        pass


def test_a_folder_that_is_no_sweep_is_one_clear_sentence(sweep):
    (sweep.path / "sweep.json").write_text('{"name": 1}')
    with pytest.raises(RequestError, match="can't be understood"):
        read_sweep(sweep.path)
    with pytest.raises(RequestError, match="can't be made: File exists"):
        write_new(sweep, [])


def test_parameters_that_were_lost_are_noticed(sweep):
    (sweep.path / "params.jsonl").write_text("{}\n")
    with pytest.raises(RequestError, match="1 lines for 6 members"):
        sweep.members()
