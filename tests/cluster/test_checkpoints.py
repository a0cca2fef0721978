"""Checkpoints on a real Slurm: ranks on two nodes meet in the folder, which is pruned when nobody writes there."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from aistation_slurm import checkpoint
from aistation_slurm.checkpoint import Checkpoints, Run, newest_step
from aistation_slurm.devcluster.nodes import CREDENTIAL_STEP
from aistation_slurm.frameworks import background

pytestmark = pytest.mark.cluster

TRAINING = """
import os, time
from background import Saver
from checkpoint import Checkpoints

run = Checkpoints("c", keep=3)
start = run.follow(within=60) if run.run.rank else run.claim()
step = start.step if start else 0
if start:
    assert start.part(run.run.rank).read_text() == f"{run.run.rank} {step}"
print(f"rank {run.run.rank} on {os.environ['SLURMD_NODENAME']} goes on from step {step}", flush=True)
with Saver(run) as saver:
    while step < 100000:
        step += 1
        saver.save_part(step, f"{run.run.rank} {step}".encode(), ranks=2, within=60)
        time.sleep(0.05)
"""
SCRIPT = f"""#!/bin/bash
export AISTATION_RUN_ID=$(cat /proc/sys/kernel/random/uuid)
srun {sys.executable} training.py
"""
SHAPE = ("--partition=v100", "--nodes=2", "--ntasks-per-node=1", "--requeue", "--open-mode=append", "--time=5")


def test_ranks_on_two_nodes_make_one_checkpoint_and_their_next_run_goes_on_from_it(station, ann, wait_for):
    for source in (Path(checkpoint.__file__), Path(background.__file__)):
        shutil.copy(source, ann.folder / source.name)
        (ann.folder / source.name).chmod(0o644)
    (ann.folder / "training.py").write_text(TRAINING)
    folder = ann.folder / "c"
    prune = (sys.executable, "-m", "aistation_slurm", "checkpoint", "prune", str(folder))

    job_id = ann.sbatch(SCRIPT, *SHAPE)
    wait_for(lambda: (newest_step(folder) or 0) >= 5, within=60)
    refused = ann.told(*prune)
    station.slurm.write.requeue(job_id)
    wait_for(lambda: station.job(job_id).reason == "BeginTime", within=40, every=0.1)
    stood = newest_step(folder)
    time.sleep(CREDENTIAL_STEP)  # see docs/recovery.md: not in the second in which a survivor was told to end
    station.slurm.write.update_job(job_id, start_now=True)
    wait_for(lambda: (newest_step(folder) or 0) > stood, within=60)
    ann.run("scancel", str(job_id))
    wait_for(lambda: station.job(job_id).state.is_over, within=60)

    assert refused.returncode == 1
    assert f"claim 1 (job {job_id}, restart 0" in refused.stderr
    assert "holds it, and is RUNNING" in refused.stderr
    starts = [line for line in ann.output(job_id).splitlines() if line.startswith("rank ")]
    assert len({line.split()[3] for line in starts}) == 2
    assert sorted(line for line in starts if line.endswith(" 0")) == sorted(starts[:2])
    assert {int(line.rsplit(" ", 1)[1]) for line in starts[2:]} == {stood}
    newest = Checkpoints(folder, run=Run("looking", rank=1)).latest()
    assert newest is not None
    assert newest.manifest().parts == 2
    pruned = ann.told(*prune)
    assert pruned.returncode == 0, pruned.stderr
    assert os.listdir(folder / "runs") == [newest.folder.parent.name]
    assert newest_step(folder) == newest.step
