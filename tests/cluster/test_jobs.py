"""Trainings on a real Slurm: two nodes, DDP over gloo, requeued, told to stop, started twice, cancelled."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoints
from aistation_slurm.errors import SlurmRefused
from tests.cluster import trainings
from tests.cluster.trainings import AISTATION, EXAMPLES

pytestmark = pytest.mark.cluster
STEPS = 40
# Its first run never looks whether it was replaced, and makes its folder anew where that is gone.
BLIND = """
import os, time
from checkpoint import CheckpointError, Checkpoints

class Blind(Checkpoints):
    def raise_if_replaced(self):
        if run != "0":
            super().raise_if_replaced()

def content(step):
    return str(step).encode() * 10_000

run = os.environ.get("SLURM_RESTART_COUNT", "0")
checkpoints = Blind(os.environ["AISTATION_CHECKPOINT_DIR"])
found = checkpoints.claim()
step = found.step if found else 0
assert not found or found.file.read_bytes() == content(step)
print(f"run {run} goes on from step {step}", flush=True)
for step in range(step + 1, 301 if run == "0" else 151):
    time.sleep(0.05)
    try:
        checkpoints.save(step, content(step))
    except (CheckpointError, OSError):
        (checkpoints.folder / "runs" / checkpoints.run.run_id).mkdir(parents=True, exist_ok=True)
    else:
        print(f"run {run} saved step {step}", flush=True)
"""
PHASES = ["python up", "torch imported", "process group up", "first step"]


@pytest.fixture(scope="module")
def example() -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    return EXAMPLES / "digits_ddp.py"


class Lab(trainings.Lab):
    """The one of all trainings, with PyTorch's example for short."""

    def submit(self, *args: str, launcher: str = "srun", script: str = "digits_ddp.py", nodes: int = 2) -> int:
        """Submit a training, and return its job's id; without nodes, from the plain template."""
        if not nodes:
            return self.hand_in("plain", script, *args, nodes=1)
        return self.hand_in("pytorch-ddp", script, *args, settings=(f"launcher={launcher}",), nodes=nodes)


@pytest.fixture
def lab(station, ann, example, wait_for) -> Lab:
    lab = Lab(station, ann, wait_for)
    lab.bring(example)
    return lab


def final_loss(text: str) -> str:
    found = re.findall(r"final loss (\S+)", text)
    assert len(found) == 1, text[-3000:]
    return str(found[0])


@pytest.fixture(scope="module")
def ran() -> dict[str, str]:
    """Launcher -> the final loss of a run by it that nothing happened to."""
    return {}


@pytest.fixture
def undisturbed(ran, lab) -> Callable[[str], str]:
    """`undisturbed("srun")` is the final loss of a run that nothing happens to; each launcher runs one once."""

    def loss(launcher: str) -> str:
        if launcher not in ran:
            ran[launcher] = final_loss(to_its_end(lab, launcher))
        return ran[launcher]

    return loss


@pytest.fixture
def expected(undisturbed) -> str:
    """The final loss that every other run must end with."""
    return undisturbed("srun")


def to_its_end(lab: Lab, launcher: str) -> str:
    """Return the log of a training that ran to its end as it should."""
    job_id = lab.submit("--steps", str(STEPS), launcher=launcher)
    log = lab.until_over(job_id)
    assert lab.station.job(job_id).state.is_success, log[-3000:]
    assert re.match(rf"aistation: run 0 of job {job_id} on \S+ at \d+\.\d{{3}}\n", log)
    assert re.findall(r"phase: (.+) at \d+\.\d{3}\n", log) == PHASES
    return log


def test_a_two_node_training_runs_to_its_end_by_either_launcher_with_the_same_loss(undisturbed):
    assert undisturbed("srun") == undisturbed("torchrun")


def test_a_requeued_training_goes_on_from_its_checkpoint_and_ends_with_the_same_loss(lab, expected):
    job_id = lab.submit("--steps", str(STEPS), "--step-time", "0.1")
    lab.until_step(20, job_id)

    lab.station.slurm.write.requeue(job_id)
    lab.start_again(job_id)

    log = lab.until_over(job_id)
    assert f"aistation: run 1 of job {job_id}" in log
    assert re.search(r"resumed from the checkpoint of step [23]\d", log)
    assert final_loss(log) == expected


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_before_its_time_limit_a_training_saves_leaves_and_is_requeued(lab, expected, launcher):
    job_id = lab.submit("--steps", str(STEPS), "--step-time", "0.1", launcher=launcher)
    lab.until_step(10, job_id)

    lab.ann.run("scancel", "--batch", "--signal=USR2", str(job_id))  # what Slurm does with --signal=B:USR2@60
    lab.start_again(job_id)

    log = lab.until_over(job_id)
    stopped = re.search(r"asked to stop: leaving after step (\d+)", log)
    assert stopped
    assert f"resumed from the checkpoint of step {stopped[1]}\n" in log
    assert final_loss(log) == expected


def test_a_run_that_lives_on_behind_a_cut_network_spoils_nothing(lab):
    """One process on one node: nothing tells the old run that its node is lost, and it goes on training and saving."""
    job_id = lab.submit("--steps", "120", "--step-time", "0.1", "--checkpoint-every", "5", nodes=1)
    lab.until_step(10, job_id)
    victim = lab.station.job(job_id).nodes

    lab.station.fault("cut-node", victim)
    with contextlib.suppress(SlurmRefused):  # our daemon may have been quicker
        lab.station.slurm.write.down_node(victim, "aistation: cut by a test")
        lab.start_again(job_id)

    log = lab.until_over(job_id)
    old, new = log.split(f"aistation: run 1 of job {job_id}", 1)
    assert "was replaced by claim 2" in new
    resumed = int(re.findall(r"resumed from the checkpoint of step (\d+)", new)[0])
    assert resumed >= max(int(step) for step in re.findall(r"checkpoint of step (\d+)", old)) - 5
    assert len(re.findall(r"final loss", log)) == 1
    checkpoints = Checkpoints(lab.ann.folder / f"t-{job_id}" / "checkpoints")
    assert [(each.step, each.fault()) for each in checkpoints.checkpoints()] == [(110, ""), (115, ""), (120, "")]
    assert len(list((checkpoints.folder / "runs").iterdir())) == 1


def test_a_cut_off_run_that_never_looks_writes_on_and_its_successors_checkpoints_stay_whole(lab):
    (lab.ann.folder / "blind.py").write_text(BLIND)
    job_id = lab.submit(script="blind.py", nodes=0)
    lab.wait_for(lambda: "run 0 saved step 20\n" in lab.log(job_id))
    victim = lab.station.job(job_id).nodes

    lab.station.fault("cut-node", victim)
    with contextlib.suppress(SlurmRefused):  # our daemon may have been quicker
        lab.station.slurm.write.down_node(victim, "aistation: cut by a test")

    log = lab.until_over(job_id)
    new = log.split("run 1 goes on from step ", 1)[1]
    assert int(new.split()[0]) >= 20
    assert "run 0 saved step" in new.split("run 1 saved step", 1)[1]  # while the successor saved, too
    checkpoints = Checkpoints(lab.ann.folder / f"t-{job_id}" / "checkpoints")
    standing = checkpoints.checkpoints()
    assert [(each.step, each.fault()) for each in standing] == [(148, ""), (149, ""), (150, "")]
    assert [each.file.read_bytes() for each in standing] == [str(each.step).encode() * 10_000 for each in standing]


def test_a_run_that_slurm_starts_twice_is_requeued_instead(lab):
    (lab.ann.folder / "wait.sh").write_text("sleep 60\n")
    job_id = lab.submit(script="wait.sh", nodes=0)
    lab.wait_for((lab.ann.folder / f"t-{job_id}" / "started-0").exists, within=20)

    second = lab.ann.run("scontrol", "write", "batch_script", str(job_id), "-")
    environ = (f"SLURM_JOB_ID={job_id}", "SLURM_JOB_NAME=t", "SLURM_JOB_NODELIST=elsewhere")
    done = lab.station.exec(["env", *environ, "bash", "-c", second], user="ann", cwd=lab.ann.folder)

    assert "was started twice; requeued" in done.stdout
    lab.wait_for(lambda: lab.station.job(job_id).restart_count == 1, within=20)


def test_a_cancelled_gang_is_away_within_two_seconds(lab):
    job_id = lab.submit("--steps", "1000", "--step-time", "0.2")
    lab.until_step(10, job_id)
    lab.ann.run(*AISTATION, "cancel", str(job_id))
    lab.wait_for(lambda: lab.station.job(job_id).state.is_over, within=2)


def test_a_training_that_fails_is_not_requeued(lab):
    (lab.ann.folder / "bad.py").write_text("raise SystemExit(3)\n")
    job_id = lab.submit(script="bad.py")
    log = lab.until_over(job_id)
    assert re.search(r"tasks? [\d,-]+: Exited with exit code 3", log)
    # srun's own code is the largest of its tasks': 143 where the other rank was ended before it could fail itself
    assert re.search(r"ended with code (3|143) ", log)
    assert not lab.station.job(job_id).state.is_success
    assert lab.station.job(job_id).restart_count == 0


def test_a_job_is_listed_shown_and_its_log_followed(lab):
    job_id = lab.submit("--steps", "20", "--step-time", "0.1")
    log = lab.ann.run(*AISTATION, "logs", "-f", str(job_id), timeout=90)
    assert "final loss" in log
    assert log == lab.log(job_id)
    assert job_id in [each["job_id"] for each in json.loads(lab.ann.run(*AISTATION, "list", "--json"))]
    shown = json.loads(lab.ann.run(*AISTATION, "show", "--json", str(job_id)))
    assert shown["progress"]["step"] == shown["progress"]["total"] == 20
    assert shown["log"] == str(lab.ann.folder / f"t-{job_id}.log")
    checkpoints = Checkpoints(lab.ann.folder / f"t-{job_id}" / "checkpoints")
    assert [each.step for each in checkpoints.checkpoints()] == [10, 20]


def test_the_script_of_a_dry_run_works_with_plain_sbatch(lab):
    script = lab.ann.run(
        *AISTATION, "submit", "--dry-run", "--nodes", "2", "--gpus-per-node", "1", "--python", sys.executable,
        "--name", "t", "digits_ddp.py", "--", "--steps", "10",
    )  # fmt: skip
    (lab.ann.folder / "job.sbatch").write_text(script)
    job_id = int(lab.ann.run("sbatch", "--parsable", "job.sbatch"))
    assert "final loss" in lab.until_over(job_id)


def test_a_request_that_can_not_run_is_one_clear_sentence(lab):
    done = lab.station.exec([*AISTATION, "submit", "--group", "v10", "digits_ddp.py"], user="ann", cwd=lab.ann.folder)
    assert done.returncode == 1
    assert done.stderr == "aistation: --group: no GPU group called 'v10'\n           did you mean 'v100'?\n"
