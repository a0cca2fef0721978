"""What was asked for is made to fit, by the rules that slurmctld runs: the very Lua is asked too."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.assets import asset_dir
from aistation_slurm.cluster.rules.compiled import COMPILED, compiled_text
from aistation_slurm.errors import NotPermitted, RequestError
from aistation_slurm.jobs.asked import policy_of
from aistation_slurm.jobs.compiled import Group, Policy, Quota, Unreadable, read_compiled
from aistation_slurm.jobs.fit import Fitted, fit
from aistation_slurm.jobs.request import read_request
from aistation_slurm.slurm.model import Node, Partition
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import Gres
from aistation_slurm.slurm.units import read_memory
from aistation_slurm.spec import ClusterSpec, load_spec
from tests.unit.lua_slurmctld import LuaSlurmctld, gpus_in

SIX = load_spec(asset_dir("slurm_conf") / "examples" / "six-teams.yaml")
V100 = Group(name="v100", nodes=8, gpus=8, cpus=64, memory=256 * 1024, gpu_types=("v100",), max_time=timedelta(days=2))
POLICY = Policy(groups={"v100": V100}, default_group="v100")


def compiled(spec: ClusterSpec, folder: Path) -> Policy:
    (folder / COMPILED).write_text(compiled_text(spec, source="cluster.yaml", release="22.05.8"))
    policy = read_compiled(folder)
    assert isinstance(policy, Policy)
    return policy


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return compiled(SIX, tmp_path_factory.mktemp("etc"))


def fitted(policy: Policy = POLICY, *, account: str | None = None, takes_nodes: bool = True, **wanted: Any) -> Fitted:
    request = read_request({"script": "/data/ann/train.py", **wanted})
    return fit(request, policy, account=account, takes_nodes=takes_nodes)


def shape(found: Fitted) -> tuple[int | None, int | None]:
    return found.request.nodes, found.request.gpus_per_node


def lines(found: Fitted) -> list[str]:
    return [str(each) for each in found.adjustments]


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_what_fits_is_left_as_it_is():
    found = fitted(nodes=2, gpus_per_node=8, cpus_per_gpu=8, mem="256G", time="2-0")
    assert (shape(found), lines(found), list(found.notes)) == ((2, 8), [], [])


@pytest.mark.parametrize(
    ("nodes", "gpus", "given"), [(1, 16, (2, 8)), (1, 12, (2, 6)), (1, 9, (3, 3)), (2, 16, (4, 8)), (1, 64, (8, 8))]
)
def test_more_gpus_than_a_node_has_become_more_nodes(nodes: int, gpus: int, given: tuple[int, int]):
    found = fitted(nodes=nodes, gpus_per_node=gpus)
    assert shape(found) == given
    assert given[0] * given[1] == nodes * gpus
    assert [each.what for each in found.adjustments] == ["gpus_per_node", "nodes"]


def test_an_adjustment_says_itself_in_one_line():
    assert lines(fitted(nodes=1, gpus_per_node=16)) == [
        "gpus_per_node: 16 -> 8 (a node of v100 has no more)",
        "nodes: 1 -> 2 (so that there are 16 GPUs in all)",
    ]


@pytest.mark.parametrize(("gpus", "given"), [(1, (None, 1)), (8, (None, 8)), (16, (2, 8)), (24, (3, 8)), (12, (2, 6))])
def test_gpus_in_all_become_nodes_and_gpus_on_each(gpus: int, given: tuple[int | None, int]):
    found = fitted(gpus=gpus)
    assert (shape(found), lines(found)) == (given, [])
    assert found.request.gpus is None
    assert list(found.notes) == ([f"{gpus} GPUs of v100 are {given[0]} nodes x {given[1]}"] if given[0] else [])


def test_gpus_that_can_not_be_shared_out_evenly_become_fewer():
    assert (shape(fitted(gpus=11)), lines(fitted(gpus=11))) == ((2, 5), ["gpus: 11 -> 10 (the same on each node)"])


def test_gpus_in_all_stay_on_the_nodes_that_were_asked_for():
    assert shape(fitted(gpus=8, nodes=4)) == (4, 2)
    found = fitted(gpus=32, nodes=2)
    assert (shape(found), lines(found)) == ((4, 8), ["nodes: 2 -> 4 (so that there are 32 GPUs in all)"])


@pytest.mark.parametrize("wanted", [{"gpus": 16, "gpus_per_node": 5}, {"gpus": 16, "gpus_per_node": 8, "nodes": 3}])
def test_gpus_said_twice_and_otherwise_are_refused(wanted: dict[str, int]):
    with pytest.raises(RequestError, match="16 GPUs are not"):
        fitted(**wanted)


def test_more_nodes_than_the_group_has_become_fewer():
    found = fitted(nodes=9, gpus_per_node=8)
    assert shape(found) == (8, 8)
    assert lines(found)[0] == "nodes: 9 -> 8 (v100 has no more)"
    assert lines(fitted(nodes=9)) == ["nodes: 9 -> 8 (v100 has no more)"]


def test_cpus_memory_and_time_become_what_there_is():
    found = fitted(gpus_per_node=8, cpus_per_gpu=16, mem="1T", time="3-0")
    assert (found.request.cpus_per_gpu, found.request.mem, found.request.time) == (8, "256G", "2-00:00:00")
    assert lines(found) == [
        "cpus_per_gpu: 16 -> 8 (a node of v100 has no more)",
        "memory_per_node: 1T -> 256G (a node of v100 has no more)",
        "time: 3-0 -> 2-00:00:00 (v100 allows no more)",
    ]
    assert fitted(cpus=100).request.cpus == 64
    assert fitted(time="UNLIMITED").request.time == "2-00:00:00"


def test_a_template_for_one_node_is_told_the_largest_there_is():
    large = Policy(groups={"v100": V100, "dgx": Group(name="dgx", nodes=1, gpus=16, cpus=64, memory=0)})
    with pytest.raises(RequestError, match=r"9 GPUs are more than any node of v100 has, which is 8") as error:
        fitted(template="plain", gpus=9, takes_nodes=False)
    assert "--template pytorch-ddp" in error.value.hint
    with pytest.raises(RequestError, match=r"the largest there is has 16 \(dgx\)"):
        fitted(large, group="v100", template="plain", gpus=9, takes_nodes=False)


def test_gpus_in_a_group_without_any_are_refused():
    cpu = Policy(groups={"cpu": Group(name="cpu", nodes=1, gpus=0, cpus=8, memory=0)}, default_group="cpu")
    with pytest.raises(RequestError, match="the nodes of 'cpu' have no GPUs"):
        fitted(cpu, gpus_per_node=1)
    assert shape(fitted(cpu)) == (None, None)


def test_a_group_without_nodes_is_refused():
    with pytest.raises(RequestError, match="'v100' has no nodes"):
        fitted(Policy(groups={"v100": Group(name="v100", nodes=0, gpus=0, cpus=0, memory=0)}), group="v100")


# -- groups -----------------------------------------------------------------------------------------------------------


def test_an_unknown_group_is_named_with_its_nearest(six: Policy):
    with pytest.raises(RequestError, match="no GPU group called 'v10'") as error:
        fitted(six, group="v10")
    assert error.value.hint == "did you mean 'v100'?"


def test_a_model_that_the_group_has_not_leads_to_the_group_that_has(six: Policy):
    found = fitted(six, group="v100", gpu_type="p100", gpus=4, account="behavior")
    assert (found.request.group, lines(found)) == ("p100", ["group: v100 -> p100 (its GPUs are p100)"])


def test_a_model_that_nobody_has_is_refused_with_those_there_are(six: Policy):
    with pytest.raises(RequestError, match="no group has GPUs of type h100") as error:
        fitted(six, gpu_type="h100", gpus=1)
    assert error.value.hint == "there are p100, v100, rtx2080ti, gtx1080ti"


def test_shares_are_for_groups_that_share(six: Policy):
    assert fitted(six, shares=2, account="face").request.group == "p100_shar"
    moved = fitted(six, group="v100", shares=2, account="face")
    assert lines(moved) == ["group: v100 -> p100_shar (its GPUs are shared)"]
    few = fitted(six, group="1080ti_dev", shares=3)
    assert (few.request.shares, lines(few)) == (1, ["shards: 3 -> 1 (a development environment has no more)"])


def test_a_group_of_other_teams_is_refused_in_the_rules_own_words(six: Policy):
    with pytest.raises(NotPermitted, match=r"team speech may not use 2080ti \(face, robot may\)") as error:
        fitted(six, group="2080ti", gpus=4, account="speech")
    assert error.value.hint == "it may use: p100_shar, v100, 1080ti_dev"


def test_a_qos_of_ours_that_is_not_there_is_said(tmp_path: Path):
    small = compiled(load_spec(asset_dir("slurm_conf") / "examples" / "small.yaml"), tmp_path)
    with pytest.raises(RequestError, match="there is no QOS 'night' here: the cluster file has no calendar"):
        fitted(small, qos="night")
    assert fitted(small, qos="theirs").request.qos == "theirs"


def test_what_slurm_says_of_its_partitions_is_enough_where_nothing_was_compiled():
    gres = (Gres(name="gpu", type="v100", count=8),)
    node = Node(name="v-01", state=NodeState.parse("IDLE"), gres=gres, cpus=64, memory=1024, partitions=("v100",))
    partitions = [Partition(name="v100", is_default=True), Partition(name="other", allow_accounts=("face",))]
    policy = policy_of(partitions, [node])
    assert policy.default_group == "v100"
    assert (policy.groups["v100"].gpus, policy.groups["v100"].gpu_types) == (8, ("v100",))
    assert fitted(policy, gpus=8).request.group == "v100"
    with pytest.raises(RequestError, match="there is no default one") as error:
        fitted(policy_of([Partition(name="a"), Partition(name="b")], ()), gpus=1)
    assert error.value.hint == "there are: a, b"


# -- what the cluster file wants of too large a request ---------------------------------------------------------------


def asked_of(over_request: Any) -> Policy:
    return Policy(groups={"v100": V100}, default_group="v100", over_request=over_request, user=Quota(gpus=16))


def test_where_the_file_says_refuse_it_is_refused_with_what_would_fit():
    with pytest.raises(RequestError, match="this is more than fits") as error:
        fitted(asked_of("refuse"), gpus=24)
    assert error.value.hint.splitlines() == [
        "gpus: 24 -> 16 (a user may have 16 GPUs in all)",
        "ask for it so: --gpus=16",
    ]


def test_where_the_file_says_remind_it_is_left_as_it_is():
    found = fitted(asked_of("remind"), gpus=24)
    assert shape(found) == (1, 24)
    assert found.notes[-1] == "gpus: 24 -> 16 (a user may have 16 GPUs in all)"


# -- the compiled policy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "groups": {"a": 3}}', "\udcff"])
def test_a_broken_policy_is_one_sentence(tmp_path: Path, text: str):
    (tmp_path / COMPILED).write_bytes(text.encode("utf-8", "surrogateescape"))
    found = read_compiled(tmp_path)
    assert isinstance(found, Unreadable)
    assert found.why == f"{tmp_path / COMPILED} is broken; `aistation cluster apply` writes it anew"


def test_a_policy_of_another_version_is_not_read(tmp_path: Path):
    (tmp_path / COMPILED).write_text('{"format": 2}')
    found = read_compiled(tmp_path)
    assert isinstance(found, Unreadable)
    assert "of another version" in found.why


def test_where_there_is_no_policy_there_is_none(tmp_path: Path):
    assert read_compiled(tmp_path) is None


# -- slurmctld's own rules --------------------------------------------------------------------------------------------

EXAMPLES = int(os.environ.get("AISTATION_TEST_REQUESTS", "60"))
QUOTAS = ("group_user", "group_team", "user", "team", "above")
FILE = """
cluster: c
groups:
  g: {{nodes: "n-[1-{nodes}]", gpu_type: v100, gpus_per_node: {gpus}, cpus: {cpus}, memory: 256G, use: {use},
       quota: {{per_user: {{{group_user}}}, per_team: {{{group_team}}}}}}}
default_group: g
quota: {{per_user: {{{user}}}}}
environments: {{per_user: 2, gpu_shares: 1, cpus: 2, memory: 7G}}
teams:
  up: {{quota: {{{above}}}}}
  low: {{members: [ann], parent: up, quota: {{{team}}}}}
"""
LIMITS = st.none() | st.tuples(
    st.sampled_from(["gpu: {}", "gpu_types: {{v100: {}}}", "nodes: {}", "cpu: {}", "memory: {}G"]), st.integers(1, 40)
)
CLUSTERS = st.fixed_dictionaries(
    {
        "nodes": st.integers(1, 6),
        "gpus": st.integers(1, 8),
        "cpus": st.sampled_from([8, 64]),
        "use": st.sampled_from(["training", "training", "both", "development"]),
        **dict.fromkeys(QUOTAS, LIMITS),
    }
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "nodes": st.integers(1, 8),
        "gpus_per_node": st.integers(1, 40),
        "gpus": st.integers(1, 40),
        "cpus_per_gpu": st.integers(1, 64),
        "mem": st.sampled_from(["0", "4G", "100G", "300G", "1T"]),
    },
).filter(lambda each: ("gpus" in each) != ("gpus_per_node" in each))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_slurm_has_it(found: Fitted) -> dict[str, Any]:
    """Return the fields of the job as the rendered script asks for it: one task on each node."""
    request = found.request
    nodes, gpus = request.nodes or 1, request.gpus_per_node or 0
    fields: dict[str, Any] = {"min_nodes": nodes, "max_nodes": nodes, "ntasks_per_node": 1, "partition": request.group}
    fields |= {"tres_per_node": f"gres:gpu:{gpus}", "qos": request.qos}
    if request.cpus_per_gpu:
        fields |= {"cpus_per_task": request.cpus_per_gpu * gpus}
    if request.mem is not None:
        fields |= {"min_mem_per_node": read_memory(request.mem)}
    return fields


@MANY
@given(cluster=CLUSTERS, wanted=REQUESTS)
def test_what_fits_here_is_left_alone_by_slurmctld(tmp_path: Path, cluster: dict[str, Any], wanted: dict[str, Any]):
    spec, ctld, policy = a_cluster(tmp_path, cluster)
    assert spec.teams_of("ann") == ("low",)
    found = or_refused(policy, account="low", **wanted)
    if isinstance(found, str):
        return
    answer = ctld.submit("ann", **as_slurm_has_it(found))
    assert (answer.is_accepted, answer.said) == (True, ()), (found, answer)


@MANY
@given(cluster=CLUSTERS, each=st.integers(1, 40), nodes=st.integers(1, 8))
def test_slurmctld_would_have_made_the_same_of_it_in_the_same_words(
    tmp_path: Path, cluster: dict[str, Any], each: int, nodes: int
):
    _, ctld, policy = a_cluster(tmp_path, cluster)
    answer = ctld.submit("ann", tres_per_node=f"gres:gpu:{each}", min_nodes=nodes, max_nodes=nodes, partition="g")
    found = or_refused(policy, account="low", group="g", nodes=nodes, gpus_per_node=each)
    assert answer.is_accepted == isinstance(found, Fitted)
    if isinstance(found, str):
        assert found.removeprefix("--group: ") in answer.said[0]
        return
    given = answer.job["min_nodes"], gpus_in(answer.job["tres_per_node"])
    assert given == (found.request.nodes or 1, found.request.gpus_per_node)
    assert list(answer.said) == lines(found)


def or_refused(policy: Policy, **wanted: Any) -> Fitted | str:
    """Return what fits, or why nothing does."""
    try:
        return fitted(policy, **wanted)
    except RequestError as error:
        return str(error)


def a_cluster(folder: Path, cluster: dict[str, Any]) -> tuple[ClusterSpec, LuaSlurmctld, Policy]:
    limits = {name: cluster[name][0].format(cluster[name][1]) if cluster[name] else "" for name in QUOTAS}
    file = folder / "cluster.yaml"
    file.write_text(FILE.format(**{**cluster, **limits}))
    spec = load_spec(file)
    return spec, LuaSlurmctld(spec, folder), compiled(spec, folder)
