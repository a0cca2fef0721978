"""`aistation job submit` on a real Slurm: what users hand in, how it ends, and that a retry is never a second job."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoints, Run
from aistation_slurm.cluster.rules.compiled import COMPILED
from aistation_slurm.devcluster.login import become
from aistation_slurm.jobs.tag import read_tag
from aistation_slurm.slurm.default_account import default_account
from aistation_slurm.slurm.runner import LocalRunner

pytestmark = pytest.mark.cluster
SUBMIT = (sys.executable, "-m", "aistation_slurm", "job", "submit")
HELD = ("--hold", "--template", "plain")


@pytest.fixture
def script(ann) -> str:
    (ann.folder / "work.sh").write_text("echo $1; exit ${2:-0}\n")
    return "work.sh"


def jobs_of(station, submission: str) -> list[int]:
    """Return the jobs in the queue that carry the id."""
    tags = {each.job_id: read_tag(each.comment) for each in station.slurm.read.jobs(with_over=True)}
    return [job_id for job_id, tag in tags.items() if tag is not None and tag.submission == submission]


def test_a_job_runs_its_end_is_waited_for_and_what_was_submitted_is_kept(station, ann, script):
    done = ann.told(*SUBMIT, "--wait", "--parsable", "--template", "plain", "--time", "5", script, "hello", "3")
    assert done.returncode == 3, done.stderr
    job = station.job(int(done.stdout))
    assert "hello\n" in (ann.folder / f"work-{job.job_id}.log").read_text()
    folder = ann.folder / f"work-{job.job_id}"
    kept = json.loads((folder / "job.json").read_text())
    assert (kept["request"]["args"], kept["folder"]) == (["hello", "3"], str(ann.folder))
    assert (folder / "job.json").stat().st_uid == ann.folder.stat().st_uid
    tag = read_tag(job.comment)
    assert tag is not None
    assert tag.submission == kept["submission"]


def test_what_the_fit_makes_of_a_request_slurmctld_takes_without_a_word(station, ann, script):
    done = ann.told(*SUBMIT, "--hold", "--json", "--template", "pytorch-ddp", "--gpus", "12", "--mem", "1T", script)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["adjustments"] == [
        "gpus: 12 -> 4 (a user may have 4 GPUs of v100)",
        "memory_per_node: 1T -> 16G (a node of v100 has no more)",
    ]
    job = station.job(told["job_id"])
    assert (job.gpus, job.node_count, job.partition) == (4, 2, "v100")


def test_a_batch_script_is_adjusted_by_slurmctld_and_the_user_reads_it_in_the_same_form(station, ann):
    (ann.folder / "old.sbatch").write_text("#!/bin/bash\n#SBATCH --gpus-per-node=4 --comment=mine\nhostname\n")
    done = ann.told(*SUBMIT, "--parsable", "--hold", "old.sbatch")
    assert done.returncode == 0, done.stderr
    assert "adjusted: gpus_per_node: 4 -> 2 (a node of v100 has no more)" in done.stderr.splitlines()
    job = station.job(int(done.stdout))
    assert (job.name, job.node_count) == ("old.sbatch", 2)
    assert job.comment.startswith("mine aistation:id=")


def test_a_dry_run_says_when_it_would_start_and_a_refusal_why_not(ann, script):
    done = ann.told(*SUBMIT, "--dry-run", "--template", "plain", "--gpus", "2", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("#!/bin/bash\n")
    assert "would start at " in done.stderr
    refused = ann.told(*SUBMIT, "--dry-run", "--emergency", "--template", "plain", script)
    assert refused.returncode == 1
    assert "`aistation emergency grant` gives the right" in refused.stderr


def test_slurmctld_tells_which_team_a_user_s_jobs_count_for(station):
    runner = LocalRunner(slurm_conf=station.settings.slurm.conf, bin=station.settings.slurm.bin)
    assert (default_account(runner, "ann"), default_account(runner, "chen")) == ("behavior", "face")
    assert default_account(runner, "nobody-here") is None


def test_where_nothing_was_compiled_slurm_is_asked(station, ann, script):
    compiled = station.settings.slurm.conf.with_name(COMPILED)
    text = compiled.read_text()
    compiled.unlink()
    try:
        done = ann.told(*SUBMIT, *HELD, "--json", "--gpus-per-node", "2", "--mem", "1T", script)
    finally:
        compiled.write_text(text)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["adjustments"] == ["memory_per_node: 1T -> 16G (a node of v100 has no more)"]


# -- never twice ------------------------------------------------------------------------------------------------------


def test_a_retry_with_the_same_id_is_answered_with_the_job_of_the_first_try(station, ann, script):
    def one_try(_: int) -> str:
        return ann.run(*SUBMIT, *HELD, "--parsable", "--id", "night-7", script)

    with ThreadPoolExecutor(3) as three:
        numbers = set(three.map(one_try, range(3)))
    assert len(numbers) == 1
    assert jobs_of(station, "night-7") == [int(numbers.pop())]
    again = ann.told(*SUBMIT, *HELD, "--id", "night-7", script)
    assert again.stdout.startswith("was submitted before, as job ")


@contextmanager
def submitting(station, ann, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Yield the command while it runs."""
    prepared = become(station.cluster, (*SUBMIT, *words), user=ann.name, cwd=ann.folder)
    assert prepared.account is not None
    process = subprocess.Popen(
        prepared.argv, env=prepared.env, cwd=prepared.cwd, text=True, user=prepared.account.pw_uid,
        group=prepared.account.pw_gid, extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def children(pid: int, name: str) -> list[int]:
    """Return the children of a process that run this program, and have a connection open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, comm = (folder / "stat").read_text(), (folder / "comm").read_text().strip()
            sockets = [link for link in (folder / "fd").iterdir() if os.readlink(link).startswith("socket:")]
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid and comm == name and sockets:
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("dies", [False, True], ids=["slurmctld goes on", "slurmctld dies too"])
def test_a_submission_that_is_cut_off_in_the_middle_becomes_one_job(station, ann, script, wait_for, dies):
    station.fault("hang-slurmctld")
    with submitting(station, ann, *HELD, "--parsable", script) as process:
        os.kill(wait_for(lambda: children(process.pid, "sbatch"), within=30)[0], signal.SIGKILL)
        if dies:
            station.fault("kill-slurmctld")
        station.heal()
        out, err = process.communicate(timeout=90)
    if process.returncode == 0:
        submission = tag_of(station, int(out))
        assert "but the job is there" in err
    else:
        assert (process.returncode, out) == (75, "")
        submission = re.findall(r"try again with --id (\w+)", err)[0]
    ann.run(*SUBMIT, *HELD, "--id", submission, script)
    assert len(jobs_of(station, submission)) == 1


def tag_of(station, job_id: int) -> str:
    tag = read_tag(station.job(job_id).comment)
    assert tag is not None
    return tag.submission


# -- where checkpoints are to be --------------------------------------------------------------------------------------


@pytest.fixture
def full(ann) -> Iterator[Path]:
    """A folder of Ann's on a file system with no room left."""
    folder = ann.folder / "full"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "none", folder], check=True)
    try:
        with contextlib.suppress(OSError), (folder / "filler").open("wb") as filler:
            filler.write(b"x" * 200_000)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_folder_for_checkpoints_that_can_not_be_used_is_one_sentence_and_nothing_is_submitted(
    station, ann, chen, script, full
):
    (chen.folder / "c").mkdir(exist_ok=True)
    os.chown(chen.folder / "c", chen.folder.stat().st_uid, -1)
    (ann.folder / "locked").mkdir()
    (ann.folder / "locked").chmod(0o555)
    os.chown(ann.folder / "locked", ann.folder.stat().st_uid, -1)
    complaints = {
        chen.folder / "c": "belongs to chen, and you may not write to it",
        chen.folder / "new" / "c": f"can't be made: {chen.folder} belongs to chen",
        ann.folder / "locked": "can't be written to",
        full: "its file system is full",
    }
    before = len(station.slurm.read.jobs(with_over=True))
    for folder, complaint in complaints.items():
        done = ann.told(*SUBMIT, *HELD, "--checkpoint-dir", str(folder), script)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"aistation: {folder}: {complaint}")
    assert len(station.slurm.read.jobs(with_over=True)) == before
    assert list(full.iterdir()) == [full / "filler"]


def test_a_half_checkpoint_is_passed_over_and_the_user_is_told_what_the_training_goes_on_from(ann, script):
    folder = ann.folder / "kept"
    with Checkpoints(folder, run=Run("9.0-x", "9", 0)) as kept:
        kept.save(40, b"forty")
    (folder / "runs" / "9.0-x" / ".new-50-abc").mkdir()
    subprocess.run(["chown", "-R", ann.name, folder], check=True)
    done = ann.told(*SUBMIT, *HELD, "--checkpoint-dir", "kept", script)
    assert done.returncode == 0, done.stderr
    said = f"note: the training goes on from the checkpoint of step 40 in {folder}; 1 that was not finished"
    assert any(line.startswith(said) for line in done.stderr.splitlines())
