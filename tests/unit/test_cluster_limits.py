"""Quotas as limits: what goes with the GPUs that somebody may have, and what puts one quota in the place of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aistation_slurm.cluster.wanted.desired import desired
from aistation_slurm.cluster.wanted.limits import WIDE, group_limits, over_limits, team_limits, tres_of, user_limits
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.spec import Calendar, ClusterSpec, GpuGroup, Quota, Quotas, Team, load_spec
from tests.unit.test_cluster_accounts import slurm_with
from tests.unit.test_cluster_plan import plan_of

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
SMALL = load_spec(EXAMPLES / "small.yaml")


def group_of(model: str, *, cpus: int, **keys: object) -> GpuGroup:
    """Return a group of nodes with one GPU each, and 1 GiB for each CPU."""
    node = {"nodes": f"{model}-1", "gpu_type": model, "gpus_per_node": 1, "cpus": cpus, "memory": f"{cpus}G"}
    return GpuGroup.model_validate({**node, **keys})


A, B = group_of("a", cpus=10), group_of("b", cpus=2)


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        (Quota(gpu=4), (4 + 1) * 10),
        (Quota(gpu=4, gpu_types={"a": 1}), 1 * 10 + 3 * 2 + 10),
        (Quota(gpu_types={"a": 1, "b": 3}), 1 * 10 + 3 * 2 + 10),
        (Quota(gpu=4, gpu_types={"a": 9}), (4 + 1) * 10),
        (Quota(gpu_types={"a": 1}), None),
        (Quota(gpu_types={"a": 1}, cpu=7), 7),
        (Quota(), None),
    ],
)
def test_as_many_cpus_go_with_the_gpus_as_the_largest_of_them_need(quota, cpus):
    assert tres_of(quota, [A, B]).get("cpu") == cpus


def test_gpus_of_one_model_nodes_and_shares_are_limits_of_their_own():
    quota = Quota(gpu=4, gpu_types={"a": 1}, nodes=3, shards=8)
    shared = group_of("c", cpus=2, shards_per_gpu=4, sharing="mps")
    found = tres_of(quota, [A, B, shared])
    assert {name: found[name] for name in ("gres/gpu", "gres/gpu:a", "gres/mps", "node")} == {
        "gres/gpu": 4,
        "gres/gpu:a": 1,
        "gres/mps": 8,
        "node": 3,
    }


def test_a_quota_of_a_groups_own_model_holds_for_requests_that_name_none():
    group = group_of("a", cpus=10, quota={"per_user": {"gpu_types": {"a": 2}}})
    assert read_tres(group_limits(group, Quotas())["MaxTRESPerUser"])["gres/gpu"] == 2
    total = Quotas(per_user=Quota(gpu_types={"a": 1, "b": 5}), per_team=Quota(gpu_types={"b": 5}))
    assert read_tres(group_limits(group, total)["MaxTRESPerUser"])["gres/gpu"] == 1
    assert "MaxTRESPerAccount" not in group_limits(group, total)


def spec_of(**keys: object) -> ClusterSpec:
    return SMALL.model_copy(update=keys)


def test_the_quota_of_every_team_is_not_that_of_a_team_with_others_below_it():
    teams = {"top": Team(), "a": Team(parent="top"), "b": Team(parent="top", quota=Quota(gpu=1))}
    spec = spec_of(teams=teams, quota=Quotas(per_team=Quota(gpu=4, jobs=9)))
    assert team_limits(spec, "top") == {}
    assert read_tres(team_limits(spec, "a")["GrpTRES"])["gres/gpu"] == 4
    assert (read_tres(team_limits(spec, "b")["GrpTRES"])["gres/gpu"], team_limits(spec, "b")["GrpJobs"]) == (1, "9")


def test_the_environments_of_all_below_count_for_the_team_above():
    teams = {"top": Team(quota=Quota(gpu=4)), "a": Team(parent="top", members=["ann", "bob"])}
    alone = {"top": Team(quota=Quota(gpu=4), members=["ann", "bob"])}
    assert team_limits(spec_of(teams=teams), "top") == team_limits(spec_of(teams=alone), "top")


def test_a_qos_over_all_quotas_hides_each_limit_that_any_group_or_association_has():
    spec = spec_of(quota=Quotas(per_user=Quota(gpu=6, nodes=2, jobs=5)))
    found = over_limits(spec, Quotas(per_user=Quota(gpu=9)))
    hidden = {name for limits in (user_limits(spec),) for name in read_tres(limits["GrpTRES"])}
    assert set(read_tres(found["GrpTRES"])) == hidden
    assert read_tres(found["MaxTRESPerUser"])["gres/gpu"] == 9
    assert read_tres(found["GrpTRES"])["node"] == WIDE
    assert "GrpJobs" not in found


def test_a_night_without_a_quota_of_its_own_hides_nothing():
    plain = load_spec(EXAMPLES / "six-teams.yaml")
    assert desired(plain).qos["night"].values == {"Flags": "DenyOnLimit"}


def test_there_is_no_qos_night_where_the_calendar_names_no_time():
    assert "night" not in desired(SMALL).qos
    assert all("night" not in row.qos for row in desired(SMALL).users.values())


def test_qos_night_does_not_go_while_a_job_waits_under_it():
    there = slurm_with(spec_of(calendar=Calendar(weekends=True)))
    job = Job(job_id=7, name="x", user="ann", account="behavior", qos="night", state=JobState.PENDING)
    (refusal,) = plan_of(SMALL, replace(there, jobs=(job,))).refusals
    assert (refusal.text, refusal.jobs) == ("QOS 'night' can't go while jobs are under it: 7", (7,))
    assert not plan_of(SMALL, there).refusals


def test_an_emergency_escapes_the_quotas_only_where_the_file_says_so():
    assert "Flags" not in desired(SMALL).qos["emergency"].values
    allowed = desired(spec_of(emergency=SMALL.emergency.model_copy(update={"over_quota": True}))).qos["emergency"]
    assert allowed.values["Flags"] == "OverPartQOS"
    assert read_tres(allowed.values["GrpTRES"])["gres/gpu"] == WIDE
