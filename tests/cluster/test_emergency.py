"""Emergency on the real Slurm: who may, who goes first, and what becomes of those who made room."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from aistation_slurm import checkpoint
from aistation_slurm.cluster import apply, load, make_plan
from aistation_slurm.store.audit import newest
from aistation_slurm.store.engine import open_store

pytestmark = pytest.mark.cluster
AISTATION = (sys.executable, "-m", "aistation_slurm")
URGENT = ("--qos=emergency", "--gpus=2")
# Saves only when it is told to: what the next run goes on from was saved then.
TRAINING = """
import os, signal, time
from checkpoint import Checkpoints, SaveSoon

checkpoints = Checkpoints(os.environ["AISTATION_CHECKPOINT_DIR"])
found = checkpoints.claim()
step = found.step if found else 0
print(f"goes on from step {step}", flush=True)
soon = SaveSoon(signal.SIGUSR2, signal.SIGTERM)
while not soon.wanted:
    time.sleep(0.05)
    step += 1
checkpoints.save(step, str(step).encode())
print(f"saved step {step}", flush=True)
"""

Aistation = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aistation(station) -> Aistation:
    """`aistation("emergency", "list", user="ann")`."""

    def run(*words: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        done = station.exec([*AISTATION, *words], user=user)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def file(station) -> Iterator[Path]:
    """The cluster file; afterwards it is as it was, and Slurm is what it says."""
    settings, path = station.settings, station.settings.cluster_file
    text = path.read_bytes()
    yield path
    station.cancel_all()
    path.write_bytes(text)
    made = make_plan(
        load(path), station.slurm, conf_dir=settings.slurm.conf.parent, gpu_device=settings.slurm.gpu_device,
        source=str(path),
    )  # fmt: skip
    list(apply(made, station.slurm, force=True))


def audit(station) -> list[tuple[str, str]]:
    """Return who did what, newest first."""
    engine = open_store(station.settings.database)
    found = [(each.actor, each.what) for each in newest(engine)]
    engine.dispose()
    return found


def refusal(user, *argv: str) -> str:
    """Return what Slurm says when it refuses what the user wants."""
    done = user.station.exec(argv, user=user.name, cwd=user.folder)
    assert done.returncode != 0, f"accepted: {done.stdout}{done.stderr}"
    return done.stderr


def fill(station, wait_for) -> list[int]:
    """Take all six GPUs of v100 with ordinary jobs, ann's and bob's."""
    ann, bob = station.user("ann"), station.user("bob")
    jobs = [user.sbatch("sleep 300", "--gpus=2") for user in (ann, ann, bob)]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))
    return jobs


def test_a_grant_brings_file_and_slurm_to_one_word_and_a_revoke_takes_it_back(station, aistation, file, ann, wait_for):
    before = file.read_text()
    looked = aistation("emergency", "grant", "ann", "--dry-run")
    assert looked.stdout.splitlines() == [
        f"~ file {file}  teams.behavior.emergency: + ann",
        "~ user ann  in behavior QOS+=emergency",
    ]
    assert file.read_text() == before
    assert "Invalid qos" in refusal(ann, "sbatch", *URGENT, "--wrap=true")

    assert aistation("emergency", "grant", "ann").stdout == looked.stdout + (
        "ann of team behavior may submit emergency jobs\n"
    )
    assert file.read_text() == before.replace("members: [ann, bob]", "members: [ann, bob], emergency: [ann]")
    assert file.with_name(f"{file.name}.old").read_text() == before
    assert aistation("cluster", "plan", "--detailed-exitcode").returncode == 0
    assert audit(station)[0] == ("root", "ann of team behavior may submit emergency jobs")
    assert ann.sbatch("true", *URGENT)
    assert aistation("emergency", "grant", "ann").stdout.startswith("nothing to do: ")

    ahead = ann.sbatch("sleep 300")
    later = ann.sbatch("true", *URGENT, f"--dependency=afterany:{ahead}")
    revoked = aistation("emergency", "revoke", "ann")
    assert revoked.returncode == 0
    assert f"these wait and can't start any more: {later}\n" in revoked.stderr
    ann.run("scancel", str(ahead))
    wait_for(lambda: station.job(later).reason == "InvalidQOS")
    assert load(file).teams["behavior"].emergency == []
    assert aistation("cluster", "plan", "--detailed-exitcode").returncode == 0
    noted = json.loads(aistation("cluster", "history", "--json").stdout)
    assert [each["kind"] for each in sorted(noted, key=lambda each: each["number"])][-2:] == ["grant", "revoke"]
    assert "Invalid qos" in refusal(ann, "sbatch", *URGENT, "--wrap=true")


def test_a_grant_changes_nothing_else_that_the_file_and_slurm_disagree_about(aistation, file):
    file.write_text(file.read_text().replace("members: [chen, eve]", "members: [chen]"))
    drift = json.loads(aistation("cluster", "plan", "--json").stdout)["lines"]
    assert aistation("emergency", "grant", "ann").returncode == 0
    assert json.loads(aistation("cluster", "plan", "--json").stdout)["lines"] == drift == ["- user eve  in face"]


def test_what_slurm_refuses_leaves_the_file_as_it_was(station, aistation, file, ann):
    own = ann.folder / "cluster.yaml"
    own.write_bytes(file.read_bytes())
    settings = station.cluster.paths.config.read_text()
    settings = re.sub(r"(?m)^cluster_file = .*$", f'cluster_file = "{own}"', settings)
    settings = re.sub(r"(?m)^database = .*$", f'database = "sqlite:///{ann.folder}/own.db"', settings)
    (ann.folder / "own.toml").write_text(settings)
    for each in (own, ann.folder / "own.toml"):
        shutil.chown(each, "ann")
    done = station.exec(
        ["env", f"AISTATION_CONFIG={ann.folder / 'own.toml'}", *AISTATION, "emergency", "grant", "ann"], user="ann"
    )
    assert done.returncode == 1
    assert "the cluster file is as it was" in done.stderr
    assert own.read_bytes() == file.read_bytes()
    assert aistation("cluster", "plan", "--detailed-exitcode").returncode == 0


def test_wrong_words_and_people_without_the_right_are_refused_in_one_sentence(aistation, file):
    before = file.read_bytes()
    assert "no user called 'anne'" in aistation("emergency", "grant", "anne").stderr
    assert "did you mean 'ann'?" in aistation("emergency", "grant", "anne").stderr
    assert "ann is in behavior" in aistation("emergency", "grant", "ann", "--team", "face").stderr
    assert "can't be written by you" in aistation("emergency", "grant", "ann", user="ann").stderr
    assert "ann is no administrator" in aistation("emergency", "order", "1", "--first", user="ann").stderr
    assert aistation("emergency", "order", "1").returncode == 64
    assert file.read_bytes() == before


def test_without_the_right_every_path_to_emergency_is_closed(station, ann, wait_for):
    assert "Invalid qos" in refusal(ann, "sbatch", *URGENT, "--wrap=true")
    assert "Invalid qos" in refusal(ann, "sbatch", "--qos=Emergency", "--array=1-2", "--wrap=true")
    assert "Invalid qos" in refusal(ann, "srun", *URGENT, "true")
    assert "Invalid qos" in refusal(ann, "salloc", *URGENT, "true")
    assert "Invalid qos" in refusal(ann, "srun", "--gpus=1", ":", *URGENT, "true")
    job = ann.sbatch("sleep 300", "--begin=now+1hour")
    assert "Invalid qos" in refusal(ann, "scontrol", "update", f"JobId={job}", "QOS=emergency")
    assert station.job(job).qos == "normal"


def test_an_emergency_job_overtakes_an_older_one_of_its_team_and_both_keep_to_the_quota(station, chen, wait_for):
    fillers = fill(station, wait_for)
    older = station.user("eve").sbatch("sleep 300", "--gpus=2")
    wait_for(lambda: station.job(older).reason == "Resources")
    for _ in range(2):  # one after the other: of several at once Slurm would make room even for one above the quota
        urgent = chen.sbatch("sleep 300", *URGENT)
        wait_for(lambda urgent=urgent: station.job(urgent).state.is_running, within=60)
    third = chen.sbatch("sleep 300", *URGENT)
    wait_for(lambda: station.job(third).reason.startswith("QOSMax"))
    assert station.job(older).state.is_waiting
    assert [station.job(each).restart_count for each in fillers].count(0) == 1, "nobody makes room for what can't run"
    for each in fillers:
        station.slurm.write.scancel(station.job(each))
    wait_for(lambda: station.job(older).state.is_running, within=60)
    assert station.job(third).state.is_waiting
    words = ("sbatch", "--hold", "--qos=emergency", "--gpus=5", "--wrap=true")
    said = station.exec(words, user="chen", cwd=chen.folder).stderr
    assert "gpus: 5 -> 4 (a user may have 4 GPUs of v100)" in said


def test_an_emergency_job_is_sent_ahead_of_others_and_starts_before_them(station, aistation, ann, chen, wait_for):
    one_node = (*URGENT, "--nodelist=v100-01")
    running = chen.sbatch("sleep 300", *one_node)
    wait_for(lambda: station.job(running).state.is_running)
    first, second, third = (chen.sbatch("sleep 300", *one_node) for _ in range(3))
    wait_for(lambda: station.slurm.read.site_factors().keys() >= {first, second, third})

    looked = aistation("emergency", "order", str(third), "--first", "--dry-run").stdout
    assert re.fullmatch(rf"~ job {third}  SiteFactor 0 -> \d+ \(first\)\n", looked)
    assert waiting(aistation) == [first, second, third]
    done = aistation("emergency", "order", str(third), "--first")
    assert done.stdout.endswith(f"emergency job {third} of chen goes first\n"), done.stderr
    assert waiting(aistation) == [third, first, second]
    assert audit(station)[0] == ("root", f"emergency job {third} of chen goes first")
    assert aistation("emergency", "order", str(second), "--before", str(first)).returncode == 0
    assert waiting(aistation) == [third, second, first]
    again = aistation("emergency", "order", str(second), "--before", str(first))
    assert again.stdout == f"job {second} is before {first} already\n"

    assert "runs already" in aistation("emergency", "order", str(running), "--first").stderr
    ordinary = ann.sbatch("sleep 300", "--begin=now+1hour")
    assert "is of QOS normal" in aistation("emergency", "order", str(ordinary), "--first").stderr

    for before, each in ((running, third), (third, second)):
        chen.run("scancel", str(before))
        wait_for(lambda each=each: station.job(each).state.is_running)
        assert station.job(first).state.is_waiting


def waiting(aistation: Aistation) -> list[int]:
    """Return the emergency jobs that wait, in the order in which the list has them."""
    jobs = json.loads(aistation("emergency", "list", "--json").stdout)["jobs"]
    return [int(each["job"]) for each in jobs if each["place"]]


def test_who_made_room_was_told_saved_and_runs_again_from_there_without_slurms_wait(station, chen, wait_for):
    trainings = {train(station.user(name)): station.user(name) for name in ("ann", "ann", "bob")}
    wait_for(lambda: all("goes on from step 0" in log(user, job) for job, user in trainings.items()), within=60)
    urgent = chen.sbatch("sleep 300", *URGENT)
    wait_for(lambda: station.job(urgent).state.is_running, within=60)

    victim = next(job for job in trainings if station.job(job).restart_count)
    assert [station.job(job).restart_count for job in trainings].count(1) == 1, "one made room, and one is enough"
    wait_for(lambda: station.job(victim).state.is_waiting and station.job(victim).reason != "BeginTime", within=60)
    chen.run("scancel", str(urgent))
    wait_for(lambda: "aistation: run 1" in log(trainings[victim], victim), within=60)
    wait_for(lambda: log(trainings[victim], victim).count("goes on from step") == 2)

    job = station.job(victim)
    assert job.start_time - job.submit_time < timedelta(seconds=100), "Slurm's own wait is 121 s"
    _, step = re.findall(r"goes on from step (\d+)", log(trainings[victim], victim))
    assert int(step) > 0
    lifted = f"start job {victim} now: it was preempted, and waits for nothing else"
    assert lifted in [what for _, what in audit(station)]


def train(user) -> int:
    """Submit the training from the plain template, on two GPUs."""
    for name, text in (("train.py", TRAINING), ("checkpoint.py", Path(checkpoint.__file__).read_text())):
        (user.folder / name).write_text(text)
        (user.folder / name).chmod(0o644)
    return int(
        user.run(
            *AISTATION, "job", "submit", "--parsable", "--template", "plain", "--group", "v100", "--gpus-per-node", "2",
            "--name", "t", "--time", "30", "--python", sys.executable, "train.py",
        )
    )  # fmt: skip


def log(user, job_id: int) -> str:
    path = user.folder / f"t-{job_id}.log"
    return path.read_text() if path.exists() else ""
