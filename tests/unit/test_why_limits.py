"""The number behind a limit: which one counts, what hides which, who holds it."""

from __future__ import annotations

from dataclasses import replace

from aistation_slurm.jobs.why.limit_reason import LimitReason
from aistation_slurm.jobs.why.limits import in_the_way, limits_of
from aistation_slurm.jobs.why.reasons import read_reason
from aistation_slurm.slurm.model import Association, Limits, Qos
from tests.unit.why_parts import HOUR, a_shape, rules, running


def gpus(count: int) -> dict[str, object]:
    return {"gres": (replace(a_shape().gres[0], count=count),)}


def test_a_limit_with_room_is_not_in_the_way() -> None:
    assert in_the_way(limits_of(a_shape(**gpus(2)), rules(used=2))) == []


def test_a_limit_without_room_says_how_much_is_used_and_by_whom() -> None:
    held = (running(1, gpus=1), running(2, gpus=2), running(3, gpus=3, user="bob"))
    (limit,) = in_the_way(limits_of(a_shape(**gpus(2)), rules(used=3, jobs=held)))
    assert str(limit) == "the quota of a user in v100: 3 of 4 GPUs in use by ann, this job wants 2"
    assert [each.job_id for each in limit.holders] == [2, 1]
    assert not limit.is_for_ever


def test_the_limit_that_slurm_names_comes_first_and_the_others_behind() -> None:
    full = rules(used=4, total=4, team=4)
    assert [each.of for each in in_the_way(limits_of(a_shape(), full))] == ["qos", "association", "association"]
    named = read_reason("AssocGrpGRES").limit
    assert [each.name for each in in_the_way(limits_of(a_shape(), full), named)] == ["face/ann", "face", "group-v100"]


def test_a_limit_of_the_group_s_qos_hides_the_same_limit_of_the_job_s_qos_unless_that_goes_first() -> None:
    found = rules(used=4)
    night = Qos(name="night", flags=("OverPartQOS",), limits=Limits(max_tres_per_user={"gres/gpu": 32}))
    plain = replace(night, flags=())
    over = replace(found, qos={**found.qos, "night": night})
    under = replace(found, qos={**found.qos, "night": plain})
    assert in_the_way(limits_of(a_shape(qos="night"), over)) == []
    (limit,) = in_the_way(limits_of(a_shape(qos="night"), under))
    assert (limit.name, limit.most) == ("group-v100", 4)


def test_a_limit_of_all_jobs_of_a_qos_hides_the_associations() -> None:
    found = rules(used=6, per_user=100, total=6)
    wide = Qos(name="group-v100", limits=Limits(grp_tres={"gres/gpu": 1000}))
    assert in_the_way(limits_of(a_shape(), replace(found, qos={"group-v100": wide}))) == []
    assert len(in_the_way(limits_of(a_shape(), found))) == 1


def test_the_limits_of_every_account_above_count() -> None:
    found = rules()
    above = Association(cluster="c", account="lab", limits=Limits(grp_tres={"gres/gpu": 0}))
    tree = [
        replace(each, parent="lab") if each.account == "face" and not each.user else each for each in found.associations
    ]
    (limit,) = in_the_way(limits_of(a_shape(), replace(found, associations=(*tree, above))))
    assert limit.title == "the quota of team lab over all groups"


def test_a_typed_limit_counts_for_a_job_that_named_no_type_where_the_group_has_one_type_only() -> None:
    found = rules()
    typed = Qos(name="group-v100", limits=Limits(max_tres_per_user={"gres/gpu:v100": 0}))
    found = replace(found, qos={"group-v100": typed})
    assert in_the_way(limits_of(a_shape(), found)) == []
    (limit,) = in_the_way(limits_of(a_shape(), found, gpu_type="v100"))
    assert str(limit).endswith("at most 0 v100 GPUs, this job wants 1")


def test_a_job_that_wants_more_than_the_limit_never_starts() -> None:
    (limit, _) = in_the_way(limits_of(a_shape(**gpus(8)), rules()))
    assert limit.is_for_ever
    assert str(limit) == "the quota of a user in v100: at most 4 GPUs, this job wants 8"


def test_what_a_job_does_not_want_is_never_in_its_way() -> None:
    found = rules()
    shares = Qos(name="group-v100", limits=Limits(max_tres_per_user={"gres/shard": 0}))
    assert in_the_way(limits_of(a_shape(), replace(found, qos={"group-v100": shares}))) == []


def test_cpus_that_come_with_the_gpus_count() -> None:
    found = rules()
    cpus = Qos(name="group-v100", limits=Limits(max_tres_per_user={"cpu": 4}))
    found = replace(found, qos={"group-v100": cpus})
    (limit,) = in_the_way(limits_of(a_shape(cpus_per_gpu=5), found), LimitReason("qos", "user", "cpu"))
    assert (limit.what, limit.wanted) == ("cpu", 5)


def test_a_time_limit_longer_than_a_qos_allows_is_a_limit_of_the_job_alone() -> None:
    found = rules()
    short = Qos(name="normal", limits=Limits(max_wall=HOUR / 2))
    (limit,) = in_the_way(limits_of(a_shape(), replace(found, qos={"normal": short})))
    assert (limit.bound, limit.what, limit.most, limit.wanted) == ("job", "minutes", 30, 60)
