"""What is seen of a run, by a real process with its owner's rights, whose answer is taken as the user's word."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoints, Run
from aistation_slurm.faults import resume_look
from aistation_slurm.faults.resume import Sight
from aistation_slurm.faults.resume_look import _sight, _talk, look, see, tagged
from aistation_slurm.jobs.judge import load_table
from aistation_slurm.jobs.tag import Tag
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

ME = pwd.getpwuid(os.geteuid()).pw_name
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as somebody else")


def a_job(folder: Path, *, user: str = ME, comment: str = "", job_id: int = 7) -> Job:
    return Job(
        job_id=job_id, name="t", user=user, state=JobState.FAILED, exit_code="1:0", work_dir=str(folder),
        stdout=str(folder / f"t-{job_id}.log"), comment=comment,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a run that has saved step 30, and failed."""
    checkpoints = Checkpoints(tmp_path / "t-7" / "checkpoints", run=Run("r0", 0))
    checkpoints.claim()
    checkpoints.save(30, b"state")
    (tmp_path / "t-7.log").write_text("ValueError: no\n")
    return tmp_path


def test_its_newest_checkpoint_and_the_end_of_its_log_are_seen(run):
    (ended,) = look([(a_job(run), Tag("a1", 3))], load_table())
    assert ended.sight.step == 30
    assert ended.sight.folder == run / "t-7"
    assert ended.sight.log == "ValueError: no\n"
    assert ended.verdict.rule == "python-error"


def test_checkpoints_of_another_form_are_seen_by_their_time_and_the_reported_step(tmp_path):
    saved = tmp_path / "t-7" / "checkpoints" / "lightning" / "last.ckpt"
    saved.parent.mkdir(parents=True)
    saved.write_text("state")
    os.utime(saved, (1_700_000_000, 1_700_000_000))
    (tmp_path / "t-7" / "progress.jsonl").write_text('{"step": 12, "total": 90, "time": 1.0, "metrics": {}}\n')
    sight = see(ME, [a_job(tmp_path)])[7]
    assert (sight.step, sight.saved_at) == (12, datetime.fromtimestamp(1_700_000_000, UTC))


def test_a_job_that_printed_nothing_and_made_no_folder_is_seen_to_have_done_so(tmp_path):
    assert see(ME, [a_job(tmp_path)])[7] == Sight(log="")


def test_a_folder_that_is_not_on_this_machine_is_not_seen(tmp_path):
    gone = tmp_path / "lustre" / "ann"
    assert see(ME, [a_job(gone)])[7].blind == f"there is no {gone} on this machine"


def test_of_several_jobs_each_has_its_own_sight(run):
    sights = see(ME, [a_job(run), a_job(run, job_id=8)])
    assert [sights[7].step, sights[8].step] == [30, None]


def test_an_owner_whom_this_machine_does_not_know_is_not_looked_for(tmp_path):
    sight = see("nosuchuser", [a_job(tmp_path, user="nosuchuser")])[7]
    assert sight.blind == "there is no user nosuchuser on this machine"


@needs_root
def test_root_sees_no_more_than_the_jobs_owner_may(run):
    run.chmod(0o700)
    sight = see("nobody", [a_job(run, user="nobody")])[7]
    assert "Permission denied" in sight.blind
    assert sight.log is None


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@needs_root
def test_a_link_to_a_file_of_root_is_not_followed_as_root(open_folder):
    secret = open_folder / "secret"
    secret.write_text("OSError: the password is 1234\n")
    secret.chmod(0o600)
    (open_folder / "t-7.log").symlink_to(secret)
    (ended,) = look([(a_job(open_folder, user="nobody"), Tag("a1", 3))], load_table())
    assert "Permission denied" in ended.sight.blind
    assert ended.sight.log is None
    assert "1234" not in str(ended)


@pytest.mark.parametrize(
    "raw", [None, [], {}, "x", {"blind": 1}, {"blind": "", "step": True, "saved_at": "now", "log": ["x"], "folder": 1}]
)
def test_an_answer_of_any_other_form_says_nothing(tmp_path, raw):
    sight = _sight(a_job(tmp_path), raw)
    assert (sight.step, sight.saved_at, sight.log, sight.folder) == (None, None, None, None)


def test_a_step_that_no_table_holds_is_none(tmp_path):
    assert _sight(a_job(tmp_path), {"blind": "", "step": 1 << 80, "saved_at": 1e300}).step is None


def child(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, bufsize=0
    )


def test_a_look_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(resume_look, "LOOK_SECONDS", 0.5)
    process = child("import time; time.sleep(600)")
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        _talk(process, b"[]")
    assert time.monotonic() - begun < 60
    assert process.poll() is not None


def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(resume_look, "MOST", 1 << 20)
    process = child("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    with pytest.raises(ValueError, match="too long"):
        _talk(process, b"[]")
    assert process.poll() is not None


def test_only_jobs_whose_owners_asked_for_it_are_looked_at(tmp_path):
    comments = [
        "",
        "mine",
        "aistation:id=a1",
        "aistation:id=a1,resume=0",
        "mine aistation:id=a1,resume=3",
        "aistation:resume=3",
    ]
    jobs = [a_job(tmp_path, comment=comment, job_id=number) for number, comment in enumerate(comments)]
    assert [(job.job_id, tag.resume) for job, tag in tagged(jobs)] == [(4, 3)]
