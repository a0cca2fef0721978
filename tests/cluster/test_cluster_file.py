"""What the cluster file says of teams, models, nights and emergencies holds for real jobs on the real Slurm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from aistation_slurm.cluster import Plan, apply, load, make_plan
from aistation_slurm.priority import nights
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.spec import Calendar, ClusterSpec, EmergencyPolicy, Quota, Quotas, Team

pytestmark = pytest.mark.cluster

DAY, NIGHT = datetime(2026, 11, 25, 12, tzinfo=UTC), datetime(2026, 11, 25, 22, tzinfo=UTC)


@pytest.fixture
def spec(station) -> ClusterSpec:
    return load(station.settings.cluster_file)


@pytest.fixture
def plan(station) -> Iterator[Callable[[ClusterSpec], Plan]]:
    """`plan(spec)`; afterwards the cluster is what its own file says again."""
    settings = station.settings

    def plan_for(spec: ClusterSpec) -> Plan:
        folder, device = settings.slurm.conf.parent, settings.slurm.gpu_device
        return make_plan(spec, station.slurm, conf_dir=folder, gpu_device=device, source=str(settings.cluster_file))

    yield plan_for
    station.cancel_all()
    shares = ("where", f"name={','.join(load(settings.cluster_file).teams)}", "set", "Fairshare=1")
    station.slurm.write.sacctmgr("modify", "account", *shares)  # what the file doesn't say is left as it is
    list(apply(plan_for(load(settings.cluster_file)), station.slurm, force=True))


@pytest.fixture
def settle(station, plan) -> Callable[[ClusterSpec], list[str]]:
    """`settle(spec)` applies it, sees that nothing is left to do, and returns what was done."""

    def settle_on(spec: ClusterSpec) -> list[str]:
        done = list(apply(plan(spec), station.slurm, force=True))
        assert plan(spec).lines() == []
        return done

    return settle_on


def with_teams(spec: ClusterSpec, teams: dict[str, dict[str, object]]) -> ClusterSpec:
    """Return the spec with these keys in these teams; one that it does not have yet has no members."""
    made = {name: Team.model_validate(keys) for name, keys in teams.items() if name not in spec.teams}
    kept = {
        name: Team.model_validate({**team.model_dump(exclude_unset=True), **teams.get(name, {})})
        for name, team in spec.teams.items()
    }
    return spec.model_copy(update={"teams": {**made, **kept}})


def shown(station, *words: str) -> set[str]:
    return set(station.exec(["sacctmgr", "-nP", "show", *words]).stdout.split())


def test_teams_stand_below_another_with_their_shares_and_coordinators_and_come_up_again(station, spec, settle, ann):
    under = {"parent": "science", "weight": 3, "coordinators": ["ann"]}
    settle(with_teams(spec, {"science": {"weight": 4}, "behavior": under, "face": {"parent": "science"}}))
    rows = shown(station, "assoc", "format=account,user,parentname,share")
    assert {"science||root|4", "behavior||science|3", "face||science|1"} <= rows
    assert "behavior|ann" in shown(station, "account", "withcoord", "format=account,coordinators")
    ann.run("sacctmgr", "-i", "modify", "user", "where", "name=bob", "account=behavior", "set", "GrpJobs=3")
    settle(with_teams(spec, {"behavior": {"parent": "root"}, "face": {"coordinators": []}}))
    rows = shown(station, "assoc", "format=account,user,parentname,share,grpjobs")
    assert {"behavior||root|3|", "face||root|1|", "behavior|bob||1|"} <= rows
    assert not any(row.startswith("science") for row in rows)


def test_a_team_that_changes_places_with_its_parent_keeps_its_running_job(station, spec, settle, ann, wait_for):
    settle(with_teams(spec, {"face": {"parent": "behavior"}}))
    job = ann.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(job).state.is_running)
    settle(with_teams(spec, {"behavior": {"parent": "face"}}))
    assert {"face||root", "behavior||face"} <= shown(station, "assoc", "format=account,user,parentname")
    assert station.job(job).state.is_running
    ann.run("scancel", str(job))
    wait_for(lambda: station.job(job).state.is_over)


def test_what_a_parent_may_have_holds_for_all_below_it_together(station, spec, settle, ann, chen, wait_for):
    below = {"parent": "science"}
    settle(with_teams(spec, {"science": {"quota": {"gpu": 3}}, "behavior": below, "face": below}))
    first = ann.sbatch("sleep 300", "--gpus=2")
    wait_for(lambda: station.job(first).state.is_running)
    second = chen.sbatch("sleep 300", "--gpus=2")
    wait_for(lambda: station.job(second).reason == "AssocGrpGRES")


def test_a_model_and_nodes_are_counted_for_jobs_that_name_neither(station, spec, settle, ann, wait_for):
    quota = Quota(gpu=6, gpu_types={"v100": 2}, nodes=1)
    settle(spec.model_copy(update={"quota": Quotas(per_user=quota)}))
    jobs = [ann.sbatch("sleep 300", "--gpus=1", "-w", "v100-01") for _ in range(2)]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))  # one node, counted once
    third = ann.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(third).reason == "QOSMaxGRESPerUser")
    elsewhere = ann.sbatch("sleep 300", "-w", "v100-02")
    wait_for(lambda: station.job(elsewhere).reason.startswith("AssocGrpNode"))


def test_a_teams_own_quota_of_a_model_holds_for_jobs_that_name_none(station, spec, settle, ann, wait_for):
    settle(with_teams(spec, {"behavior": {"quota": {"gpu_types": {"v100": 2}}}}))
    jobs = [ann.sbatch("sleep 300", option) for option in ("--gpus=1", "--gpus-per-node=1", "--gres=gpu:1")]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs[:2]))
    wait_for(lambda: station.job(jobs[2]).reason.startswith("AssocGrpGRES"))
    ann.run("scancel", str(jobs[0]))
    wait_for(lambda: station.job(jobs[2]).state.is_running)


@pytest.fixture
def at(station) -> Iterator[Callable[[datetime], str]]:
    """`at(time)` does the duty `nights` as if it were that time, and returns what it said; the daemon does it not."""
    with station.without("daemon"):

        def turn(now: datetime) -> str:
            step = nights.turn(station.settings.cluster_file, station.slurm, now=now)
            return str(step) if step else ""

        yield turn


@pytest.fixture
def own_file(station) -> Iterator[Callable[[str], ClusterSpec]]:
    """`own_file(text)` adds the text to the cluster's own file, until the test has ended."""
    path = station.settings.cluster_file
    before = path.read_text()

    def add(text: str) -> ClusterSpec:
        path.write_text(before + text)
        return load(path)

    yield add
    path.write_text(before)


def test_a_night_job_waits_by_day_and_starts_when_the_night_does(
    station, plan, settle, own_file, at, ann, wait_for
):  # fmt: skip
    spec = own_file('calendar: {nights: "20:00-08:00", quota: {per_user: {gpu: 6}}}\n')
    settle(spec)
    jobs = [ann.sbatch("sleep 300", "--qos=night", "--gpus=2") for _ in range(3)]
    wait_for(lambda: all(station.job(each).reason == "QOSGrpJobsLimit" for each in jobs))
    assert at(DAY) == ""

    assert at(NIGHT) == "~ qos night  GrpJobs 0 -> none (open until 2026-11-26 08:00 UTC)"
    # By day a group's quota lets a user have four.
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))
    assert plan(spec).lines() == []

    assert at(DAY) == "~ qos night  GrpJobs none -> 0 (closed until 2026-11-25 20:00 UTC)"
    assert plan(spec).lines() == []
    late = ann.sbatch("sleep 300", "--qos=night")
    wait_for(lambda: station.job(late).reason == "QOSGrpJobsLimit")
    assert all(station.job(each).state.is_running for each in jobs)


def test_a_calendar_without_times_takes_the_qos_away_and_leaves_nothing_of_it(station, spec, settle):
    settle(spec.model_copy(update={"calendar": Calendar(weekends=True)}))
    assert f"night|{MARK}" in shown(station, "qos", "format=name,description")
    settle(spec)
    assert "night" not in shown(station, "qos", "format=name")
    assert not any("night" in row for row in shown(station, "assoc", "format=account,user,qos"))


def test_an_emergency_escapes_the_quota_where_the_file_says_so(station, spec, settle, chen, wait_for):
    settle(spec.model_copy(update={"emergency": EmergencyPolicy(over_quota=True)}))
    jobs = [chen.sbatch("sleep 300", "--gpus=2") for _ in range(2)]
    wait_for(lambda: all(station.job(each).state.is_running for each in jobs))
    ordinary = chen.sbatch("sleep 300", "--gpus=1")
    wait_for(lambda: station.job(ordinary).reason == "QOSMaxGRESPerUser")
    urgent = chen.sbatch("sleep 300", "--gpus=2", "--qos=emergency")
    wait_for(lambda: station.job(urgent).state.is_running)
    assert all(station.job(each).state.is_running for each in jobs)
