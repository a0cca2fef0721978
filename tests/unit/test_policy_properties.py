"""The rules of submission over everything that may stand in a field: no error, nothing changed twice, always a fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.spec import load_spec
from tests.unit.lua_slurmctld import ERROR, NUMBERS, TEXTS, Answer, LuaSlurmctld, gpus_in

SPEC = load_spec(Path(__file__).resolve().parents[2] / "slurm_conf" / "examples" / "six-teams.yaml")
RULES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PREFIXES = st.sampled_from(["", "gres:", "gres/"])
TYPES = st.sampled_from(["", ":v100", ":p100", ":gtx1080ti", ":h100"])
COUNTS = st.integers(0, 70) | st.integers(0, 10**6)
GPU_LISTS = st.builds(
    "{}gpu{}{}{}".format, PREFIXES, TYPES, st.sampled_from([":", "="]), COUNTS
) | st.builds("{}shard:{}".format, PREFIXES, COUNTS)  # fmt: skip
ODD = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "%s%d%",
        "gpu",
        "gpu:",
        "gres:gpu:v100",
        "gpu:1k",
        "gres/gpu:99999999999999999999",
        ",,,",
        "gpu:2,gpu:3",
        "a" * 5000,
    ]
)
WORDS = GPU_LISTS | ODD
SIZES = st.integers(0, 300) | st.sampled_from([4294967294, 4294967295, 65534, 65535, 2**31])


@pytest.fixture(scope="module")
def ctld(tmp_path_factory) -> LuaSlurmctld:
    return LuaSlurmctld(SPEC, tmp_path_factory.mktemp("etc"))


def one_of(*names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names)


ANYTHING = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(TEXTS, WORDS),
        **dict.fromkeys([*NUMBERS, "min_mem_per_node", "min_mem_per_cpu"], SIZES),
        "partition": one_of(*SPEC.groups, "theirs", "v100,p100") | ODD,
        "qos": one_of("normal", "emergency", "development") | ODD,
    },
)
WISHES = st.fixed_dictionaries(
    {"place": one_of("tres_per_node", "tres_per_job", "tres_per_task"), "count": st.integers(1, 400)},
    optional={
        "partition": one_of("v100", "p100_shar", "p100"),
        "min_nodes": st.integers(1, 40),
        "max_nodes": st.integers(1, 40),
        "num_tasks": st.integers(1, 200),
        "ntasks_per_node": st.integers(1, 100),
        "cpus_per_task": st.integers(1, 200),
        "min_mem_per_node": st.integers(1, 10**6),
        "cpus_per_tres": st.builds("gres:gpu:{}".format, st.integers(1, 100)),
    },
)


@RULES
@given(fields=ANYTHING, before=ANYTHING, user=one_of("ann", "chen", "gwen", "nobody"))
def test_whatever_stands_in_a_field_the_rules_do_not_fail(ctld, fields, before, user):
    for answer in (ctld.submit(user, **fields), ctld.modify(user, before=before, **fields)):
        assert answer.code != ERROR, answer.logged
        assert answer.logged == ()


def wished(ctld: LuaSlurmctld, wishes: dict) -> tuple[dict, Answer]:
    wishes = dict(wishes)
    fields = {wishes.pop("place"): f"gres:gpu:{wishes.pop('count')}", **wishes}
    if "max_nodes" in fields:
        fields["max_nodes"] = max(fields["max_nodes"], fields.get("min_nodes", 1))
    return fields, ctld.submit("ann", **fields)


@RULES
@given(wishes=WISHES)
def test_what_was_made_to_fit_is_not_changed_again(ctld, wishes):
    _, answer = wished(ctld, wishes)
    if answer.is_accepted:
        again = ctld.submit("ann", **{key: value for key, value in answer.job.items() if key != "environment"})
        assert (again.code, again.said) == (0, ())
        assert {**again.job, "environment": None} == {**answer.job, "environment": None}


@RULES
@given(wishes=WISHES)
def test_what_was_accepted_fits_its_group_and_the_quota(ctld, wishes):
    fields, answer = wished(ctld, wishes)
    assert answer.is_accepted, "of whole GPUs in a group for training some part always fits"
    job, group = answer.job, SPEC.groups[answer.job.get("partition", SPEC.default_group)]
    nodes, per_node = job.get("min_nodes", 1), gpus_in(job.get("tres_per_node"))
    in_all, per_task = gpus_in(job.get("tres_per_job")), gpus_in(job.get("tres_per_task"))
    quota = min(each for each in (group.quota.per_user.gpu, SPEC.quota.per_user.gpu) if each is not None)
    assert max(per_node, per_task) <= group.gpus_per_node
    assert max(per_node * nodes, in_all, per_task * job.get("num_tasks", 0)) <= quota
    assert nodes <= len(group.node_names())
    assert nodes <= job.get("max_nodes", nodes), (fields, job)
    assert job.get("cpus_per_task", 1) * job.get("ntasks_per_node", 1) <= group.cpus
    assert job.get("min_mem_per_node", 0) <= group.memory
    assert gpus_in(job.get("cpus_per_tres")) * max(1, per_node) <= group.cpus
    assert per_node + in_all + per_task > 0


@RULES
@given(wishes=WISHES)
def test_nobody_is_given_more_gpus_than_asked_for(ctld, wishes):
    fields, answer = wished(ctld, wishes)
    for place in ("tres_per_node", "tres_per_job", "tres_per_task"):
        assert gpus_in(answer.job.get(place)) <= gpus_in(fields.get(place))
    before = gpus_in(fields.get("tres_per_node")) * fields.get("min_nodes", 1)
    assert gpus_in(answer.job.get("tres_per_node")) * answer.job.get("min_nodes", 1) <= before
