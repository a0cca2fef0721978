"""What is said of jobs: how far they are, what they printed; Slurm is a stand-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm import progress
from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.listing import past_trainings, training_of, trainings
from aistation_slurm.jobs.logs import follow_log, read_log
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def a_job(**known: Any) -> Job:
    return Job(**{"job_id": 12, "name": "train", "user": "ann", "state": JobState.RUNNING, **known})


@dataclass
class FakeReader:
    jobs_: list[Job] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        return self.jobs_

    def history(self, **asked: Any) -> list[Job]:
        self.asked.append(asked)
        return self.jobs_

    def job(self, job_id: int) -> Job:
        return self.jobs_.pop(0) if len(self.jobs_) > 1 else self.jobs_[0]


def a_slurm(reader: FakeReader | None = None) -> Slurm:
    return Slurm(read=reader or FakeReader(), write=None)  # type: ignore[arg-type]


# -- what became of it ------------------------------------------------------------------------------------------------


def test_a_training_says_how_far_it_is(tmp_path: Path):
    folder = tmp_path / "train-12"
    folder.mkdir()
    progress.report(40, 200, path=folder / progress.FILE, loss=0.5)
    found = training_of(a_job(work_dir=str(tmp_path), nodes="v-[01-02]"))
    assert found.done == "40/200"
    assert found.where == "v-[01-02]"
    assert found.run_dir == folder


def test_a_job_that_is_no_training_of_ours_has_no_progress():
    found = training_of(a_job(state=JobState.PENDING, reason="Resources"))
    assert (found.done, found.where, found.run_dir) == ("", "(Resources)", None)


def test_mine_are_listed_and_everybodys_on_request():
    reader = FakeReader(jobs_=[a_job(job_id=2), a_job(job_id=1, user="bob")])
    assert [each.job.job_id for each in trainings(a_slurm(reader), user="ann")] == [2]
    assert [each.job.job_id for each in trainings(a_slurm(reader), user=None)] == [1, 2]


def test_the_history_is_that_of_a_week():
    reader = FakeReader(jobs_=[a_job()])
    past_trainings(a_slurm(reader), user="ann", now=NOON)
    assert reader.asked == [{"user": "ann", "since": NOON - timedelta(days=7)}]


def test_a_log_is_printed_from_its_beginning_or_its_end(tmp_path: Path):
    log = tmp_path / "x.log"
    log.write_bytes(b"one\ntwo\nthree \xff\n")
    slurm = a_slurm(FakeReader(jobs_=[a_job(stdout=str(log))]))
    assert "".join(read_log(slurm, 12)) == "one\ntwo\nthree \ufffd\n"
    assert "".join(read_log(slurm, 12, tail=1)) == "three \ufffd\n"
    assert "".join(read_log(slurm, 12, tail=0)) == ""


@pytest.mark.parametrize(("stdout", "complaint"), [("", "no longer knows"), ("/nowhere/x.log", "no such log")])
def test_a_log_that_is_not_there_is_said(stdout: str, complaint: str):
    with pytest.raises(RequestError, match=complaint):
        list(read_log(a_slurm(FakeReader(jobs_=[a_job(stdout=stdout)])), 12))


def test_a_log_is_followed_through_a_requeue_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aistation_slurm.jobs.logs._ASK_SECONDS", 0)
    log = tmp_path / "x.log"
    states = [JobState.PENDING, JobState.RUNNING, JobState.PENDING, JobState.RUNNING, JobState.COMPLETED]
    reader = FakeReader(jobs_=[a_job(stdout=str(log), state=state) for state in states])
    lines = iter(["run 0\n", "step 1\n", "run 1\n", "step 2\n"])

    def sleep(_: float) -> None:
        with log.open("a") as file:
            file.write(next(lines, ""))

    assert "".join(follow_log(a_slurm(reader), 12, sleep=sleep)) == "run 0\nstep 1\nrun 1\nstep 2\n"
