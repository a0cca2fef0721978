"""How long slurmctld has to hold a job that is over, so that the duty `requeue` finds it."""

from __future__ import annotations

import pytest

from aistation_slurm.cluster.site.keys import MIN_JOB_AGE, fixed, site_keys
from aistation_slurm.spec import ClusterSpec


def spec(max_restarts: int) -> ClusterSpec:
    group = {"nodes": "v100-[01-02]", "gpu_type": "v100", "gpus_per_node": 2, "cpus": 8, "memory": "16G"}
    resume = {"auto_resume": {"max_restarts": max_restarts}}
    return ClusterSpec.model_validate({"cluster": "small", "groups": {"v100": group}, "training": resume})


@pytest.mark.parametrize("found", ["", "300", "300 sec", "2 sec"])
def test_a_job_that_is_over_is_held_longer_than_cron_may_be_late(found):
    assert fixed("MinJobAge", MIN_JOB_AGE, found) == MIN_JOB_AGE


@pytest.mark.parametrize("found", ["900", "3600 sec", "0", "0 sec"])
def test_a_site_that_holds_them_longer_or_for_ever_is_left_as_it_is(found):
    assert fixed("MinJobAge", MIN_JOB_AGE, found) == ""


def test_nothing_is_asked_of_a_site_that_starts_nothing_again():
    assert site_keys(spec(1))["MinJobAge"] == MIN_JOB_AGE
    assert "MinJobAge" not in site_keys(spec(0))
