"""What somebody changed by hand is told from what the cluster file changes, and never undone unseen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from aistation_slurm.cluster.planning.plan import Plan, decide
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Limits, Qos
from aistation_slurm.spec import Quota, load_spec
from tests.unit.test_cluster_plan import ETC, EXAMPLES, applied, changed, row, with_team

SMALL = load_spec(EXAMPLES / "small.yaml")


def plan_after(observed, spec=SMALL, last=SMALL) -> Plan:
    return decide(spec, observed, conf_dir=ETC, gpu_device="/dev/nvidia", source="cluster.yaml", last=last)


def with_limit(observed, jobs: int):
    qos = observed.qos["group-v100"]
    limits = replace(qos.limits, max_jobs_per_user=jobs)
    return replace(observed, qos={**observed.qos, "group-v100": replace(qos, limits=limits)})


def by_hand(plan: Plan) -> list[str]:
    return [said for change in plan.changes for said in change.by_hand]


def test_a_limit_that_somebody_set_is_named_with_what_it_was():
    plan = plan_after(with_limit(applied(SMALL), 12))
    assert plan.lines() == [
        "~ qos group-v100  MaxJobsPerUser 12 -> none",
        "    ! changed by hand since the last apply: MaxJobsPerUser none -> 12",
    ]


def test_a_limit_that_the_cluster_file_changes_was_changed_by_nobody():
    quota = SMALL.groups["v100"].quota.model_copy(update={"per_user": Quota(gpu=1)})
    other = changed(SMALL, groups={**SMALL.groups, "v100": SMALL.groups["v100"].model_copy(update={"quota": quota})})
    plan = plan_after(applied(SMALL), other)
    assert plan
    assert by_hand(plan) == []


def test_both_at_once_are_told_apart():
    quota = SMALL.groups["v100"].quota.model_copy(update={"per_user": Quota(gpu=4, jobs=9)})
    other = changed(SMALL, groups={**SMALL.groups, "v100": SMALL.groups["v100"].model_copy(update={"quota": quota})})
    plan = plan_after(with_limit(applied(SMALL), 12), other)
    assert plan.lines()[:2] == [
        "~ qos group-v100  MaxJobsPerUser 12 -> 9",
        "    ! changed by hand since the last apply: MaxJobsPerUser none -> 12",
    ]


def test_what_was_changed_by_hand_is_part_of_what_is_reviewed():
    observed = with_limit(applied(SMALL), 12)
    assert plan_after(observed).checksum != plan_after(observed, last=None).checksum


def test_a_user_whom_somebody_removed_and_one_whom_somebody_added():
    observed = applied(SMALL)
    rows = {key: value for key, value in observed.associations.items() if key != ("behavior", "bob")}
    rows["behavior", "zoe"] = row("behavior", "zoe", ("normal",), {})
    plan = plan_after(replace(observed, associations=rows))
    assert by_hand(plan) == ["user bob was removed", "user zoe was added"]


def test_a_user_who_leaves_by_the_file_was_added_by_nobody():
    assert by_hand(plan_after(applied(SMALL), with_team(SMALL, "behavior", members=["ann"]))) == []


def test_a_right_that_somebody_gave_and_one_that_somebody_took():
    observed = applied(SMALL)
    rows = dict(observed.associations)
    ann, chen = rows["behavior", "ann"], rows["face", "chen"]
    rows["behavior", "ann"] = replace(ann, qos=(*ann.qos, "emergency"))
    rows["face", "chen"] = replace(chen, qos=tuple(each for each in chen.qos if each != "emergency"))
    assert by_hand(plan_after(replace(observed, associations=rows))) == [
        "QOS emergency was given",
        "QOS emergency was taken",
    ]


def test_one_of_several_is_named():
    observed = applied(SMALL)
    rows = dict(observed.associations)
    rows["behavior", "ann"] = replace(rows["behavior", "ann"], limits=Limits(grp_jobs=5))
    plan = plan_after(replace(observed, associations=rows))
    assert by_hand(plan) == ["GrpJobs none -> 5  GrpTRES cpu=30,gres/gpu=6,mem=60G -> none"]


def test_a_qos_of_ours_that_somebody_removed_or_made():
    observed = applied(SMALL)
    qos = {name: each for name, each in observed.qos.items() if name != "group-dev"}
    qos["group-old"] = Qos(name="group-old", description=MARK)
    assert by_hand(plan_after(replace(observed, qos=qos))) == ["qos group-dev was removed", "qos group-old was added"]


def test_a_partition_that_scontrol_changed_is_named_key_by_key():
    observed = applied(SMALL)
    short = replace(observed.partitions["v100"], max_time=timedelta(hours=1))
    plan = plan_after(replace(observed, partitions={**observed.partitions, "v100": short}))
    assert plan.lines()[-1] == ("    ! changed by hand since the last apply: partition v100 MaxTime none -> 01:00:00")


def test_where_nobody_knows_what_was_applied_nothing_is_said_to_be_by_hand():
    assert by_hand(plan_after(with_limit(applied(SMALL), 12), last=None)) == []
