"""`aistation cluster apply` on a live cluster: killed at any moment, refused, or worse off, nothing is lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aistation_slurm.cluster.health import look_at_health
from aistation_slurm.cluster.history import History
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


def test_a_plan_says_what_was_interrupted(applying):
    moments = applying.killed_at(0)
    applying.apply(applying.old)
    reconfigure = next(n for n, each in enumerate(moments, start=1) if each.startswith("before ~ slurmctld"))
    applying.killed_at(reconfigure)
    told = History(applying.conf_dir).interrupted().told()
    assert "was interrupted at step" in told
    assert "~ slurmctld  reconfigure" in told
    plan = applying.target(applying.new)
    lines = plan.plan(plan.load()).lines()
    assert any(line.startswith("~ slurmctld  reconfigure") for line in lines), lines
    done = applying.aistation("cluster", "apply", "--yes", "--no-canary", str(applying.new))
    assert done.returncode == 0, done.stderr
    assert told in done.stderr


def test_of_two_at_a_time_one_waits_and_is_told_for_whom(applying):
    first = applying.waiting_at(5)
    try:
        assert all(first.stdout.readline() for _ in range(5))
        second = applying.aistation("cluster", "apply", "--yes", "--no-canary", str(applying.old))
        assert second.returncode == 1
        assert f"another apply is at work: root, process {first.pid}" in second.stderr
    finally:
        first.communicate("go on\n", timeout=60)
    assert first.returncode == 0
    target = applying.target(applying.new)
    assert target.plan(target.load()).lines() == []


def test_files_that_end_slurmctld_are_taken_back_and_it_is_started(station, applying, jobs, wait_for):
    old, begun = applying.picture(), time.time()
    saved = station.cluster.paths.state / "slurmctld" / "job_state"
    wait_for(lambda: saved.stat().st_mtime > begun)  # what is younger than its last save dies with slurmctld

    def spoil(moment: str) -> None:
        if moment.startswith("before ~ slurmctld"):
            with (applying.conf_dir / "aistation.conf").open("a") as file:
                file.write("PartitionName=spoilt Nodes=there-is-none\n")

    with pytest.raises(TakenBack, match="was taken back"):
        applying.apply(applying.new, witness=spoil)
    assert station.slurm.write.ping()
    assert applying.picture() == old
    entry = History(applying.conf_dir).entries()[-1]
    assert (entry.state, entry.done < len(entry.steps)) == ("undone", True)


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


def test_an_unsafe_plan_leaves_no_trace(station, applying, chen, wait_for):
    job = chen.sbatch("sleep 600", "-p", "v100", "--gpus=1")
    wait_for(lambda: station.job(job).state.is_running)
    entries = len(History(applying.conf_dir).entries())
    text = applying.old.read_text().replace("members: [chen, eve], emergency: [chen]", "members: [eve]")
    applying.new.write_text(text)
    with pytest.raises(UnsafePlan):
        applying.apply(applying.new)
    assert len(History(applying.conf_dir).entries()) == entries
