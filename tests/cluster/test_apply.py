"""`aistation cluster apply` on a live cluster: killed at any moment, refused, or worse off, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aistation_slurm.cluster.applying.carry_out import Wish, carry_out
from aistation_slurm.cluster.applying.health import look_at_health
from aistation_slurm.cluster.history.history import History
from aistation_slurm.cluster.history.rollback import way_back
from aistation_slurm.errors import TakenBack, UnsafePlan
from tests.cluster.applying import PLAIN, Applying, changed

pytestmark = pytest.mark.cluster

KILLS = int(os.environ.get("AISTATION_TEST_KILLS", "0"))
"""At so many moments an apply is killed, one that restarts daemons too; without it at a few, and none is restarted."""
FEW = 6


@pytest.fixture
def applying(station, tmp_path) -> Iterator[Applying]:
    """The station as one who applies sees it; afterwards it is what its own file says again, and so is slurm.conf."""
    own, site = station.settings.cluster_file, station.settings.slurm.conf
    spec, conf = own.read_text(), site.read_text()
    lines = conf.splitlines(keepends=True)
    site.write_text("".join(line for line in lines if not line.startswith("SchedulerParameters")))
    own.write_text(spec + PLAIN)
    new = tmp_path / "changed.yaml"
    new.write_text(changed(own.read_text(), shares=bool(KILLS)))
    found = Applying(station, own, new)
    found.apply(own)
    yield found
    station.cancel_all()
    own.write_text(spec + PLAIN)
    found.apply(own)
    for node in station.slurm.read.nodes():
        if node.state.is_draining or node.state.is_drained:  # by an apply in stages that did not get to its end
            station.slurm.write.resume_node(node)
    own.write_text(spec)
    site.write_text(conf)
    station.slurm.write.reconfigure()


@pytest.fixture
def jobs(station, ann, chen, wait_for) -> Iterator[dict[int, tuple[object, ...]]]:
    """Jobs that run and wait, and how they are; afterwards they are still so."""
    running = [ann.sbatch("sleep 600", "--gpus=2"), chen.sbatch("sleep 600", "--gpus=2")]
    waiting = [ann.sbatch("sleep 600", "--gpus=3"), ann.sbatch("sleep 600", "--gpus=1", "--begin=now+1hour")]
    wait_for(lambda: all(station.job(each).state.is_running for each in running))
    wait_for(lambda: all(station.job(each).state.is_waiting for each in waiting))

    def how() -> dict[int, tuple[object, ...]]:
        found = look_at_health(station.slurm).jobs
        ours = [found[number] for number in (*running, *waiting)]
        return {
            each.job_id: (each.state, each.restart_count, each.nodes, each.start_time if each.nodes else None)
            for each in ours
        }

    before = how()
    yield before
    assert how() == before


def save(station, job: int, wait_for) -> None:
    """Let slurmctld save what it knows of jobs: what is younger dies with it. It does so once one has changed."""
    state, begun = station.cluster.paths.state / "slurmctld" / "job_state", time.time()
    station.slurm.write.update_job(job, comment=f"as of {begun}")
    wait_for(lambda: state.stat().st_mtime > begun)


def spread(count: int, wanted: int) -> list[int]:
    """Return so many of the numbers from 1 to `count`, all of them where there are no more, the last one too."""
    return sorted({1 + round(n * (count - 1) / (wanted - 1)) for n in range(wanted)})


def test_an_apply_that_is_killed_at_any_moment_leaves_the_old_or_the_new(applying, jobs):
    old = applying.picture()
    moments = applying.killed_at(0)
    new = applying.picture()
    assert {name for name in old if old[name] != new[name]} >= {
        "qos",
        "association",
        "partition",
        "slurm.conf",
        "aistation.conf",
        "aistation_policy.lua",
        "aistation_policy.json",
    }
    tried = spread(len(moments), KILLS or FEW)
    for moment in tried:
        applying.apply(applying.old)
        assert applying.picture() == old
        passed = applying.killed_at(moment)
        verdict = applying.shadow()
        assert verdict.started, f"killed at {passed[-1]!r}: {verdict}"
        if moment % 2:
            applying.apply(applying.new)
            assert applying.picture() == new, f"killed at {passed[-1]!r}, and applied again"
        else:
            done = applying.aistation("cluster", "rollback", "--yes", "--force", "--no-canary")
            assert done.returncode == 0, f"killed at {passed[-1]!r}: {done.stderr}"
            assert applying.picture() == old, f"killed at {passed[-1]!r}, and rolled back"
        assert History(applying.conf_dir).interrupted() is None


def test_an_interrupted_apply_is_said_and_finished_also_where_slurmctld_has_died(station, applying, jobs, wait_for):
    applying.killed_at("before ~ slurmctld")
    told = History(applying.conf_dir).interrupted().told()
    assert "was interrupted at step" in told
    assert "~ slurmctld" in told
    said = applying.aistation("cluster", "plan", str(applying.new))
    assert any(line.startswith("~ slurmctld") for line in said.stdout.splitlines()), said.stdout
    assert f"note: {told}; the next apply finishes it" in said.stderr

    save(station, min(jobs), wait_for)
    station.fault("kill-slurmctld")
    said = applying.aistation("cluster", "plan", str(applying.new))
    assert said.returncode == 1
    assert f"{told}; the next apply puts Slurm's files back and starts it" in said.stderr
    done = applying.aistation("cluster", "apply", "--yes", "--no-canary", str(applying.new))
    assert done.returncode == 0, done.stderr
    assert "slurmctld does not answer: put back as before" in done.stderr
    target = applying.target(applying.new)
    assert target.plan(target.load()).lines() == []
    applying.apply(applying.old)


@pytest.mark.slow
def test_files_that_end_slurmctld_are_taken_back_and_it_is_started(station, applying, jobs, wait_for):
    old = applying.picture()
    save(station, min(jobs), wait_for)

    def spoil(moment: str) -> None:
        if moment.startswith("before ~ slurmctld"):
            with (applying.conf_dir / "aistation.conf").open("a") as file:
                file.write("PartitionName=spoilt Nodes=there-is-none\n")

    with pytest.raises(TakenBack, match="was taken back"):
        applying.apply(applying.new, witness=spoil)
    assert station.slurm.write.ping()
    assert applying.picture() == old
    assert History(applying.conf_dir).entries()[-1].state == "undone"


def test_a_node_that_falls_takes_the_apply_back(station, applying, jobs):
    old = applying.picture()

    def fell(moment: str) -> None:
        if moment.startswith("after ~ slurmctld"):
            reason = "gres/gpu count reported lower than configured (1 < 2)"
            done = station.exec(["scontrol", "update", "NodeName=dev-01", "State=DOWN", f"Reason={reason}"])
            assert done.returncode == 0

    try:
        with pytest.raises(TakenBack, match="dev-01 is down"):
            applying.apply(applying.new, witness=fell)
        assert applying.picture() == old
    finally:
        station.exec(["scontrol", "update", "NodeName=dev-01", "State=RESUME"])


@pytest.mark.slow
def test_gpus_that_are_not_there_are_taken_back_before_a_node_is_lost(station, applying, jobs, wait_for):
    old = applying.picture()
    slurm = station.settings.slurm.model_copy(update={"gpu_device": "/dev/there-is-no-gpu"})
    target = replace(applying.target(applying.old), settings=station.settings.model_copy(update={"slurm": slurm}))
    wish = Wish(spec=target.load(), text=applying.old.read_text(), canary=False)
    with pytest.raises(TakenBack, match="dev restart"):
        carry_out(target, wish)
    assert applying.picture() == old
    wait_for(lambda: all(station.node(name).state.is_usable for name in ("v100-01", "v100-02", "v100-03", "dev-01")))


def test_the_way_back_puts_the_cluster_file_back_too(station, applying):
    own = applying.old
    before, old = own.read_text(), applying.picture()
    own.write_text(applying.new.read_text())
    done = applying.aistation("cluster", "apply", "--yes", "--force", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert any(line.startswith("+ account robot") for line in said["done"])
    assert any("canary job" in note for note in said["canary"]), said["canary"]
    back = applying.aistation("cluster", "rollback", "--yes", "--force", "--no-canary")
    assert back.returncode == 0, back.stderr
    assert applying.picture() == old
    assert own.read_text() == before
    assert Path(f"{own}.old").read_text() == applying.new.read_text()
    entries = json.loads(applying.aistation("cluster", "history", "--json").stdout)
    assert [each["kind"] for each in entries[-2:]] == ["apply", "rollback"]
    assert {each["state"] for each in entries[-2:]} == {"done"}
    diff = applying.aistation("cluster", "history", str(said["number"]), "--diff").stdout
    assert "+over_request: remind" in diff
    assert "MaxTime=2-00:00:00" in diff


def test_before_the_first_apply_there_was_nothing_of_ours(station, applying):
    old = applying.picture()
    first = History(applying.conf_dir).entries()[0]
    way = way_back(History(applying.conf_dir), first.number)
    assert (way.text, way.entry.number) == (None, 1)
    target = applying.target(way.cluster_file)
    wish = Wish(spec=way.spec, text=None, force=True, canary=False, watch=False, kind="rollback", undoes=1)
    carry_out(target, wish)
    assert {each.name for each in station.slurm.read.partitions()} == {"site"}
    assert {each.name for each in station.slurm.read.qos()} == {"normal"}
    assert {(each.account, each.user) for each in station.slurm.read.associations()} == {("root", ""), ("root", "root")}
    assert "aistation: " not in (applying.conf_dir / "slurm.conf").read_text()
    assert History(applying.conf_dir).last_applied() is None
    applying.apply(applying.old)
    assert applying.picture() == old


def test_an_unsafe_plan_leaves_no_trace(station, applying, chen, wait_for):
    job = chen.sbatch("sleep 600", "-p", "v100", "--gpus=1")
    wait_for(lambda: station.job(job).state.is_running)
    entries = len(History(applying.conf_dir).entries())
    text = applying.old.read_text().replace("members: [chen, eve], emergency: [chen]", "members: [eve]")
    applying.new.write_text(text)
    with pytest.raises(UnsafePlan):
        applying.apply(applying.new)
    assert len(History(applying.conf_dir).entries()) == entries


def test_a_plan_that_jobs_are_in_the_way_of_is_applied_in_stages(station, applying, ann, wait_for):
    text = applying.old.read_text()
    applying.new.write_text(changed(text, shares=True))
    share = ("-p", "dev", "--qos=development", "--gres=shard:1")
    job = ann.sbatch("sleep 600", *share)
    wait_for(lambda: station.job(job).state.is_running)
    assert "drain dev-01 first" in applying.aistation("cluster", "apply", "--yes", str(applying.new)).stderr

    first = applying.begin("cluster", "apply", "--staged", "--yes", "--force", "--no-canary", str(applying.new))
    assert f"waiting for 1 job ({job})" in told(first, "waiting for")
    assert station.node("dev-01").state.is_draining
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=30)
    assert first.returncode == 130
    assert "go on:     aistation cluster apply --staged" in said
    assert station.node("dev-01").state.is_draining
    assert station.job(job).state.is_running

    second = applying.begin("cluster", "apply", "--staged", "--yes", "--force", "--no-canary", str(applying.new))
    told(second, "waiting for")
    ann.run("scancel", str(job))
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "dev-01 take jobs again" in said
    wait_for(lambda: station.node("dev-01").state.is_idle)
    assert station.node("dev-01").shards == 4


def told(process: subprocess.Popen[str], word: str) -> str:
    """Return the first line with this word that the process says on stderr."""
    return next(line for line in process.stderr if word in line)
