"""`--prefer` and arrays never meet on a Slurm that takes the one for a constraint of the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aistation_slurm.cluster.rules.table import table_text
from aistation_slurm.spec import load_spec
from tests.unit.lua_slurmctld import LuaSlurmctld

SIX_TEAMS = load_spec(Path(__file__).resolve().parents[2] / "slurm_conf" / "examples" / "six-teams.yaml")
LEFT_OUT = "prefer: left out (Slurm 22.05.8 would let an array wait for such nodes only)"


@pytest.fixture
def of_release(tmp_path) -> Callable[[str], LuaSlurmctld]:
    return lambda version: LuaSlurmctld(SIX_TEAMS, tmp_path, version=version)


def test_an_array_loses_its_prefer_where_slurm_would_make_a_constraint_of_it(of_release):
    answer = of_release("22.05.8").submit(array_inx="0-9%2", prefer="warm")
    assert answer.is_accepted
    assert answer.said == (LEFT_OUT,)
    assert "prefer" not in answer.job


def test_a_single_job_keeps_its_prefer_there(of_release):
    answer = of_release("22.05.8").submit(prefer="warm")
    assert (answer.said, answer.job["prefer"]) == ((), "warm")


@pytest.mark.parametrize("version", ["22.05.9", "22.05.11", "23.02.0", "26.05.5", ""])
def test_an_array_keeps_its_prefer_where_slurm_takes_it_as_it_is(of_release, version):
    answer = of_release(version).submit(array_inx="0-9", prefer="warm")
    assert (answer.said, answer.job["prefer"]) == ((), "warm")


def test_an_array_that_waits_is_given_no_prefer_either(of_release):
    ctld = of_release("22.05.8")
    answer = ctld.modify(before={"array_job_id": 12, "partition": "v100", "account": "behavior"}, prefer="warm")
    assert answer.is_accepted
    assert "prefer" not in answer.job
    answer = ctld.modify(before={"array_job_id": 0, "partition": "v100", "account": "behavior"}, prefer="warm")
    assert answer.job["prefer"] == "warm"


def test_the_table_names_the_release_where_it_is_known():
    assert '  release = "22.05.8",\n' in table_text(SIX_TEAMS, release="22.05.8")
    assert "release" not in table_text(SIX_TEAMS)
