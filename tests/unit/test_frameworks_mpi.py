"""A NumPy program over MPI, killed and gone on from: each rank saves its slab."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from tests.unit.trainings import CODE, EXAMPLES, final_loss, newest_whole, python_with

pytestmark = pytest.mark.slow


def start(folder: Path, restart: int) -> subprocess.Popen[str]:
    python, mpirun = python_with("mpi4py", "numpy"), shutil.which("mpirun")
    if python is None or mpirun is None:
        pytest.skip("mpi4py or mpirun is not installed")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "AISTATION_"))},
        "PYTHONPATH": str(CODE.parent),
        "AISTATION_RUN_ID": uuid.uuid4().hex,
        "SLURM_RESTART_COUNT": str(restart),
    }
    options = ("--allow-run-as-root", "--oversubscribe", "-np", "2", "-x", "AISTATION_RUN_ID", "-x", "PYTHONPATH")
    program = (python, str(EXAMPLES / "checkpoint_mpi.py"), "--steps=1000", "--checkpoint-dir", str(folder))
    return subprocess.Popen([mpirun, *options, *program], stdout=subprocess.PIPE, text=True, env=env)


def test_a_program_that_is_killed_ends_with_the_very_result_of_one_that_is_not(tmp_path: Path) -> None:
    undisturbed, _ = start(tmp_path / "a", 0).communicate(timeout=300)
    for restart in range(2):
        before = newest_whole(tmp_path / "b")
        killed = start(tmp_path / "b", restart)
        give_up = time.monotonic() + 120
        while (newest_whole(tmp_path / "b") or before) == before and killed.poll() is None:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=60)
    resumed, _ = start(tmp_path / "b", 2).communicate(timeout=300)
    assert final_loss(resumed) == final_loss(undisturbed)
