"""Which jobs a change touches, what is refused because of them, and the safe way, step by step."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from aistation_slurm.cluster import changes as c
from aistation_slurm.cluster.changes import NONE, RECONFIGURE, RESTART_ALL, RESTART_CONTROLLER, restart_nodes, widest
from aistation_slurm.cluster.effects import effect_of_gres, effect_of_key, effect_of_nodes
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.cluster.planning.staged import CarryOut, CloseAccount, CloseGroup, DrainNodes, ResumeNodes, stages
from aistation_slurm.errors import UnsafePlan
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import Quota, load_spec
from tests.unit.test_cluster_plan import EXAMPLES, applied, changed, plan_of, with_team

SMALL = load_spec(EXAMPLES / "small.yaml")
SLURM_22, SLURM_23 = (22, 5), (23, 11)


def job(number: int, **fields: object) -> Job:
    usual = {"name": "x", "user": "ann", "account": "behavior", "partition": "v100", "qos": "normal"}
    return Job(**{"job_id": number, "state": JobState.RUNNING, "nodes": "v100-01", **usual, **fields})


def plan_with(jobs: list[Job], spec=SMALL, was=SMALL) -> Plan:
    return plan_of(spec, replace(applied(was), jobs=tuple(jobs)))


def with_group(name: str, **fields: object):
    return changed(SMALL, groups={**SMALL.groups, name: SMALL.groups[name].model_copy(update=fields)})


def touched(plan: Plan, kind: type[c.Change]) -> tuple[int, ...]:
    return next(change.jobs for change in plan.changes if isinstance(change, kind))


def test_the_jobs_of_a_group_whose_quota_shrinks_are_named():
    quota = SMALL.groups["v100"].quota.model_copy(update={"per_user": Quota(gpu=1)})
    jobs = [job(1), job(2, partition="dev"), job(3, state=JobState.COMPLETED)]
    assert touched(plan_with(jobs, with_group("v100", quota=quota)), c.ModifyQos) == (1,)


def test_no_job_is_touched_by_a_quota_that_grows():
    quota = SMALL.groups["v100"].quota.model_copy(update={"per_user": Quota(gpu=40)})
    assert touched(plan_with([job(1)], with_group("v100", quota=quota)), c.ModifyQos) == ()


def test_a_shorter_time_touches_the_jobs_that_want_longer():
    short = with_group("v100", max_time=timedelta(hours=1))
    jobs = [job(1, time_limit=timedelta(minutes=30)), job(2, time_limit=timedelta(hours=2)), job(3)]
    assert touched(plan_with(jobs, short), c.WriteFile) == (2, 3)


def test_a_group_that_is_closed_to_a_team_touches_its_jobs():
    only_face = with_group("v100", teams=["face"])
    assert touched(plan_with([job(1), job(2, account="face", user="eve")], only_face), c.WriteFile) == (1,)


def test_a_node_that_leaves_its_group_touches_the_jobs_on_it():
    fewer = with_group("v100", nodes="v100-[02-03]")
    assert touched(plan_with([job(1), job(2, nodes="v100-02")], fewer), c.WriteFile) == (1,)


def test_a_right_that_is_taken_touches_the_jobs_that_need_it():
    plan = plan_with(
        [job(1, user="chen", account="face", qos="emergency"), job(2, user="chen", account="face")],
        with_team(SMALL, "face", emergency=[]),
    )
    assert touched(plan, c.ModifyAssociations) == (1,)


def test_the_jobs_are_no_part_of_what_is_reviewed():
    shorter = with_group("v100", max_time=timedelta(hours=1))
    assert plan_with([job(1)], shorter).checksum == plan_with([], shorter).checksum


def test_what_a_changed_key_asks_for_depends_on_the_release():
    assert effect_of_key("GresTypes", SLURM_22) == RESTART_ALL
    assert effect_of_key("SelectTypeParameters", SLURM_22) == RESTART_CONTROLLER
    assert effect_of_key("PreemptType", SLURM_22) == RECONFIGURE
    assert {effect_of_key(key, SLURM_23) for key in ("GresTypes", "SelectTypeParameters")} == {RECONFIGURE}
    assert effect_of_key("SlurmctldPort", SLURM_23) == RESTART_ALL, "a listening port comes with no reconfigure"
    assert str(effect_of_nodes("gpu-[01-02]", SLURM_22)) == "restart slurmctld and slurmd on gpu-[01-02]"
    assert str(effect_of_gres("gpu-[01-02]", SLURM_22)) == "restart slurmd on gpu-[01-02]"
    assert effect_of_gres("gpu-[01-02]", SLURM_23) == RECONFIGURE
    assert effect_of_key("GresTypes", (0, 0)) == RESTART_ALL, "a release that is not known is taken for an old one"


def test_effects_are_ordered_and_the_widest_names_all_nodes():
    steps = [NONE, RECONFIGURE, RESTART_CONTROLLER, restart_nodes("a-1"), RESTART_ALL]
    assert sorted(set(steps)) == steps
    together = widest([restart_nodes("a-1"), RECONFIGURE, restart_nodes("a-2"), RESTART_CONTROLLER])
    assert str(together) == "restart slurmctld and slurmd on a-[1-2]"
    assert widest([]) == NONE


def test_a_group_with_jobs_goes_once_it_is_closed_and_they_are_gone():
    fewer = changed(SMALL, groups={"v100": SMALL.groups["v100"]})
    plan = plan_with([job(7, partition="dev", nodes="dev-01"), job(8)], fewer)
    assert str(plan.refusals[0]).startswith("group 'dev' can't go while it has jobs: 7; scontrol update partition=dev")
    close, wait, carry_out = stages(plan, cluster="small")
    assert close == CloseGroup("dev")
    assert close.argv() == ("scontrol", "update", "partitionname=dev", "state=DRAIN")
    assert close.back()[-1] == "state=UP"
    assert str(wait) == "wait for job 7"
    assert [each.job_id for each in wait.left([job(8), job(9, partition="x,dev")])] == [9], "one that came meanwhile"
    assert wait.left([job(7, partition="dev", state=JobState.COMPLETED)]) == []
    assert carry_out == CarryOut(plan.checksum)


def test_who_leaves_a_team_submits_nothing_more_until_the_last_job_is_gone():
    plan = plan_with([job(7, user="bob")], with_team(SMALL, "behavior", members=["ann"]))
    close, wait, _ = stages(plan, cluster="small")
    assert close == CloseAccount("small", "behavior", ("bob",))
    assert close.argv()[-1] == "GrpSubmitJobs=0"
    assert [each.job_id for each in wait.left([job(7, user="bob"), job(8)])] == [7]


def test_nodes_are_drained_and_only_those_resumed_that_we_drained():
    refusal = c.Refusal(text="cores or GRES of a-[1-2] change", safe_way="drain", jobs=(3,), nodes="a-[1-2]")
    plan = Plan(changes=(), refusals=(refusal,))
    steps = stages(plan, cluster="small", drained=["a-2"])
    assert [type(step) for step in steps][0::3] == [DrainNodes, ResumeNodes]
    assert steps[0].argv()[:4] == ("scontrol", "update", "nodename=a-1", "state=DRAIN")
    assert steps[-1] == ResumeNodes("a-1")
    assert [each.job_id for each in steps[1].left([job(3, nodes="a-[2-3]"), job(4, nodes="a-3")])] == [3]


def test_a_refusal_without_a_safe_way_of_ours_is_not_staged():
    plan = Plan(changes=(), refusals=(c.Refusal(text="SelectType changes", safe_way="stop every daemon"),))
    with pytest.raises(UnsafePlan, match="SelectType changes"):
        stages(plan, cluster="small")


def test_a_plan_that_is_not_refused_is_one_step():
    assert stages(plan_with([]), cluster="small") == (CarryOut(plan_with([]).checksum),)
