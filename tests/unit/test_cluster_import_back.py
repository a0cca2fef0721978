"""Any cluster file, applied and imported, means what it meant: a property of all that Slurm can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster.changes import WriteRules
from aistation_slurm.spec import ClusterSpec
from aistation_slurm.spec.checks import check
from tests.unit.test_cluster_import_whole import imported, meaning, shown
from tests.unit.test_cluster_plan import plan_of

USERS = ("ann", "bob", "chen", "eve", "finn")
COUNTS = st.integers(1, 40)
MEMORY = st.sampled_from(["64G", "1500M", "1T"])
QUOTAS = st.fixed_dictionaries(
    {},
    optional={
        "gpu": COUNTS, "gpu_types": st.just({"v100": 1}), "shards": COUNTS, "cpu": COUNTS, "memory": MEMORY,
        "nodes": COUNTS, "jobs": COUNTS, "submitted": COUNTS,
    },
)  # fmt: skip
# A group has one model: a limit of it, and one of GPUs of any model, are the same two limits in Slurm.
OF_A_GROUP = QUOTAS.filter(lambda quota: not {"gpu", "gpu_types"} <= quota.keys())
IN_A_GROUP = st.fixed_dictionaries({}, optional={"per_user": OF_A_GROUP, "per_team": OF_A_GROUP})
BOTH = st.fixed_dictionaries({}, optional={"per_user": QUOTAS, "per_team": QUOTAS})
TEAMS = ("research", "language", "vision")


@pytest.fixture(scope="module")
def tmp(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("back") / "cluster.yaml"


@st.composite
def groups(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Yield a group of v100, whole or shared."""
    shares = draw(st.sampled_from([1, 4]))
    optional = {
        "teams": st.lists(st.sampled_from(TEAMS), unique=True, min_size=1),
        "quota": IN_A_GROUP,
        "use": st.sampled_from(["training", "development", "both"]),
        "max_time": st.just("7d"),
        "default_time": st.just("90m"),
    }
    return {
        "nodes": draw(st.sampled_from([f"{name}-[1-3]", f"{name}-1", f"{name}-2,{name}-1"])),
        "gpu_type": "v100",
        "gpus_per_node": draw(st.sampled_from([1, 3, 8])),
        "cpus": draw(st.sampled_from([8, 64])),
        "memory": draw(st.sampled_from(["64G", "257000M"])),
        **({"shards_per_gpu": shares, "sharing": draw(st.sampled_from(["shard", "mps"]))} if shares > 1 else {}),
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


@st.composite
def teams(draw: st.DrawFn, above: tuple[str, ...]) -> dict[str, Any]:
    """Yield a team, below one of these or none."""
    # A quota of users shows in their rows alone: the first team has one.
    members = draw(st.lists(st.sampled_from(USERS), unique=True, min_size=0 if above else 1))
    some = st.lists(st.sampled_from(members), unique=True) if members else st.just([])
    parent = draw(st.sampled_from([None, *above]))
    return {
        "members": members,
        "emergency": draw(some),
        **({"coordinators": who} if (who := draw(some)) else {}),
        **({"parent": parent} if parent else {}),
        **draw(st.fixed_dictionaries({}, optional={"weight": st.integers(2, 50), "quota": QUOTAS})),
    }


@st.composite
def specs(draw: st.DrawFn) -> ClusterSpec:
    """Yield a cluster file in which all is ours."""
    names = draw(st.lists(st.sampled_from(["v100", "dev", "Lab"]), unique=True, min_size=1))
    data = {
        "cluster": "lab",
        "groups": {name: draw(groups(name.lower())) for name in names},
        "default_group": draw(st.sampled_from([None, *names])),
        "quota": draw(BOTH),
        "teams": {name: draw(teams(TEAMS[:number])) for number, name in enumerate(TEAMS)},
        "environments": {"per_user": draw(COUNTS), "gpu_shares": draw(COUNTS), "cpus": draw(COUNTS), "memory": "7G"},
        "over_request": draw(st.sampled_from(["adjust", "remind", "refuse"])),
        "emergency": {"over_quota": draw(st.booleans())},
    }
    spec = ClusterSpec.model_validate(data)
    assume(not list(check(spec)))
    return spec


@given(specs())
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_whatever_was_applied_comes_back_meaning_the_same(tmp, spec):
    observed = shown(spec)
    found, text = imported(observed, tmp)
    over_all = (spec.quota.per_user, spec.quota.per_team, *(team.quota for team in spec.teams.values()))
    if any(quota.gpu_types for quota in over_all):
        # It is a limit of each group of that model too: whose own it was, only the table of rules could tell.
        assert meaning(found)[:2] == meaning(spec)[:2], text
        assert {type(change) for change in plan_of(found, observed).changes} <= {WriteRules}
    else:
        assert meaning(found) == meaning(spec), text
        assert not plan_of(found, observed)
