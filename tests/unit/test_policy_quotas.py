"""The rules of submission for every quota and kind of group that a cluster file can have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aistation_slurm.spec import load_spec
from tests.unit.lua_slurmctld import NO_TEAM, REFUSED, LuaSlurmctld

FILE = """
cluster: c
default_group: v100
quota: {{per_user: {{{user}}}, per_team: {{{team}}}}}
groups:
  v100: {{nodes: "v-[1-8]", gpu_type: v100, gpus_per_node: 8, cpus: 64, memory: 256G, quota: {{per_user: {{{group}}}}}}}
  p100: {{nodes: "p-[1-8]", gpu_type: p100, gpus_per_node: 4, cpus: 32, memory: 128G, teams: [vision]}}
  mine: {{nodes: "m-[1-2]", gpu_type: t4, gpus_per_node: 4, cpus: 32, memory: 64G, shards_per_gpu: 4, sharing: mps}}
  theirs: {{nodes: "t-[1-2]", gpu_type: a100, gpus_per_node: 8, cpus: 64, memory: 256G, managed_by: site}}
teams:
  vision: {{members: [ann], quota: {{gpu_types: {{p100: 6}}}}}}
  robot: {{members: [eve], parent: vision}}
  outside: {{members: [zoe], managed_by: site}}
{more}
"""
Make = Callable[..., LuaSlurmctld]


@pytest.fixture
def make(tmp_path) -> Make:
    """`make(user="gpu: 4")`: a slurmctld with the rules of that file, with these quotas."""

    def made(*, user: str = "", team: str = "", group: str = "", more: str = "") -> LuaSlurmctld:
        file = tmp_path / "cluster.yaml"
        file.write_text(FILE.format(user=user, team=team, group=group, more=more))
        return LuaSlurmctld(load_spec(file), tmp_path)

    return made


def test_a_quota_of_one_model_counts_in_the_groups_of_that_model_alone(make):
    ctld = make(user="gpu_types: {v100: 4}")
    assert ctld.submit("ann", tres_per_job="gres:gpu:6").said == ("gpus: 6 -> 4 (a user may have 4 GPUs of v100)",)
    assert ctld.submit("ann", partition="p100", tres_per_job="gres:gpu:6").said == ()


def test_a_quota_of_one_model_holds_for_a_team_and_for_those_below_it(make):
    said = ("gpus: 9 -> 6 (team vision may have 6 p100 GPUs in all)",)
    for user in ("ann", "eve"):
        assert make().submit(user, partition="p100", tres_per_job="gres:gpu:9").said == said


def test_a_team_below_one_that_may_use_a_group_may_use_it_too(make):
    assert make().submit("eve", partition="p100", tres_per_job="gres:gpu:1").is_accepted
    assert make().submit("zoe", partition="p100", tres_per_job="gres:gpu:1").code == NO_TEAM


def test_a_quota_of_nodes_is_the_most_nodes_of_a_job(make):
    answer = make(group="nodes: 2").submit("ann", tres_per_node="gres:gpu:1", min_nodes=5, max_nodes=5)
    assert answer.said[0] == "nodes: 5 -> 2 (a user may have 2 nodes of v100)"
    assert (answer.job["min_nodes"], answer.job["max_nodes"]) == (2, 2)
    many = make(group="nodes: 2").submit("ann", tres_per_node="gres:gpu:1", min_nodes=1, max_nodes=5)
    assert many.said == ("max_nodes: 5 -> 2 (a user may have 2 nodes of v100)",)


def test_cpus_and_memory_beyond_the_quota_are_cut_down_to_it(make):
    ctld = make(group="cpu: 48, memory: 96G")
    answer = ctld.submit(
        "ann", tres_per_node="gres:gpu:1", min_nodes=2, max_nodes=2, num_tasks=4, cpus_per_task=16,
        min_mem_per_node=131072,
    )  # fmt: skip
    assert answer.said == (
        "cpus_per_task: 16 -> 12 (a user may have 48 CPUs of v100)",
        "memory_per_node: 128G -> 48G (a user may have 96G memory of v100)",
    )
    everything = ctld.submit("ann", tres_per_job="gres:gpu:1", min_mem_per_node=0)
    assert everything.said == ("memory_per_node: all -> 96G (a user may have 96G memory of v100)",)


def test_who_is_alone_on_a_node_has_all_its_gpus_and_counts_for_them(make):
    answer = make(group="gpu: 4").submit("ann", tres_per_job="gres:gpu:1", shared=0)
    assert answer.code == REFUSED
    assert "--exclusive takes all 8 GPUs of a node; a user may have 4 GPUs of v100" in answer.said[0]
    assert make(group="gpu: 8").submit("ann", tres_per_job="gres:gpu:1", shared=0).said == ()
    assert make(group="gpu: 4").submit("ann", tres_per_job="gres:gpu:1", shared=2).said == ()


def test_gpus_that_follow_from_tasks_count_as_gpus(make):
    answer = make(group="gpu: 4").submit("ann", num_tasks=24, ntasks_per_tres=2)
    assert answer.said == ("ntasks: 24 -> 8 (a user may have 4 GPUs of v100)",)


def test_gpus_of_a_socket_count_for_each_socket(make):
    answer = make().submit("ann", tres_per_socket="gres:gpu:8", sockets_per_node=2)
    assert answer.job["tres_per_socket"] == "gres:gpu:4"
    assert make().submit("ann", tres_per_socket="gres:gpu:1", sockets_per_node=16).code == REFUSED


def test_nodes_that_are_named_all_stay_and_those_left_out_are_not_counted(make):
    named = make(group="gpu: 16").submit("ann", tres_per_node="gres:gpu:8", req_nodes="v-[1-3,7]", min_nodes=4)
    assert (named.job["tres_per_node"], named.job["min_nodes"]) == ("gres:gpu:4", 4)
    without = make().submit("ann", tres_per_node="gres:gpu:8", min_nodes=8, max_nodes=8, exc_nodes="v-[1-2],v-8,p-1")
    assert without.said[0] == "nodes: 8 -> 5 (v100 has no others)"


def test_nvidias_own_sharing_has_shares_of_one_gpu_of_a_node(make):
    ctld = make()
    answer = ctld.submit("ann", tres_per_node="gres:mps:9")
    assert answer.job["partition"] == "mine"
    assert answer.job["tres_per_node"] == "gres:mps:4"
    assert ctld.submit("ann", partition="mine", tres_per_node="gres:shard:1").code == REFUSED


def test_a_group_of_the_sites_own_is_left_alone_entirely(make):
    ctld = make(user="gpu: 1")
    for fields in ({"partition": "theirs"}, {"partition": "theirs,v100"}):
        answer = ctld.submit("zoe", tres_per_node="gres:gpu:99", min_nodes=9, **fields)
        assert (answer.code, answer.said, answer.job["tres_per_node"]) == (0, (), "gres:gpu:99")
    assert "partition" not in ctld.submit("ann", tres_per_job="gres:gpu:a100:1").job


def test_emergency_jobs_go_over_the_quota_only_where_the_file_lets_them(make):
    fields = {"qos": "Emergency", "tres_per_job": "gres:gpu:16"}
    held = make(user="gpu: 4").submit("ann", **fields)
    assert held.said == ("gpus: 16 -> 4 (a user may have 4 GPUs in all)",)
    free = make(user="gpu: 4", more="emergency: {over_quota: true}").submit("ann", **fields)
    assert free.said == ()
    more_than_there_are = make(user="gpu: 4", more="emergency: {over_quota: true}").submit(
        "ann", qos="emergency", tres_per_job="gres:gpu:99"
    )
    assert more_than_there_are.said == ("gpus: 99 -> 64 (v100 has no more)",)


def test_at_night_its_own_quota_counts_instead_of_all_others(make):
    more = "calendar: {nights: '20:00-08:00', quota: {per_user: {gpu: 12}}}"
    night = make(user="gpu: 4", more=more).submit("ann", qos="night", tres_per_job="gres:gpu:16")
    assert night.said == ("gpus: 16 -> 12 (a user may have 12 GPUs at night)",)
    day = make(user="gpu: 4", more=more).submit("ann", tres_per_job="gres:gpu:16")
    assert day.said == ("gpus: 16 -> 4 (a user may have 4 GPUs in all)",)
    without = "calendar: {weekends: true}"
    plain = make(user="gpu: 4", more=without).submit("ann", qos="night", tres_per_job="gres:gpu:16")
    assert plain.said == ("gpus: 16 -> 4 (a user may have 4 GPUs in all)",)


def test_a_job_without_gpus_in_a_default_group_for_development_gets_its_qos(tmp_path):
    text = FILE.format(user="", team="", group="", more="").replace("sharing: mps}", "sharing: mps, use: development}")
    (tmp_path / "cluster.yaml").write_text(text.replace("default_group: v100", "default_group: mine"))
    ctld = LuaSlurmctld(load_spec(tmp_path / "cluster.yaml"), tmp_path)
    assert ctld.submit("ann").job["qos"] == "development"


BEFORE = {"account": "robot", "partition": "p100", "qos": "normal", "tres_per_job": "gres:gpu:6", "min_nodes": 1}


def test_an_update_to_another_team_or_qos_is_looked_at_again(make):
    ctld = make(more="emergency: {over_quota: true}")
    assert ctld.modify("eve", before={**BEFORE, "tres_per_job": "gres:gpu:9"}, account="vision").said == (
        "gpus: 9 -> 6 (team vision may have 6 p100 GPUs in all)",
    )
    assert ctld.modify("eve", before={**BEFORE, "tres_per_job": "gres:gpu:9"}, qos="emergency").said == ()
    assert ctld.modify("eve", before=BEFORE, account="outside").code == NO_TEAM


@pytest.mark.parametrize("word", ["local", "end", "repeat", "true", "goto", "nil"])
def test_a_group_and_a_team_may_be_called_like_a_word_of_lua(tmp_path, word):
    text = FILE.format(user="", team="", group="", more="")
    for old in ("v100:", "robot:", "default_group: v100"):
        text = text.replace(old, f'"{word}":' if old.endswith(":") else f'default_group: "{word}"')
    (tmp_path / "cluster.yaml").write_text(text)
    ctld = LuaSlurmctld(load_spec(tmp_path / "cluster.yaml"), tmp_path)
    said = f"gpus_per_node: 16 -> 8 (a node of {word} has no more)"
    assert ctld.submit("eve", tres_per_node="gres:gpu:16").said[0] == said
