"""The cluster file on the real Slurm: what it says holds, what it no longer says goes, and the rest is left alone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from aistation_slurm.cluster import Plan, apply, imported, load, make_plan
from aistation_slurm.errors import UnsafePlan
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import ClusterSpec

pytestmark = pytest.mark.cluster


@pytest.fixture
def spec(station) -> ClusterSpec:
    return load(station.settings.cluster_file)


@pytest.fixture
def plan(station) -> Iterator[Callable[[ClusterSpec], Plan]]:
    """`plan(spec)`; afterwards the cluster is what its own file says again."""
    settings = station.settings

    def plan_for(spec: ClusterSpec) -> Plan:
        return make_plan(
            spec,
            station.slurm,
            conf_dir=settings.slurm.conf.parent,
            gpu_device=settings.slurm.gpu_device,
            source=str(settings.cluster_file),
        )

    yield plan_for
    station.cancel_all()
    list(apply(plan_for(load(settings.cluster_file)), station.slurm, force=True))


@pytest.fixture
def settle(station, plan) -> Callable[[ClusterSpec], list[str]]:
    """`settle(spec)` applies it and returns what was done."""
    return lambda spec: list(apply(plan(spec), station.slurm, force=True))


@pytest.fixture
def aistation(station) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return station.exec([sys.executable, "-m", "aistation_slurm", *words])

    return run


def with_team(spec: ClusterSpec, name: str, **fields: object) -> ClusterSpec:
    return spec.model_copy(update={"teams": {**spec.teams, name: spec.teams[name].model_copy(update=fields)}})


def with_group(spec: ClusterSpec, name: str, **fields: object) -> ClusterSpec:
    return spec.model_copy(update={"groups": {**spec.groups, name: spec.groups[name].model_copy(update=fields)}})


def refusal(user, *options: str) -> str:
    """Return what sbatch says when it refuses the job."""
    done = user.station.exec(["sbatch", *options, "--wrap", "true"], user=user.name, cwd=user.folder)
    assert done.returncode != 0, f"accepted: {done.stdout}"
    return done.stderr


def test_applying_twice_changes_nothing(plan, spec, settle):
    assert settle(spec) == []
    assert plan(spec).lines() == []


def test_slurms_own_commands_agree_with_the_file(station, spec):
    sinfo = station.exec(["sinfo", "-h", "-o", "%R|%N|%G"]).stdout.splitlines()
    assert "v100|v100-[01-03]|gpu:v100:2" in sinfo
    assert any(line.startswith("dev|dev-01|gpu:gtx1080ti:2") and line.endswith(":8") for line in sinfo)
    rows = station.exec(["sacctmgr", "-nP", "show", "assoc", "format=account,user"]).stdout.split()
    for name, team in spec.teams.items():
        assert {f"{name}|{user}" for user in team.members} < set(rows)
    shown = station.exec(["scontrol", "show", "partition", "v100"]).stdout
    assert "AllowQos=normal,emergency" in shown
    assert "QoS=group-v100" in shown
    assert "DefCpuPerGPU=4" in shown


@pytest.fixture
def unhelped(settle, spec) -> None:
    """Nothing is made to fit on submission: Slurm's own limits are what holds."""
    settle(spec.model_copy(update={"over_request": "remind"}))


def test_a_job_that_breaks_a_quota_by_itself_is_refused(ann, unhelped):
    assert "QOSMaxGRESPerUser" in refusal(ann, "--gpus=5")
    assert "QOSMaxGRESPerUser" in refusal(ann, "-N3", "--gpus-per-node=2")


def test_the_gpu_above_the_quota_waits_and_says_why(station, ann, wait_for):
    jobs = [ann.sbatch("sleep 300", "--gpus=1") for _ in range(4)]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))
    fifth = ann.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(fifth).reason == "QOSMaxGRESPerUser")
    ann.run("scancel", str(jobs[0]))
    wait_for(lambda: station.job(fifth).state.is_running)


def test_a_job_gets_its_gpus_share_of_cpus_and_memory(station, ann, wait_for):
    alone, none = ann.sbatch("sleep 300", "--gpus=1"), ann.sbatch("sleep 300")
    wait_for(lambda: station.job(alone).state.is_running and station.job(none).state.is_running)
    assert (station.job(alone).tres["cpu"], station.job(alone).tres["mem"]) == (4, 8192)
    assert (station.job(none).tres["cpu"], station.job(none).tres["mem"]) == (1, 2048)


def test_a_team_has_no_more_than_its_quota_together(station, settle, spec, ann, wait_for):
    quota = spec.teams["behavior"].quota.model_copy(update={"gpu": 3})
    settle(with_team(spec, "behavior", quota=quota))
    jobs = [user.sbatch("sleep 300", "--gpus=2") for user in (ann, station.user("bob"))]
    wait_for(lambda: station.job(jobs[0]).state.is_running)
    wait_for(lambda: station.job(jobs[1]).reason.startswith("AssocGrp"))


def test_environments_are_few_and_small(station, ann, wait_for, unhelped):
    share = ("-p", "dev", "--qos=development", "--gres=shard:1")
    jobs = [ann.sbatch("sleep 300", *share) for _ in range(2)]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))
    assert "QOSMaxSubmitJobPerUserLimit" in refusal(ann, *share)
    assert "QOSMaxGRESPerJob" in refusal(station.user("eve"), "-p", "dev", "--qos=development", "--gres=gpu:1")
    assert refusal(station.user("eve"), "-p", "dev", "--qos=normal", "--gres=shard:1")


def test_emergency_is_for_those_who_have_the_right_and_overtakes(station, ann, chen, wait_for, unhelped):
    assert "Invalid qos" in refusal(ann, "--qos=emergency", "--gpus=1")
    filler = [user.sbatch("sleep 300", "--gpus=2") for user in (ann, station.user("bob"), station.user("eve"))]
    wait_for(lambda: all(station.job(each).state.is_running for each in filler))
    urgent = chen.sbatch("sleep 300", "--gpus=2", "--qos=emergency")
    wait_for(lambda: station.job(urgent).state.is_running, within=30)
    assert [station.job(each).state for each in filler].count(JobState.PENDING) == 1
    assert "QOSMaxGRESPerUser" in refusal(chen, "--qos=emergency", "--gpus=5"), "emergency escapes the quota"


def test_the_right_to_emergency_can_be_given_and_taken(settle, spec, ann):
    settle(with_team(spec, "behavior", emergency=["ann"]))
    assert ann.sbatch("true", "--qos=emergency")
    settle(spec)
    assert "Invalid qos" in refusal(ann, "--qos=emergency")


def test_a_qos_made_by_hand_is_not_touched(station, plan, spec):
    station.slurm.write.sacctmgr("add", "qos", "theirs", "Priority=7")
    try:
        assert plan(spec).lines() == []
        rows = {each.name: each for each in station.slurm.read.qos()}
        assert rows["theirs"].priority == 7
    finally:
        station.slurm.write.sacctmgr("delete", "qos", "where", "name=theirs")


def test_a_user_taken_out_of_the_file_may_no_longer_submit(station, settle, spec):
    bob = station.user("bob")
    done = settle(with_team(spec, "behavior", members=["ann"]))
    assert done == ["- user bob  in behavior"]
    assert "Invalid account" in refusal(bob)
    settle(spec)
    assert bob.sbatch("true")


def test_a_group_does_not_go_under_its_jobs(plan, spec, ann):
    job = ann.sbatch("sleep 300", "-p", "dev", "--qos=development", "--gres=shard:1")
    without = plan(spec.model_copy(update={"groups": {"v100": spec.groups["v100"]}}))
    with pytest.raises(UnsafePlan, match=f"group 'dev' can't go while it has jobs: {job}"):
        without.raise_if_unsafe(force=True)


def test_a_group_comes_and_goes_while_others_work(station, settle, spec, ann, wait_for):
    running = ann.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(running).state.is_running)
    settle(spec.model_copy(update={"groups": {"v100": spec.groups["v100"]}}))
    assert "dev" not in {each.name for each in station.slurm.read.partitions()}
    settle(with_group(spec, "v100", max_time=None, teams=["behavior"]))
    assert "dev" in {each.name for each in station.slurm.read.partitions()}
    assert station.job(running).state.is_running
    assert station.job(running).restart_count == 0
    assert "Invalid account" in refusal(station.user("eve"), "-p", "v100")


def another(spec: ClusterSpec, dice: random.Random) -> ClusterSpec:
    """Return the cluster with other teams, quotas and groups; v100 and ann, who has a job there, stay."""
    teams = {}
    for name in ["behavior", *dice.sample(["face", "robot", "speech"], dice.randint(0, 3))]:
        people = dice.sample(["bob", "chen", "eve"], dice.randint(0, 3))
        members = ["ann", *people] if name == "behavior" or dice.random() < 0.5 else people
        urgent = dice.sample(members, dice.randint(0, len(members)))
        quota = spec.quota.per_user.model_copy(
            update={"gpu": dice.choice([None, 4, 6]), "jobs": dice.choice([None, 9])}
        )
        teams[name] = spec.teams["face"].model_copy(update={"members": members, "emergency": urgent, "quota": quota})
    groups = dict(spec.groups)
    if dice.random() < 0.5:
        del groups["dev"]
    limits = {"max_time": dice.choice([None, timedelta(days=2)]), "use": dice.choice(["both", "training"])}
    groups["v100"] = groups["v100"].model_copy(update=limits)
    return spec.model_copy(update={"teams": teams, "groups": groups})


def test_whatever_changes_the_second_plan_is_empty_and_no_job_is_hurt(station, settle, plan, spec, ann, wait_for):
    running, waiting = ann.sbatch("sleep 300", "--gpus=4"), ann.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(running).state.is_running)
    dice = random.Random(20)
    for _ in range(3):
        fresh = another(spec, dice)
        settle(fresh)
        assert plan(fresh).lines() == []
        assert station.job(running).state.is_running
        assert station.job(waiting).state.is_waiting
    assert station.job(running).restart_count == 0


def test_a_group_that_leaves_the_file_takes_no_slurmd_with_it(station, settle, plan, spec, wait_for):
    fewer = spec.model_copy(update={"groups": {name: each for name, each in spec.groups.items() if name != "dev"}})
    settle(fewer)
    assert plan(fewer).lines() == []
    station.slurm.write.reconfigure()
    time.sleep(2)  # each slurmd reads its files again in its own time
    assert "slurmd:dev-01" in station.cluster.running()
    wait_for(lambda: station.node("dev-01").state.is_idle)


def test_the_imported_file_says_what_the_file_said(station, spec, tmp_path):
    path = tmp_path / "imported.yaml"
    path.write_text(imported(station.slurm))
    found = load(path)
    assert found.cluster == spec.cluster
    assert {name: group.node_names() for name, group in found.groups.items()} == {
        name: group.node_names() for name, group in spec.groups.items()
    }
    assert (found.total_gpus, found.users()) == (spec.total_gpus, spec.users())
    assert found.teams["face"].emergency == ["chen"]
    assert found.groups["v100"].quota.per_user.gpu == 4
    assert found.quota.per_user.gpu == 6


def test_plan_says_by_its_exit_code_whether_anything_is_to_do(station, aistation, plan, tmp_path):
    assert aistation("cluster", "plan", "--detailed-exitcode").returncode == 0
    path = other_file(station.settings.cluster_file, tmp_path)
    done = aistation("cluster", "plan", "--detailed-exitcode", str(path))
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith("- user bob  in behavior\nplan ")
    assert "\x1b" not in done.stdout
    assert json.loads(aistation("cluster", "plan", "--json", str(path)).stdout)["counts"]["delete"] == 1


def test_only_the_plan_that_was_reviewed_is_applied(station, aistation, plan, tmp_path):
    path = other_file(station.settings.cluster_file, tmp_path)
    checksum = json.loads(aistation("cluster", "plan", "--json", str(path)).stdout)["checksum"]
    stale = aistation("cluster", "apply", "--checksum", "000000000000", str(path))
    assert stale.returncode == 1
    assert f"the plan is now {checksum}, not 000000000000" in stale.stderr
    unasked = aistation("cluster", "apply", str(path))
    assert unasked.returncode == 64
    done = aistation("cluster", "apply", "--checksum", checksum, str(path))
    assert done.returncode == 0, done.stderr
    assert "- user bob  in behavior" in done.stdout
    assert aistation("cluster", "plan", "--detailed-exitcode", str(path)).returncode == 0


def test_an_ordinary_user_may_look_but_not_apply(station, ann, plan, spec, tmp_path):
    path = other_file(station.settings.cluster_file, Path("/tmp"))
    try:
        done = station.exec(
            [sys.executable, "-m", "aistation_slurm", "cluster", "apply", "--yes", str(path)], user="ann"
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert plan(spec).lines() == []
    finally:
        path.unlink()


def other_file(original: Path, folder: Path) -> Path:
    """Write the cluster's file without bob, and return where."""
    path = folder / "without-bob.yaml"
    path.write_text(original.read_text().replace("members: [ann, bob]", "members: [ann]"))
    path.chmod(0o644)
    return path
