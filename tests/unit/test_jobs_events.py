"""A job's life: its runs, the events of it, what came of it; from rows, log lines and reports."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from aistation_slurm.checkpoint import Checkpoints
from aistation_slurm.checkpoint import Run as Saver
from aistation_slurm.jobs.events import Event, timeline
from aistation_slurm.jobs.judge import load_table
from aistation_slurm.jobs.results import about, age, short_size, short_time
from aistation_slurm.jobs.run_log import LogLine, read_run_log, run_lines
from aistation_slurm.jobs.runs import runs_of, steps_lost, time_running
from aistation_slurm.jobs.saved import saved_in, takers
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.model import Job, JobStep, StepUsage
from aistation_slurm.slurm.states import JobState
from tests.unit.watching import NOON, FakeReader, a_job, a_slurm

AT = NOON.timestamp()
LOG = f"""\
aistation: run 0 of job 12 on v100-01 at {AT + 1:.3f}
step 1
slurmstepd-v100-01: error: *** STEP 12.0 ON v100-01 CANCELLED AT 2026-11-23T12:00:30 DUE TO JOB REQUEUE ***
slurmstepd-v100-01: error: *** JOB 12 ON v100-01 CANCELLED AT 2026-11-23T12:00:30 DUE TO JOB REQUEUE ***
aistation: run 1 of job 12 on v100-02 at {AT + 61:.3f}
aistation: run 1 of job 12 is requeued at {AT + 80:.3f}
aistation: run 2 of job 12 on v100-02 at {AT + 91:.3f}
aistation: run 2 of job 12 ended with code 3 at {AT + 99:.3f}
"""


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_row(start: int, end: int, state: JobState = JobState.REQUEUED, **known: object) -> Job:
    return a_job(**{
        "state": state, "nodes": "v100-01", "submit_time": after(start - 5), "eligible_time": after(start - 5),
        "start_time": after(start), "end_time": after(end), "partition": "v100", **known,
    })  # fmt: skip


ROWS = [a_row(0, 30), a_row(60, 80), a_row(90, 100, JobState.FAILED, exit_code="3:0")]
REPORTS = [
    *(Progress(step, 40, AT + step, 0, {"loss": 1.0}) for step in range(1, 15)),
    *(Progress(step, 40, AT + 60 + step, 1, {"loss": 0.5}) for step in range(11, 19)),
    *(Progress(step, 40, AT + 90, 2, {"loss": 0.25}) for step in (19, 20)),
]


def told() -> list[LogLine]:
    return list(run_lines(LOG.splitlines()))


def test_the_log_tells_of_each_run_once_however_many_steps_said_it():
    assert [(each.what, each.run) for each in told()] == [
        ("began", 0), ("told", 0), ("began", 1), ("requeued", 1), ("began", 2), ("ended", 2),
    ]  # fmt: skip
    assert told()[1].why == "DUE TO JOB REQUEUE"
    assert told()[-1].code == 3


def test_a_log_that_can_not_be_read_tells_nothing(tmp_path):
    assert read_run_log(tmp_path / "none") == read_run_log(tmp_path) == []


def test_each_run_has_its_nodes_its_end_and_its_steps():
    runs = runs_of(ROWS[-1], ROWS, told(), REPORTS)
    assert [(each.number, each.first_step, each.last_step) for each in runs] == [(0, 1, 14), (1, 11, 18), (2, 19, 20)]
    assert [each.ended for each in runs] == ["requeued", "requeued (before its time limit)", "failed (code 3)"]
    assert time_running(runs, after(500)) == timedelta(seconds=30 + 20 + 10)


def test_steps_that_were_done_again_are_lost_and_others_are_not():
    assert steps_lost(runs_of(ROWS[-1], ROWS, told(), REPORTS)) == 4  # 11 to 14; 19 follows 18
    assert steps_lost([]) == 0


def test_before_slurmdbd_has_heard_the_log_tells_of_the_runs():
    runs = runs_of(a_job(), [], told()[:3], [])
    assert [(each.number, each.nodes, each.start) for each in runs] == [
        (0, "v100-01", after(1)), (1, "v100-02", after(61)),
    ]  # fmt: skip
    assert [each.ended for each in runs] == ["requeued", ""]


def test_a_job_that_only_waits_has_no_runs():
    assert runs_of(a_job(state=JobState.PENDING), [], [], []) == []


def what(events: list[Event]) -> list[str]:
    return [f"{each.what} {each.detail}".strip() for each in events]


def test_the_life_of_a_job_is_one_line_of_time():
    assert what(timeline(ROWS[-1], ROWS, told(), REPORTS, [], [])) == [
        "submitted to v100",
        "started on v100-01, run 0",
        "script began run 0",
        "first report step 1 of 40",
        "last report step 14 of 40",
        "told to end job requeue",
        "requeued",
        "started on v100-01, run 1",
        "script began run 1",
        "first report step 11 of 40",
        "last report step 18 of 40",
        "asked to be requeued by its script, to go on from its checkpoint",
        "requeued",
        "started on v100-01, run 2",
        "first report step 19 of 40",
        "last report step 20 of 40",
        "script began run 2",
        "script ended code 3",
        "failed exit code 3",
    ]


def test_a_job_that_had_to_wait_for_its_time_says_when_it_could_start():
    row = a_row(60, 80, JobState.COMPLETED, eligible_time=after(58))
    assert "may start" in what(timeline(row, [row], [], [], [], []))


def test_of_a_job_that_runs_or_waits_no_end_is_told():
    running = a_row(0, 30, JobState.RUNNING, end_time=None)
    assert what(timeline(running, [running], [], [], [], [])) == ["submitted to v100", "started on v100-01, run 0"]
    waiting = a_job(state=JobState.PENDING, submit_time=NOON, start_time=after(500))
    assert what(timeline(waiting, [], [], [], [], [])) == ["submitted"]


def test_checkpoints_and_who_took_them_over_are_seen_without_a_trace(tmp_path: Path):
    Checkpoints(tmp_path, run=Saver("a", "12", 0)).save(10, b"x" * 100)
    later = Checkpoints(tmp_path, run=Saver("b", "12", 1))
    later.claim()
    later.save(20, b"y" * 100)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    assert [(each.restart_count, each.step) for each in takers(tmp_path)] == [(0, None), (1, 10)]
    assert [each.step for each in saved_in(tmp_path)] == [10, 20]
    assert all(each.size > 100 for each in saved_in(tmp_path))
    told_of = what(timeline(a_job(), [], [], [], takers(tmp_path), saved_in(tmp_path)))
    assert [each.partition(",")[0] for each in told_of if "checkpoint" in each].count("checkpoint saved step 20") == 1
    assert any(each.startswith("went on from the checkpoint of step 10") for each in told_of)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_half_a_claim_and_half_a_checkpoint_are_left_out(tmp_path: Path):
    Checkpoints(tmp_path, run=Saver("a", "12", 0)).save(10, b"x")
    (tmp_path / "claims" / "000002.json").write_text("{")
    (tmp_path / "runs" / "a" / "step-000000000020").mkdir()
    assert [each.step for each in saved_in(tmp_path)] == [10]
    assert saved_in(tmp_path / "none") == takers(tmp_path / "none") == []


# -- all that is known ------------------------------------------------------------------------------------------------


def a_training(tmp_path: Path, **known: object) -> Job:
    log = tmp_path / "train-12.log"
    log.write_text(f"{LOG}Traceback (most recent call last):\nValueError: bad\n")
    (tmp_path / "train-12").mkdir()
    (tmp_path / "train-12" / "job.json").write_text('{"request": {"template": "plain", "script": "a.py"}}')
    (tmp_path / "train-12" / "progress.jsonl").write_text(
        '{"step": 9, "total": 10, "time": 1, "metrics": {"loss": 1.0}}\n'
        '{"step": 10, "total": 10, "time": 2, "metrics": {"loss": 2.0}}\n'
    )
    return a_job(**{
        "state": JobState.FAILED, "exit_code": "1:0", "work_dir": str(tmp_path), "stdout": str(log), "cpus": 4,
        "start_time": NOON, "end_time": after(3600), "elapsed": timedelta(hours=1), "tres": {"mem": 1024},
        "node_count": 1, "nodes": "v100-01", **known,
    })  # fmt: skip


def test_of_a_failed_training_all_is_told_in_one_place(tmp_path):
    job = a_training(tmp_path)
    usage = StepUsage(cpu_time=timedelta(hours=1), tres_total={"mem": 512})
    steps = [JobStep(job_id=12, step_id="0", name="", state=JobState.FAILED, usage=usage)]
    found = about(a_slurm(FakeReader(held=[job], past=ROWS, steps=steps)), job, table=load_table())
    assert found.request["request"]["template"] == "plain"
    assert found.best == {"loss": (1.0, 9)}
    assert found.verdict is not None
    assert found.verdict.whose == "user"
    assert found.used is not None
    assert (found.used.cpu_share, found.used.memory_share) == (25, 50)
    assert found.advice == "used 1.0 of 4 CPUs: ask for 2"
    assert (found.restarts, found.measured_by) == (2, "Slurm's accounting")


def test_of_a_job_that_ended_well_nobody_is_blamed_and_of_one_that_lives_nothing_is_summed_up(tmp_path):
    job = a_training(tmp_path, state=JobState.COMPLETED)
    assert about(a_slurm(FakeReader(held=[job])), job, table=load_table()).verdict is None
    job = a_job(state=JobState.CANCELLED, start_time=NOON, end_time=NOON)  # while it waited
    found = about(a_slurm(FakeReader(held=[job])), job, table=load_table())
    assert (found.used, found.verdict) == (None, None)
    job = a_job(state=JobState.RUNNING, start_time=NOON)
    found = about(a_slurm(FakeReader(held=[job])), job, table=load_table())
    assert (found.used, found.verdict, found.restarts) == (None, None, 0)


def test_times_and_sizes_are_told_in_the_unit_that_a_person_takes():
    assert [short_time(each) for each in (0, 99, 100, 5999, 6000, 172_799, 172_800)] == [
        "0 s", "99 s", "2 min", "100 min", "1.7 h", "48.0 h", "2.0 d",
    ]  # fmt: skip
    assert (age(NOON, after(60)), age(after(60), NOON)) == ("60 s ago", "in 60 s")
    assert [short_size(each) for each in (0, 999, 1000, 1.5e9, 2e15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 GB",
        "2000.0 TB",
    ]
