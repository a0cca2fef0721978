"""The rules against another reading: all numbers of nodes and GPUs are tried, and the best that is allowed taken."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.spec import load_spec
from tests.unit.lua_slurmctld import LuaSlurmctld, gpus_in

QUOTAS = ("group_user", "group_team", "user", "team", "above")
FILE = """
cluster: c
groups:
  g: {{nodes: "n-[1-{nodes}]", gpu_type: v100, gpus_per_node: {gpus}, cpus: 64, memory: 256G,
       quota: {{per_user: {{{group_user}}}, per_team: {{{group_team}}}}}}}
default_group: g
quota: {{per_user: {{{user}}}}}
teams:
  up: {{quota: {{{above}}}}}
  low: {{members: [ann], parent: up, quota: {{{team}}}}}
"""
LIMITS = st.none() | st.tuples(st.sampled_from(["gpu: {}", "gpu_types: {{v100: {}}}"]), st.integers(0, 40))
CLUSTERS = st.fixed_dictionaries(
    {"nodes": st.integers(1, 6), "gpus": st.integers(1, 8), **dict.fromkeys(QUOTAS, LIMITS)}
)
REQUESTS = st.tuples(st.booleans(), st.integers(1, 40), st.integers(1, 8))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def ctld_of(cluster: dict, folder: Path) -> tuple[LuaSlurmctld, int]:
    """Return a slurmctld with the rules of such a cluster, and the most GPUs that all its quotas leave."""
    limits = {name: cluster[name] for name in QUOTAS if cluster[name] is not None}
    texts = {name: limits[name][0].format(limits[name][1]) if name in limits else "" for name in QUOTAS}
    file = folder / "cluster.yaml"
    file.write_text(FILE.format(nodes=cluster["nodes"], gpus=cluster["gpus"], **texts))
    most = min([10**6, *(count for _, count in limits.values())])
    return LuaSlurmctld(load_spec(file), folder), most


def best_per_node(cluster: dict, most: int, each: int, nodes: int) -> tuple[int, int]:
    """Return nodes and GPUs on each: as many in all as may be, no more than asked for, on as few nodes as that takes.

    Not more than twice the nodes that so many GPUs need: 11 on nodes of 8 are twice 5, and not eleven times 1.
    """
    total = min(each * nodes, most, cluster["nodes"] * cluster["gpus"])
    cap = min(each, cluster["gpus"])
    if total == 0:
        return 0, 0
    few = min(cluster["nodes"], 2 * ceil(total / cap))
    fitting = [(n, g) for n in range(1, few + 1) for g in range(1, cap + 1) if n * g <= total]
    return max(fitting, key=lambda pair: (pair[0] * pair[1], -pair[0]))


@MANY
@given(cluster=CLUSTERS, asked=REQUESTS)
def test_a_request_becomes_the_most_that_node_group_and_quotas_allow(tmp_path, cluster, asked):
    ctld, most = ctld_of(cluster, tmp_path)
    by_node, count, nodes = asked
    if by_node:
        answer = ctld.submit("ann", tres_per_node=f"gres:gpu:{count}", min_nodes=nodes, max_nodes=nodes)
        wanted_nodes, wanted_each = best_per_node(cluster, most, count, nodes)
        fits = count <= cluster["gpus"] and nodes <= cluster["nodes"] and count * nodes <= most
        wanted = (nodes, count) if fits else (wanted_nodes, wanted_each)
        got = (answer.job["min_nodes"], gpus_in(answer.job["tres_per_node"]))
        is_none = wanted_nodes == 0
    else:
        answer = ctld.submit("ann", tres_per_job=f"gres:gpu:{count}")
        wanted = min(count, most, cluster["nodes"] * cluster["gpus"])
        got, fits, is_none = gpus_in(answer.job["tres_per_job"]), wanted == count, wanted == 0
    assert answer.is_accepted == (not is_none), answer.said
    if not is_none:
        assert got == wanted, answer.said
        assert bool(answer.said) == (not fits)


@pytest.mark.parametrize(("each", "nodes", "best"), [(11, 1, (2, 5)), (16, 1, (2, 8)), (3, 2, (2, 3)), (9, 9, (2, 8))])
def test_the_other_reading_is_that_of_the_page(each, nodes, best):
    assert best_per_node({"nodes": 8, "gpus": 8}, 16, each, nodes) == best
