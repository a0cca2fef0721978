"""A quota of one GPU model: slurmctld holds it only against requests that name the model, so the rules name it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aistation_slurm.spec import load_spec
from tests.unit.lua_slurmctld import LuaSlurmctld

FILE = """
cluster: c
default_group: v100
quota: {{per_user: {{{user}}}}}
groups:
  v100: {{nodes: "v-[1-8]", gpu_type: v100, gpus_per_node: 8, cpus: 64, memory: 256G}}
  more: {{nodes: "w-[1-8]", gpu_type: v100, gpus_per_node: 8, cpus: 64, memory: 256G}}
  p100: {{nodes: "p-[1-8]", gpu_type: p100, gpus_per_node: 4, cpus: 32, memory: 128G}}
teams:
  vision: {{members: [ann], quota: {{{team}}}}}
  robot: {{members: [eve], parent: vision}}
"""
Make = Callable[..., LuaSlurmctld]


@pytest.fixture
def make(tmp_path) -> Make:
    """`make(team="gpu_types: {v100: 4}")`: a slurmctld with the rules of that file, with these quotas."""

    def made(*, user: str = "", team: str = "") -> LuaSlurmctld:
        file = tmp_path / "cluster.yaml"
        file.write_text(FILE.format(user=user, team=team))
        return LuaSlurmctld(load_spec(file), tmp_path)

    return made


@pytest.mark.parametrize(
    ("place", "asked", "named"),
    [
        ("tres_per_job", "gres:gpu:2", "gres:gpu:v100:2"),
        ("tres_per_node", "gres/gpu:2", "gres/gpu:v100:2"),
        ("tres_per_node", "gpu", "gpu:v100:1"),
        ("tres_per_task", "gres/gpu=2", "gres/gpu:v100=2"),
        ("tres_per_socket", "gres:gpu:2", "gres:gpu:v100:2"),
        ("tres_per_node", "gres:gpu:2,gres:tape:1", "gres:gpu:v100:2,gres:tape:1"),
        ("tres_per_job", "gres:gpu:v100:2", "gres:gpu:v100:2"),
        ("tres_per_job", "gres:gpu:0", "gres:gpu:0"),
    ],
)
def test_a_model_that_a_quota_counts_is_named_in_each_request(make, place, asked, named):
    answer = make(team="gpu_types: {v100: 4}").submit("ann", **{place: asked})
    assert (answer.job[place], answer.said) == (named, ())


def test_a_model_that_nobody_counts_is_not_named(make):
    assert (
        make(team="gpu_types: {p100: 4}").submit("ann", tres_per_job="gres:gpu:2").job["tres_per_job"] == "gres:gpu:2"
    )
    assert make(user="gpu: 4").submit("ann", tres_per_job="gres:gpu:2").job["tres_per_job"] == "gres:gpu:2"


def test_the_quota_of_a_team_above_and_of_every_user_count_too(make):
    for ctld in (make(team="gpu_types: {v100: 4}"), make(user="gpu_types: {v100: 4}")):
        assert ctld.submit("eve", tres_per_job="gres:gpu:2").job["tres_per_job"] == "gres:gpu:v100:2"


def test_groups_of_one_model_name_it_and_groups_of_two_do_not(make):
    ctld = make(team="gpu_types: {v100: 4}")
    same = ctld.submit("ann", partition="v100,more", tres_per_job="gres:gpu:2")
    either = ctld.submit("ann", partition="v100,p100", tres_per_job="gres:gpu:2")
    assert (same.job["tres_per_job"], either.job["tres_per_job"]) == ("gres:gpu:v100:2", "gres:gpu:2")


def test_a_job_that_is_made_to_fit_names_the_model_too(make):
    answer = make(team="gpu_types: {v100: 4}").submit("ann", tres_per_job="gres:gpu:9", script="#!/bin/sh")
    assert answer.job["tres_per_job"] == "gres:gpu:v100:4"
    assert answer.said == ("gpus: 9 -> 4 (team vision may have 4 v100 GPUs in all)",)


@pytest.mark.parametrize(("target", "named"), [("p100", "gres:gpu:2"), ("more", "gres:gpu:v100:2")])
def test_a_job_that_is_moved_names_the_model_of_where_it_goes(make, target, named):
    ctld = make(team="gpu_types: {v100: 4}")
    before = {"partition": "v100", "tres_per_job": "gres:gpu:v100:2", "account": "vision", "job_state": 0}
    answer = ctld.modify("ann", before=before, partition=target)
    assert answer.job.get("tres_per_job", before["tres_per_job"]) == named
