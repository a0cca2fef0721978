"""Storage quotas as a part of one plan, on a real Slurm; the file system is Lustre's, by a stand-in of its tool."""

from __future__ import annotations

import json
import os
import pwd
import shutil
from pathlib import Path

import pytest

from aistation_slurm.cluster import apply, load, make_plan
from aistation_slurm.cluster.planning.storage import ChangeStorage
from aistation_slurm.data.quota import mounts
from aistation_slurm.errors import StorageRefused, UnsafePlan
from aistation_slurm.spec.quotas import Quotas
from aistation_slurm.spec.slurm_keys import FileSystem

pytestmark = pytest.mark.cluster
RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "quota"
GIB_IN_KIB = 1024**2


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Path:
    (tools := tmp_path / "bin").mkdir()
    (point := tmp_path / "disk").mkdir()
    shutil.copy(RECORDED / "lfs", tools / "lfs")
    (tools / "state.json").write_text(json.dumps({"mount": str(point), "rows": {}}))
    (info := tmp_path / "mountinfo").write_text(f"1 0 0:9 / {point} rw - lustre store@tcp:/x rw\n")
    monkeypatch.setattr(mounts, "MOUNTINFO", info)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return point


@pytest.fixture
def plan(station, disk):
    """`plan("5G")`: with a storage quota for each user, and one job more at a time than the file says."""
    settings = station.settings

    def plan_for(space=None):
        spec = load(settings.cluster_file)
        if space:
            quota = Quotas.model_validate({"per_user": {"gpu": 6, "jobs": 77, "storage": {"home": space}}})
            update = {"quota": quota, "storage": {"home": FileSystem(path=str(disk))}}
            spec = spec.model_copy(update=update)
        return make_plan(
            spec,
            station.slurm,
            conf_dir=settings.slurm.conf.parent,
            gpu_device=settings.slurm.gpu_device,
            source=str(settings.cluster_file),
        )

    yield plan_for
    station.cancel_all()
    list(apply(plan_for(), station.slurm, force=True))


def limits(disk):
    return [
        row["hard"] // GIB_IN_KIB
        for row in json.loads((disk.parent / "bin" / "state.json").read_text())["rows"].values()
    ]


def test_storage_quotas_are_set_with_the_rest_and_then_there_is_nothing_to_do(station, plan, disk):
    made = plan("5G")
    assert [change.rank for change in made.changes] == sorted(change.rank for change in made.changes)
    assert isinstance(made.changes[-1], ChangeStorage)
    assert str(made.changes[-1]) == "+ storage home  user ann,bob,chen,eve  space 5G"
    list(apply(made, station.slurm))
    assert limits(disk) == [5, 5, 5, 5]
    assert plan("5G").lines() == []


def test_a_quota_below_what_is_stored_is_refused_while_a_job_of_that_user_runs(station, plan, disk, ann, wait_for):
    list(apply(plan("5G"), station.slurm))
    state = json.loads((disk.parent / "bin" / "state.json").read_text())
    state["rows"][f"-u {pwd.getpwnam('ann').pw_uid}"]["used"] = 4 * GIB_IN_KIB
    (disk.parent / "bin" / "state.json").write_text(json.dumps(state))
    job = ann.sbatch("sleep 60", "--gpus=1")
    wait_for(lambda: station.job(job).state.is_running, within=60)
    with pytest.raises(UnsafePlan, match="ann has stored more than the new quota"):
        list(apply(plan("3G"), station.slurm, force=True))
    assert limits(disk) == [5, 5, 5, 5]
    assert station.job(job).state.is_running


def test_a_file_system_that_refuses_ends_the_apply_before_a_file_is_written(station, plan, monkeypatch):
    made = plan("5G")
    monkeypatch.setenv("USER", "ann")  # the stand-in takes us for her
    with pytest.raises(StorageRefused, match="only root may"):
        list(apply(made, station.slurm))
    assert [type(change) for change in plan("5G").changes] == [ChangeStorage]
