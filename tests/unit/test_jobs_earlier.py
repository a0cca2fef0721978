"""Whether a submission was taken before, and what is done when nobody answers; Slurm is a stand-in."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.errors import NotKnown, RequestError, SlurmError, SlurmUnreachable
from aistation_slurm.jobs.earlier import RECENT, job_of_submission, noted, notes_folder
from aistation_slurm.jobs.unanswered import LOOKS, found_after
from aistation_slurm.jobs.wait import exit_code, wait_for
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NO_ANSWER = SlurmUnreachable("no answer within 60 s")


def a_job(**known: Any) -> Job:
    state = JobState.RUNNING
    return Job(**{"job_id": 12, "name": "t", "user": "ann", "state": state, "comment": "mine aistation:id=x", **known})


@dataclass
class Reader:
    """Answers each look in its turn, the last one over and over; an error is raised."""

    looks: list[list[Job] | SlurmError]
    past: list[Job] | SlurmError = field(default_factory=list)
    asked: int = 0

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        self.asked += 1
        return self._told(self.looks[min(self.asked, len(self.looks)) - 1])

    def history(self, **_: Any) -> list[Job]:
        return self._told(self.past)

    def job(self, job_id: int) -> Job:
        raise SlurmError(f"no job {job_id}")

    @staticmethod
    def _told(answer: list[Job] | SlurmError) -> list[Job]:
        if isinstance(answer, SlurmError):
            raise answer
        return answer


def a_slurm(*looks: list[Job] | SlurmError, past: list[Job] | SlurmError = ()) -> Slurm:  # type: ignore[assignment]
    return Slurm(read=Reader(list(looks), past), write=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("queue", "past", "found"),
    [
        ([a_job()], [], 12),
        ([a_job(user="bob")], [], None),
        ([a_job(comment="aistation:id=xy")], [], None),
        ([a_job(array_job_id=10, array_task="3")], [], 10),
        ([], [a_job(job_id=7)], 7),
        ([], SlurmError("no accounting"), None),
    ],
)
def test_a_job_is_known_by_its_id_and_its_user_in_the_queue_and_among_the_recent_ones(
    queue: list[Job], past: Any, found: int | None
):
    assert job_of_submission(a_slurm(queue, past=past), "x", user="ann", now=NOON) == found


@pytest.mark.parametrize(
    ("past", "found"),
    [([a_job(job_id=7, comment="")], 7), ([a_job(job_id=8, comment="")], None), (SlurmError("no accounting"), 7)],
)
def test_a_noted_job_counts_where_accounting_knows_it_or_can_not_be_asked(past: Any, found: int | None):
    assert job_of_submission(a_slurm([], past=past), "x", user="ann", noted=7, now=NOON) == found


def test_after_no_answer_slurm_is_looked_at_until_it_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aistation_slurm.jobs.unanswered.user", lambda: "ann")
    slurm = a_slurm(NO_ANSWER, NO_ANSWER, [], [a_job()])
    assert found_after("x", NO_ANSWER, slurm=slurm, sleep=lambda _: None) == 12


def test_a_job_has_to_be_missing_more_than_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aistation_slurm.jobs.unanswered.user", lambda: "ann")
    slurm = a_slurm([])
    with pytest.raises(NotKnown, match="no job was made") as error:
        found_after("x", NO_ANSWER, slurm=slurm, sleep=lambda _: None)
    assert "try again with --id x" in error.value.hint
    assert slurm.read.asked == LOOKS  # type: ignore[attr-defined]


def test_patience_ends_where_nobody_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aistation_slurm.jobs.unanswered.user", lambda: "ann")
    with pytest.raises(NotKnown, match="no answer from Slurm"):
        found_after("x", NO_ANSWER, slurm=a_slurm(NO_ANSWER), patience=0, sleep=lambda _: time.sleep(0.001))


# -- the note ---------------------------------------------------------------------------------------------------------


def test_a_note_remembers_the_job_of_a_submission(tmp_path: Path):
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    with noted("x", environ, cluster="c") as note:
        assert note.job_id() is None
        note.write(12)
    with noted("x", environ, cluster="c") as note:
        assert note.job_id() == 12
    with noted("x", environ, cluster="other") as note:
        assert note.job_id() is None, "a home may be shared by several clusters"
    assert notes_folder({"HOME": "/home/ann"}) == Path("/home/ann/.local/state/aistation/submissions")


def test_two_tries_of_one_id_go_one_after_the_other(tmp_path: Path):
    environ, seen = {"XDG_STATE_HOME": str(tmp_path)}, []

    def second() -> None:
        with noted("x", environ, cluster="c") as note:
            seen.append(note.job_id())

    thread = threading.Thread(target=second)
    with noted("x", environ, cluster="c") as note:
        thread.start()
        with (
            pytest.raises(RequestError, match="another try of this submission still goes on"),
            noted("x", environ, cluster="c", patience=0),
        ):
            pass
        note.write(12)
    thread.join(60)
    assert seen == [12]


def test_without_a_folder_to_write_to_a_submission_goes_on_without_a_note(tmp_path: Path):
    (tmp_path / "file").touch()
    with noted("x", {"XDG_STATE_HOME": str(tmp_path / "file")}, cluster="c") as note:
        note.write(12)
        assert note.job_id() is None


def test_notes_are_forgotten_after_a_while(tmp_path: Path):
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    with noted("old", environ, cluster="c") as note:
        note.write(1)
    long_ago = time.time() - RECENT.total_seconds() - 60
    os.utime(notes_folder(environ) / "old", (long_ago, long_ago))
    with noted("new", environ, cluster="c"):
        assert sorted(each.name for each in notes_folder(environ).iterdir()) == ["new"]


# -- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code", "exits"),
    [
        (JobState.COMPLETED, "0:0", 0),
        (JobState.FAILED, "3:0", 3),
        (JobState.FAILED, "0:9", 1),
        (JobState.CANCELLED, "0:0", 1),
        (JobState.TIMEOUT, "0:0", 1),
        (JobState.NODE_FAIL, "", 1),
    ],
)
def test_the_exit_code_of_waiting_is_that_of_sbatch_wait(state: JobState, code: str, exits: int):
    assert exit_code(a_job(state=state, exit_code=code)) == exits


def member(task: int, state: JobState, code: str = "0:0") -> Job:
    return a_job(job_id=20 + task, array_job_id=20, array_task=str(task), state=state, exit_code=code)


def test_an_array_is_waited_for_until_all_are_over_and_the_worst_counts(nap: Callable[[float], None]):
    done, told = member(1, JobState.FAILED, "4:0"), []
    looks = [done, member(2, JobState.PENDING)], NO_ANSWER, [done, member(2, JobState.COMPLETED)]
    slurm = a_slurm(*(list(each) if isinstance(each, tuple) else each for each in looks))
    assert wait_for(slurm, 20, tell=lambda jobs: told.append(len(jobs)), sleep=nap) == 4
    assert told == [2, 2]


@pytest.fixture
def nap() -> Callable[[float], None]:
    return lambda _: None
