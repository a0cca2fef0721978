"""What is added to slurmdbd's memory of a job, and by which door on which release."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aistation_slurm.errors import InvalidRequest, NotPermitted, UnknownToSlurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.writer import SlurmWriter, admin_comment

MODIFIED = Completed(0, " Modified jobs...\n  7 submitted at 2026-11-26T10:49:21\n", "")
SUMMARY = "JS1:H4sIAbCd+/=="


class Release:
    """A runner that answers as the commands of a release, and remembers what it was asked."""

    def __init__(self, release: str, answer: Completed = MODIFIED) -> None:
        self.release, self.answer = release, answer
        self.asked: list[tuple[str, ...]] = []

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        if argv == ("sacctmgr", "-V"):
            return Completed(0, f"slurm-wlm {self.release}\n", "")
        self.asked.append(argv)
        return self.answer


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A prefix of Slurm with its library in it; returned is where its commands would be."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib" / "slurm").mkdir(parents=True)
    (tmp_path / "lib" / "slurm" / "libslurmfull.so").touch()
    return tmp_path / "bin"


def a_job(**known: object) -> Job:
    return Job(job_id=7, name="t", user="ann", state=JobState.COMPLETED, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("release", ["23.02.7", "24.11.5", "26.05.5"])
def test_sacctmgr_is_told_where_it_keeps_capitals(release, library):
    runner = Release(release)
    SlurmWriter(runner).set_admin_comment(a_job(), SUMMARY, cluster="small", bin=library)
    assert runner.asked == [
        ("sacctmgr", "-i", "modify", "job", "where", "jobid=7", "cluster=small", "set", f"AdminComment={SUMMARY}")
    ]


def test_on_22_05_libslurm_is_asked_by_a_program_of_its_own_unless_there_are_no_capitals(library):
    runner = Release("22.05.8")
    SlurmWriter(runner).set_admin_comment(a_job(), SUMMARY, cluster="small", bin=library)
    (argv,) = runner.asked
    assert argv[:3] == (sys.executable, "-I", admin_comment.__file__)
    assert argv[3:] == (str(library.parent / "lib" / "slurm" / "libslurmfull.so"), "small", "7", "", SUMMARY)

    SlurmWriter(runner).set_admin_comment(a_job(), "no capitals", cluster="small", bin=library)
    assert runner.asked[1][0] == "sacctmgr"


def test_the_last_member_of_an_array_is_that_member_alone(library):
    member = a_job(array_job_id=7, array_task="3")
    runner = Release("22.05.8")
    SlurmWriter(runner).set_admin_comment(member, SUMMARY, cluster="small", bin=library)
    assert runner.asked[0][5:7] == ("7", "_3")
    runner = Release("24.11.5")
    SlurmWriter(runner).set_admin_comment(member, SUMMARY, cluster="small")
    assert "jobid=7_3" in runner.asked[0]


def test_a_part_of_a_heterogeneous_job_is_that_part_alone(library):
    part = a_job(het_job_id=6, het_offset=1)
    runner = Release("22.05.8")
    SlurmWriter(runner).set_admin_comment(part, SUMMARY, cluster="small", bin=library)
    assert runner.asked[0][5:7] == ("6", "+1")
    runner = Release("24.11.5")
    SlurmWriter(runner).set_admin_comment(part, SUMMARY, cluster="small")
    assert "jobid=6+1" in runner.asked[0]


@pytest.mark.parametrize("text", ["it's", 'a"b', "a\nb", "a`b", "a\\b", "caf\u00e9"])
def test_a_text_that_would_not_come_back_as_it_is_is_refused(text):
    runner = Release("24.11.5")
    with pytest.raises(InvalidRequest):
        SlurmWriter(runner).set_admin_comment(a_job(), text, cluster="small")
    assert runner.asked == []


def test_a_job_that_slurmdbd_does_not_know_and_a_user_who_may_not_are_told_apart():
    nothing = Release("24.11.5", Completed(1, " Nothing modified\n", ""))
    with pytest.raises(UnknownToSlurm):
        SlurmWriter(nothing).set_admin_comment(a_job(), SUMMARY, cluster="small")
    refused = Release("24.11.5", Completed(1, " Error with request: Access/permission denied\n", ""))
    with pytest.raises(NotPermitted):
        SlurmWriter(refused).set_admin_comment(a_job(), SUMMARY, cluster="small")


def test_the_program_needs_nothing_but_the_standard_library_and_says_what_went_wrong(tmp_path):
    argv = (sys.executable, "-I", "-S", admin_comment.__file__, str(tmp_path / "none.so"), "small", "7", "", SUMMARY)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("admin_comment: error: ")
    assert "Traceback" not in done.stderr
