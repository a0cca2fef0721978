"""Jobs watched on a real Slurm, by the commands of a user: listed, followed through a requeue, told of, summed up."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aistation_slurm.devcluster.nodes import CREDENTIAL_STEP
from aistation_slurm.errors import NotPermitted
from aistation_slurm.jobs.jobstats import is_summary, read_summary
from aistation_slurm.jobs.summaries import Summaries
from aistation_slurm.slurm.states import JobState

pytestmark = pytest.mark.cluster
JOB = (sys.executable, "-m", "aistation_slurm", "job")
TRAIN = """\
import os, sys, time
from aistation_slurm import progress
from aistation_slurm.checkpoint import Checkpoints

checkpoints = Checkpoints(os.environ["AISTATION_CHECKPOINT_DIR"])
begun = checkpoints.claim()
for step in range(begun.step + 1 if begun else 1, 1000):
    time.sleep(0.1)
    progress.report(step, 1000, loss=1 / step)
    print(f"step {step} \u2501", flush=True)
    if step % 10 == 0:
        checkpoints.save(step, b"x")
    if begun and step >= begun.step + 15:
        break
checkpoints.release()
"""  # it never ends before it was requeued


@pytest.fixture
def train(ann) -> int:
    """A training of ann's that has made its second checkpoint."""
    (ann.folder / "watched.py").write_text(TRAIN)
    (ann.folder / "watched.py").chmod(0o644)
    out = ann.run(*JOB, "submit", "--parsable", "--template", "plain", "--group", "v100", "--name", "w", "--time", "10",
                  "--python", sys.executable, "watched.py")  # fmt: skip
    return int(out)


def told(ann: Any, *argv: object) -> Any:
    """What a command says in JSON."""
    return json.loads(ann.run(*JOB, *map(str, argv), "--json"))


def test_a_requeued_training_is_followed_without_a_gap_and_told_of_from_its_start_to_its_end(
    station, ann, train, wait_for
):
    log = ann.folder / f"w-{train}.log"
    wait_for(lambda: log.exists() and "step 23 " in log.read_text(), within=60)
    with ThreadPoolExecutor() as pool:
        follow = pool.submit(ann.run, *JOB, "logs", "-f", str(train), timeout=200)
        running = told(ann, "show", train)
        assert (running["state"], running["progress"]["total"]) == ("RUNNING", 1000)
        assert running["pace"]["seconds_a_step"] > 0.05
        assert f"{train}" in ann.run(*JOB, "top", "--once")

        station.slurm.write.requeue(train)
        wait_for(lambda: station.job(train).reason == "BeginTime", within=60, every=0.1)
        assert str(train) in ann.run(*JOB, "list", "--state", "pending", "--name", "w")
        time.sleep(CREDENTIAL_STEP)  # see docs/recovery.md: not in the second in which a node was told to end the job
        station.slurm.write.update_job(train, start_now=True)
        wait_for(lambda: station.job(train).state.is_over, within=90)
        assert follow.result() == log.read_text()
    since = ann.run(*JOB, "logs", "--since-restart", str(train))
    assert since.startswith(f"aistation: run 1 of job {train} ")

    wait_for(lambda: len(told(ann, "results", train)["runs"]) == 2, within=30, every=0.5)
    results = told(ann, "results", train)
    before, after = results["runs"]
    assert after["first_step"] % 10 == 1  # behind a checkpoint
    assert results["steps_lost"] == before["last_step"] - after["first_step"] + 1
    assert (results["restarts"], results["verdict"]) == (1, None)
    assert results["best"]["loss"]["value"] == pytest.approx(1 / max(before["last_step"], after["last_step"]))
    assert results["checkpoints"][-1]["step"] == after["last_step"] // 10 * 10

    events = [each["what"] for each in told(ann, "events", train)]
    assert events[0] == "submitted"
    assert events.count("started") == events.count("script began") == 2
    order = ["submitted", "requeued", "went on", "completed"]
    assert [each for each in events if each in order] == order


def test_an_array_is_one_line_and_each_member_has_a_name(station, ann, wait_for):
    array = ann.sbatch("echo member $SLURM_ARRAY_TASK_ID; exit $SLURM_ARRAY_TASK_ID", "--array=0-2", "--job-name=many")
    wait_for(
        lambda: all(each["state"] in {"COMPLETED", "FAILED"} for each in members(ann, array)), within=60, every=0.5
    )
    (line,) = [each for each in ann.run(*JOB, "list", "--name", "many").splitlines() if str(array) in each]
    assert f"{array}_[0-2]" in line
    assert "2 FAILED, 1 COMPLETED" in line
    assert ann.run(*JOB, "logs", f"{array}_1") == "member 1\n"
    assert ann.run(*JOB, "logs", str(array)) == "".join(f"{array}_{task}: member {task}\n" for task in range(3))
    assert told(ann, "show", f"{array}_2")["exit_code"] == "2:0"
    refused = ann.told(*JOB, "show", str(array))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"name one of them, such as {array}_0" in refused.stderr


def members(ann: Any, array: int) -> list[dict[str, Any]]:
    return [each for each in told(ann, "list", "--name", "many") if each["array_job_id"] == array]


def test_what_a_job_used_is_kept_in_its_admin_comment_where_reportseff_reads_it(station, ann, wait_for, monkeypatch):
    monkeypatch.setattr("aistation_slurm.jobs.jobstats.SHORTEST", timedelta(0))
    script = "srun python3 -c 'while __import__(\"time\").process_time() < 2: pass'"
    burnt, noted = ann.sbatch(script, "--mem=200", "--time=5"), ann.sbatch("sleep 1", "--mem=200")
    wait_for(lambda: all(ended(station, each) for each in (burnt, noted)), within=60, every=0.5)
    cluster = station.slurm.read.config()["ClusterName"]
    station.slurm.write.set_admin_comment(ended(station, noted), "Seen By The Site", cluster=cluster)

    assert Summaries(station.slurm).round(datetime.now(UTC) + timedelta(minutes=2))

    kept = ended(station, burnt).admin_comment
    summary = read_summary(kept)
    assert is_summary(kept)
    assert summary is not None
    (node,) = summary.nodes.values()
    assert 2 <= node["total_time"] < 30
    assert node["total_memory"] == 200 << 20
    assert ended(station, noted).admin_comment == "Seen By The Site"  # and never written over
    assert told(ann, "results", burnt)["used"]["measured_by"] == "jobstats' summary"
    with pytest.raises(NotPermitted):
        as_ann(station, ann, burnt, cluster)

    pytest.importorskip("reportseff")
    program = "from reportseff.console import main; main()"
    report = station.exec([sys.executable, "-c", program, "--no-color", "--parsable", "--format", "JobID,CPUEff,MemEff",
                           str(burnt)])  # fmt: skip
    assert report.returncode == 0, report.stderr
    _, cpu, memory = report.stdout.splitlines()[-1].split("|")
    assert float(cpu) == pytest.approx(100 * node["total_time"] / node["cpus"] / summary.total_time, abs=0.06)
    assert float(memory) == pytest.approx(100 * node["used_memory"] / node["total_memory"], abs=0.06)


def ended(station: Any, job_id: int) -> Any:
    """The job as slurmdbd remembers it, with its steps; None before it does."""
    (job,) = station.slurm.read.history(job_ids=(job_id,)) or (None,)
    steps = station.slurm.read.step_history(job_id) if job and job.state is JobState.COMPLETED else []
    return job if any(each.usage.cpu_time is not None for each in steps) else None


def as_ann(station: Any, ann: Any, job_id: int, cluster: str) -> None:
    """Write it as a user who is no operator; raises as the writer does."""
    program = (
        "from aistation_slurm.errors import NotPermitted\n"
        "from aistation_slurm.slurm.connect import connect\n"
        "slurm = connect()\n"
        f"job = slurm.read.history(job_ids=({job_id},))[0]\n"
        f"try: slurm.write.set_admin_comment(job, 'JS1:Forged', cluster={cluster!r})\n"
        "except NotPermitted: print('not permitted')\n"
    )
    if ann.run(sys.executable, "-c", program).strip() == "not permitted":
        raise NotPermitted("as the writer said")
