"""Trainings of real frameworks, run over several ranks and killed on purpose; what the tests of frameworks share."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import aistation_slurm
from aistation_slurm.checkpoint import Checkpoint, Checkpoints, Run

CODE = Path(aistation_slurm.__file__).parent
EXAMPLES = CODE / "examples"


@functools.cache
def python_with(*modules: str) -> str | None:
    """Return a Python that has them all: this one, or the distribution's."""
    look = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {modules!r})))"
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", look], timeout=60, check=False, capture_output=True).returncode == 0:
            return python
    return None


@dataclass
class Trainer:
    """Starts trainings over ranks, in processes that have the framework imported."""

    process: subprocess.Popen[str]
    logs: Path
    starts: int = 0
    env: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        script: Path,
        *args: str,
        folder: Path,
        ranks: int = 2,
        kill_after: int | None = None,
        jitter: float = 0.1,
        sent: signal.Signals = signal.SIGKILL,
        env: dict[str, str] | None = None,
    ) -> tuple[list[int], str]:
        """Start it as a new run of job 7, and return the exit codes of all ranks and what rank 0 printed."""
        order = {
            "script": str(script),
            "args": [*args, "--checkpoint-dir", str(folder)],
            "ranks": ranks,
            "log": str(self.logs / f"{self.starts}.log"),
            "kill_after": kill_after,
            "jitter": jitter,
            "signal": int(sent),
            "env": {
                "AISTATION_RUN_ID": uuid.uuid4().hex,
                "SLURM_JOB_ID": "7",
                "SLURM_RESTART_COUNT": str(self.starts),
                "WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(free_port()),
                **self.env,
                **(env or {}),
            },
        }
        self.starts += 1
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "the process that starts the ranks has died"
        logs = [Path(f"{order['log']}.{rank}").read_text() for rank in range(ranks)]
        codes = json.loads(answer)
        print(script.name, codes, *logs, sep="\n")
        return codes, logs[0]

    def finish(self, script: Path, *args: str, folder: Path, ranks: int = 2) -> float:
        """Run it to its end, and return its final loss."""
        codes, log = self.run(script, *args, folder=folder, ranks=ranks)
        assert codes == [0] * ranks
        return final_loss(log)

    def kill_again_and_again(
        self, script: Path, *args: str, folder: Path, times: int, ranks: int = 2, after: int = 3, jitter: float = 0.1
    ) -> list[int]:
        """Kill it so many times, each time so many steps and a random moment on; return the step that stood each time.

        What stands is read, whole, after each kill, and is never older than what stood before.
        """
        stood = [0]
        for _ in range(times):
            codes, _ = self.run(script, *args, folder=folder, ranks=ranks, kill_after=after, jitter=jitter)
            assert -signal.SIGKILL in codes or not any(codes), codes
            if not any(codes):
                break  # it was at its end before this machine came to kill it
            newest = newest_whole(folder)
            stood.append(newest.step if newest else 0)
            assert stood == sorted(stood)
        return stood


def start_trainer(logs: Path, *modules: str) -> Trainer:
    """Return a trainer whose processes have these modules; the test is skipped where no Python has."""
    python = python_with(*modules)
    if python is None:
        pytest.skip(f"no Python here has {' and '.join(modules)}")
    script = Path(__file__).with_name("ranks.py")
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "AISTATION_"))},
        "PYTHONPATH": str(CODE.parent),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    process = subprocess.Popen(
        [python, str(script), *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    assert process.stdout.readline() == '"ready"\n'
    return Trainer(process, logs)


def stop_trainer(trainer: Trainer) -> None:
    assert trainer.process.stdin is not None
    assert trainer.process.stdout is not None
    trainer.process.stdin.close()
    trainer.process.wait(60)
    trainer.process.stdout.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def newest_whole(folder: Path) -> Checkpoint | None:
    return Checkpoints(folder, run=Run("looking", rank=1)).latest()


def final_loss(log: str) -> float:
    found = re.findall(r"^final loss (\S+)$", log, re.MULTILINE)
    assert len(found) == 1, log
    return float(found[0])
