"""Which jobs' summaries are kept, and in whose AdminComment nobody writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from aistation_slurm.duties import Station, duty
from aistation_slurm.jobs.jobstats import NONE, SHORT, read_summary
from aistation_slurm.jobs.summaries import Summaries, wanting
from aistation_slurm.settings import DaemonSettings, Settings
from aistation_slurm.slurm.model import Job, JobStep, StepUsage
from aistation_slurm.slurm.states import JobState
from tests.unit.watching import NOON, FakeReader, FakeWriter, a_job, a_slurm

HOUR = timedelta(hours=1)


def an_old_job(job_id: int, **known: object) -> Job:
    return a_job(**{
        "job_id": job_id, "state": JobState.COMPLETED, "nodes": "v100-[01-02]", "node_count": 2, "cpus": 4,
        "start_time": NOON - 2 * HOUR, "end_time": NOON - HOUR, "elapsed": HOUR, "tres": {"mem": 4096}, **known,
    })  # fmt: skip


def steps(*job_ids: int) -> list[JobStep]:
    usage = StepUsage(cpu_time=2 * HOUR, tres_total={"mem": 1024})
    return [JobStep(job_id=each, step_id="0", name="", state=JobState.COMPLETED, usage=usage) for each in job_ids]


def test_only_jobs_that_ran_and_are_over_for_a_while_and_have_no_note_are_summed_up():
    jobs = [
        an_old_job(1),
        an_old_job(2, admin_comment="the site's own"),
        an_old_job(3, admin_comment="JS1:Short"),
        an_old_job(4, end_time=NOON - timedelta(seconds=59)),
        an_old_job(5, state=JobState.RUNNING),
        an_old_job(6, state=JobState.PENDING),
        an_old_job(7, state=JobState.CANCELLED, start_time=None),
        an_old_job(8, state=JobState.CANCELLED, end_time=NOON - 2 * HOUR),
        an_old_job(9, state=JobState.FAILED, end_time=NOON - 1.5 * HOUR),
    ]
    assert [each.job_id for each in wanting(jobs, NOON)] == [9, 1]


def test_a_round_keeps_each_summary_once_and_says_how_many():
    reader, writer = FakeReader(past=[an_old_job(1), an_old_job(2)], steps=steps(1)), FakeWriter()
    duty = Summaries(a_slurm(reader, writer))
    assert duty.round(NOON) == ["summaries of 2 jobs that ended were kept in their AdminComment"]
    (first, second) = writer.told
    assert (first[0], first[2], second) == (1, "small", (2, NONE, "small"))
    summary = read_summary(first[1])
    assert summary is not None
    assert list(summary.nodes) == ["v100-01", "v100-02"]
    assert summary.nodes["v100-01"]["total_time"] == 3600.0


def test_a_job_that_was_too_short_is_said_to_be_so():
    writer = FakeWriter()
    job = an_old_job(1, elapsed=timedelta(seconds=20))
    Summaries(a_slurm(FakeReader(past=[job], steps=steps(1)), writer)).round(NOON)
    assert [text for _, text, _ in writer.told] == [SHORT]


def test_a_dry_run_says_what_would_be_kept_and_keeps_nothing():
    writer = FakeWriter()
    duty = Summaries(a_slurm(FakeReader(past=[an_old_job(1)], steps=steps(1)), writer), dry_run=True)
    (line,) = duty.round(NOON)
    assert line.startswith("would be: job 1 (ann): summary kept")
    assert writer.told == []


def test_a_job_that_slurmdbd_does_not_take_one_for_is_not_tried_again_and_holds_up_nobody():
    writer = FakeWriter(unknown=[1])
    duty = Summaries(a_slurm(FakeReader(past=[an_old_job(1), an_old_job(2)], steps=steps(1, 2)), writer))
    assert duty.round(NOON) == ["summaries of 1 jobs that ended were kept in their AdminComment"]
    duty.round(NOON)
    assert [job_id for job_id, _, _ in writer.told] == [2, 2]


def test_where_nobody_ended_nothing_is_said():
    assert Summaries(a_slurm(FakeReader())).round(NOON) == []


def test_a_site_that_runs_jobstats_itself_switches_ours_off():
    now = datetime.now(UTC)
    job = an_old_job(1, start_time=now - 2 * HOUR, end_time=now - HOUR)

    def kept(is_on: bool) -> list[int]:
        writer, nothing = FakeWriter(), cast("Any", None)
        settings = Settings(daemon=DaemonSettings(summaries=is_on))
        slurm = a_slurm(FakeReader(past=[job], steps=steps(1)), writer)
        duty("summaries").begin(Station(settings=settings, slurm=slurm, engine=nothing, actor="test"))()
        return [job_id for job_id, _, _ in writer.told]

    assert kept(True) == [1]
    assert kept(False) == []
