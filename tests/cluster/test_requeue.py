"""The duty `requeue` on a real Slurm: what ended too soon goes on from its checkpoint, once; or its owner is told."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from aistation_slurm import checkpoint
from aistation_slurm.faults import resume_memory as memory
from aistation_slurm.faults.policy import Policy
from aistation_slurm.faults.resume import ResumePolicy
from aistation_slurm.faults.resume_duty import Requeue
from aistation_slurm.faults.tools import Tools
from aistation_slurm.jobs.judge import load_table
from aistation_slurm.jobs.tag import Tag, new_submission
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.engine import open_store

pytestmark = pytest.mark.cluster
SETTLE = timedelta(seconds=2.5)  # 5 s in real life: long enough here, where no storage is shared

STATE_IS_SAVED = timedelta(seconds=8)

SCRIPT = """#!/bin/bash
echo "aistation: run ${{SLURM_RESTART_COUNT:-0}} of job $SLURM_JOB_ID on $SLURM_JOB_NODELIST at 0"
name=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}${{SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
export AISTATION_RUN_ID=run-$name-${{SLURM_RESTART_COUNT:-0}} AISTATION_CHECKPOINT_DIR=$PWD/t-$name/checkpoints
mkdir -p "$AISTATION_CHECKPOINT_DIR"
save() {{ {python} -c 'import sys, checkpoint
them = checkpoint.Checkpoints(sys.argv[1])
start = them.claim()
them.save((start.step if start else 0) + int(sys.argv[2]), b"state")' "$AISTATION_CHECKPOINT_DIR" "$1" || exit 9; }}
{body}
"""
SAVES_AND_IS_RESTARTED = '[ "$SLURM_RESTART_COUNT" ] && exec echo "went on"\nsave 10\n'


@dataclass
class Rig:
    """The duty, as root's cron runs it, with Slurm's mails in a file."""

    station: Any
    ann: Any
    wait_for: Callable[..., object]
    mails: Path
    engine: Engine

    def submit(self, body: str, *options: str, resume: int | None = 3) -> int:
        """Submit a training of ann's that saves checkpoints, and return its job's id."""
        comment = f"--comment=mine {Tag(new_submission(), resume)}"
        script = SCRIPT.format(python=sys.executable, body=body)
        return int(self.ann.sbatch(script, "--job-name=t", "--requeue", "--open-mode=append", comment, *options))

    def duty(self, *, policy: ResumePolicy | None = None, dry_run: bool = False) -> Requeue:
        tools = Tools(
            slurm=self.station.slurm, engine=self.engine, run_dir=self.station.settings.run_dir,
            policy=Policy(dry_run=dry_run), actor="a test",
        )  # fmt: skip
        return Requeue(tools, table=load_table, policy=lambda: policy or ResumePolicy(settle=SETTLE))

    def until_over(self, *job_ids: int, within: float = 60) -> list[Job]:
        """Wait until the jobs are over, and for long enough that the duty looks at them; return them."""
        self.wait_for(lambda: all(self.job(each).state.is_over for each in job_ids), within=within)
        jobs = [self.job(each) for each in job_ids]
        self.wait_for(lambda: all(self.duty().tools.clock() - each.end_time > SETTLE for each in jobs), within=30)
        return jobs

    def job(self, job_id: int) -> Job:
        found: Job = self.station.job(job_id)
        return found

    def about(self, job_id: int, lines: list[str] | None = None) -> list[str]:
        """Run a round, or take what several have said, and return the lines about this job."""
        return [line for line in (self.duty().round() if lines is None else lines) if f"job {job_id} " in line]

    def told(self, job_id: int) -> list[str]:
        """The mails about the job."""
        text = self.mails.read_text() if self.mails.exists() else ""
        return [mail for mail in text.split("=== ") if f"job {job_id} " in mail]


@contextlib.contextmanager
def conf_with(station: Any, key: str, value: str) -> Iterator[None]:
    """Slurm with another line in its slurm.conf."""
    conf = station.settings.slurm.conf
    before = conf.read_text()
    rest = "".join(line for line in before.splitlines(keepends=True) if not line.startswith(f"{key}="))
    conf.write_text(f"{key}={value}\n{rest}")
    station.exec(["scontrol", "reconfigure"])
    try:
        yield
    finally:
        conf.write_text(before)
        station.exec(["scontrol", "reconfigure"])


@pytest.fixture(scope="module")
def mails(station) -> Iterator[Path]:
    """Where Slurm's mails go while these tests run; our daemon, which runs as SlurmUser, stays out of them."""
    folder = station.scratch / "mail"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    program = folder / "program"
    program.write_text(f'#!/bin/sh\n{{ printf "=== %s to %s\\n" "$2" "$3"; cat; }} >> {folder}/sent\n')
    program.chmod(0o755)
    with station.without("daemon"), conf_with(station, "MailProg", str(program)):
        yield folder / "sent"


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[Engine]:
    """What the duty remembers in all of these tests."""
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('store')}/aistation.db")
    yield opened
    opened.dispose()


@pytest.fixture
def rig(station, ann, wait_for, mails, engine) -> Iterator[Rig]:
    shutil.copy(checkpoint.__file__, ann.folder / "checkpoint.py")
    (ann.folder / "checkpoint.py").chmod(0o644)
    ann.folder.chmod(0o700)  # only its owner may look, and root has to become her for that
    yield Rig(station, ann, wait_for, mails, engine)
    ann.folder.chmod(0o755)


def test_each_ended_training_is_treated_as_it_deserves_and_once(rig):
    goes_on = rig.submit(f"{SAVES_AND_IS_RESTARTED}exit 75\n")
    broken = rig.submit('save 10\necho "ModuleNotFoundError: No module named timm"\nexit 1\n')
    not_to_be_requeued = rig.submit("save 10\nexit 75\n", "--no-requeue")
    untagged = rig.submit("exit 75\n", resume=None)
    cancelled = rig.submit("save 10\nsleep 300\n")
    fine = rig.submit("save 10\n")
    array = rig.submit(
        '[ "$SLURM_ARRAY_TASK_ID" = 2 ] || exit 0\n' + f"{SAVES_AND_IS_RESTARTED}exit 75\n", "--array=1-3"
    )
    rig.wait_for((rig.ann.folder / f"t-{cancelled}" / "checkpoints" / "runs").exists, within=30)
    rig.ann.run("scancel", str(cancelled))
    members = {each.array_task: each.job_id for each in rig.station.slurm.read.jobs(with_over=True)
               if each.array_job_id == array}  # fmt: skip
    rig.until_over(goes_on, broken, not_to_be_requeued, untagged, cancelled, fine, *members.values())

    with hidden(rig.ann.folder):
        assert rig.about(goes_on) == [f"leave job {goes_on} t of ann: there is no {rig.ann.folder} on this machine"]
    assert rig.about(goes_on, rig.duty(dry_run=True).round())[0].startswith("would start job ")
    assert rig.job(goes_on).state is JobState.FAILED
    duties = [rig.duty() for _ in range(4)]  # the daemon's, and three that cron has started at once
    lines = at_once(duties)

    (again,) = rig.about(goes_on, lines)
    assert "again from step 10: its program ended with code 75" in again
    assert again.endswith("(1 of 3)")
    (stopped,) = rig.about(broken, lines)
    assert "is not started again: a Python module is missing" in stopped
    (refused,) = rig.about(not_to_be_requeued, lines)
    assert "is not started again: its program ended with code 75" in refused
    assert "; Slurm did not take it back: " in refused
    assert len(rig.told(not_to_be_requeued)) == 1
    assert rig.about(members["2"], lines)
    assert not any(rig.about(each, lines) for each in (untagged, cancelled, fine, members["1"], members["3"]))
    rig.wait_for(lambda: rig.job(goes_on).state.is_success and rig.job(members["2"]).state.is_success, within=40)
    assert [rig.job(each).restart_count for each in (goes_on, members["2"], broken, untagged, cancelled)] == [
        1,
        1,
        0,
        0,
        0,
    ]
    assert rig.job(members["1"]).restart_count == rig.job(members["3"]).restart_count == 0
    assert "went on" in rig.ann.output(goes_on)
    (mail,) = rig.told(broken)
    assert mail.startswith(f"Slurm job {broken} t stopped: ")
    assert "ModuleNotFoundError: No module named timm" in mail
    assert f"aistation job submit --again {rig.ann.folder}/t-{broken}" in mail
    assert rig.duty().round() == []
    assert rig.told(broken) == [mail]
    assert [each.action for each in memory.resumed(rig.engine, job_id=goes_on)] == ["restart"]
    shown = rig.ann.told(sys.executable, "-m", "aistation_slurm", "fault", "judge", str(broken))
    assert shown.stdout.splitlines()[1:] == [
        "  ModuleNotFoundError: No module named timm",
        "another try would end the same",
    ]


@contextlib.contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """As on a machine that does not have the folder's file system."""
    elsewhere = folder.rename(folder.with_name(f"{folder.name}-elsewhere"))
    try:
        yield
    finally:
        elsewhere.rename(folder)


def at_once(duties: list[Requeue]) -> list[str]:
    """Run a round of each in the same moment, and return all that they say."""
    said: list[str] = []
    begin = threading.Barrier(len(duties))

    def one(duty: Requeue) -> None:
        begin.wait()
        said.extend(duty.round())

    threads = [threading.Thread(target=one, args=(each,)) for each in duties]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_a_training_that_comes_no_further_stops_and_one_that_breaks_on_a_node_is_kept_from_it(rig):
    stuck = rig.submit('[ "$SLURM_RESTART_COUNT" ] || save 10\nexit 75\n', resume=9)
    breaks = '[ "$SLURM_RESTART_COUNT" = 2 ] && exit 0\nsave 10\nkill -BUS $$\n'
    unlucky = rig.submit(breaks, "--exclude=v100-02", resume=9)
    _, first = rig.until_over(stuck, unlucky)
    lines = rig.duty().round()
    assert "again from step 10" in rig.about(stuck, lines)[0]
    assert "again from step 10: a file that it had mapped went away" in rig.about(unlucky, lines)[0]
    rig.wait_for(lambda: {rig.job(each).restart_count for each in (stuck, unlucky)} == {1}, within=20)

    rig.until_over(stuck, unlucky)
    lines = rig.duty().round()
    assert "again from step 10" in rig.about(stuck, lines)[0]
    assert rig.job(stuck).state is JobState.PENDING  # it came no further, and has to wait as Slurm wants it to
    rig.station.slurm.write.update_job(stuck, start_now=True)
    assert f"and no more on {first.nodes}, where it broke twice" in rig.about(unlucky, lines)[0]
    told = rig.station.exec(["scontrol", "-o", "show", "job", str(unlucky)]).stdout
    assert set(expand(re.search(r"ExcNodeList=(\S+)", told)[1])) == {"v100-02", first.nodes}

    rig.until_over(stuck)
    (line,) = rig.about(stuck)
    assert "it came no further than the run before, twice in a row" in line
    assert rig.about(stuck) == []
    assert rig.job(stuck).restart_count == 2
    assert len(rig.told(stuck)) == 1
    rig.wait_for(lambda: rig.job(unlucky).state.is_success, within=40)
    assert rig.job(unlucky).nodes != first.nodes


def test_a_job_whose_place_an_emergency_took_for_good_goes_on(rig):
    """PreemptMode=CANCEL ends the victim; Slurm by itself would leave it at that."""
    with preempting_by(rig.station, "cancel"):
        victim = rig.submit(f"{SAVES_AND_IS_RESTARTED}sleep 300\n", "--nodelist=v100-01", "--gres=gpu:2")
        rig.wait_for((rig.ann.folder / f"t-{victim}" / "checkpoints" / "runs").exists, within=30)
        urgent = rig.station.user("chen").sbatch("sleep 1", "--nodelist=v100-01", "--gres=gpu:1", "--qos=emergency")
        (job,) = rig.until_over(victim)
        assert job.state is JobState.PREEMPTED
        (line,) = rig.about(victim)
    assert "again from step 10: a job that goes before it took its place" in line
    rig.wait_for(lambda: rig.job(victim).state.is_success, within=40)
    assert rig.job(urgent).state.is_success
    assert "went on" in rig.ann.output(victim)


@contextlib.contextmanager
def preempting_by(station: Any, mode: str) -> Iterator[None]:
    """What may be preempted is ended in this way while it lasts."""
    for value in (mode, "requeue"):
        done = station.exec(["sacctmgr", "-i", "modify", "qos", "normal", "set", f"PreemptMode={value}"])
        assert done.returncode == 0, done.stderr
        if value == mode:
            try:
                yield
            except BaseException:
                station.exec(["sacctmgr", "-i", "modify", "qos", "normal", "set", "PreemptMode=requeue"])
                raise


@pytest.mark.slow
def test_a_time_limit_that_cut_a_training_short_is_gone_on_from(rig):
    job_id = rig.submit(f"{SAVES_AND_IS_RESTARTED}sleep 300\n", "--time=1")
    (job,) = rig.until_over(job_id, within=150)  # Slurm looks at the limits twice a minute
    assert job.state is JobState.TIMEOUT
    assert "again from step 10: it reached its time limit" in rig.about(job_id)[0]
    rig.wait_for(lambda: rig.job(job_id).state.is_success, within=40)


TRAINING = """import os, sys, checkpoint
them = checkpoint.Checkpoints(os.environ["AISTATION_CHECKPOINT_DIR"])
start = them.claim()
step = start.step if start else 0
print("at step", step)
them.save(step + 10, b"state")
sys.exit(0 if start else 75)
"""


def test_the_owner_of_a_job_that_slurm_has_forgotten_is_told_the_command_which_goes_on_from_its_checkpoint(rig):
    (rig.ann.folder / "train.py").write_text(TRAINING)
    aistation = (sys.executable, "-m", "aistation_slurm")
    asked = ("--auto-resume=3", "--template", "plain", "--name", "t", "--python", sys.executable, "--parsable")
    job_id = int(rig.ann.run(*aistation, "job", "submit", *asked, "train.py"))
    assert rig.about(job_id) == []  # the duty has seen it once
    (over,) = rig.until_over(job_id)
    # A reconfigure takes the last job's number from a state that is up to 5 s old (SAVE_MAX_WAIT; load_last_job_id in
    # read_config.c, 22.05): a job that was forgotten by then would give its number to the next one.
    rig.wait_for(lambda: rig.duty().tools.clock() - over.submit_time > STATE_IS_SAVED)
    with conf_with(rig.station, "MinJobAge", "2"):
        held = rig.station.slurm.read.jobs
        rig.wait_for(lambda: job_id not in {each.job_id for each in held(with_over=True)}, within=150, every=1)
        (line,) = rig.about(job_id)
    assert "its program ended with code 75" in line
    assert "and Slurm has forgotten it by now" in line
    assert rig.about(job_id) == []
    (mail,) = rig.told(job_id)
    (command,) = re.findall(r"(?m)^    aistation (job submit --again .*)$", mail)

    again = int(rig.ann.run(*aistation, *shlex.split(command), "--parsable"))
    rig.wait_for(lambda: rig.job(again).state.is_over, within=60)
    assert rig.job(again).state.is_success
    assert "at step 10" in (rig.ann.folder / f"t-{again}.log").read_text()
