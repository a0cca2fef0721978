"""Kill -9 trainings of each framework at random moments, on whatever device is here, and compare how they end."""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "aistation_slurm" / "examples"
NEEDS = {
    "digits_ddp.py": ("torch", "sklearn"),
    "checkpoint_ddp.py": ("torch",),
    "checkpoint_sharded.py": ("torch",),
    "checkpoint_lightning.py": ("torch", "lightning"),
    "checkpoint_transformers.py": ("torch", "transformers", "accelerate"),
    "digits_jax.py": ("jax", "sklearn"),
    "checkpoint_jax.py": ("jax",),
}
"""Example -> what it imports."""
START_TAKES = 300.0
_FINAL = re.compile(r"final loss (\S+)")


@dataclass(frozen=True)
class Ended:
    """One start of a training, and what it printed."""

    code: int
    log: str
    seconds: float

    @property
    def loss(self) -> str:
        """Its final loss, as printed; empty where it did not get there."""
        found = _FINAL.findall(self.log)
        return found[-1] if found else ""


def start(script: str, folder: Path, restart: int, steps: int, kill_after: float | None) -> Ended:
    """Run one process of the training, and kill it so many seconds after its first checkpoint where that is asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone = "RANK=0 LOCAL_RANK=0 WORLD_SIZE=1 LOCAL_WORLD_SIZE=1 MASTER_ADDR=127.0.0.1 PYTHONUNBUFFERED=1"
    slurm = f"SLURM_JOB_ID=7 SLURM_RESTART_COUNT={restart} SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1"
    env = {
        **os.environ,
        **dict(pair.split("=") for pair in (alone + " " + slurm).split()),
        "MASTER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
        "AISTATION_RUN_ID": uuid.uuid4().hex,
    }
    argv = [sys.executable, str(EXAMPLES / script), "--steps", str(steps), "--checkpoint-dir", str(folder / "c")]
    began = time.monotonic()
    log = folder / f"{restart}.log"
    with log.open("w") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=subprocess.STDOUT, env=env, cwd=folder)
        if kill_after is not None:
            wait_for_new_checkpoint(folder, process)
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
        code = process.wait(START_TAKES)
    return Ended(code, log.read_text(errors="replace"), time.monotonic() - began)


def wait_for_new_checkpoint(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Return once another checkpoint stands than those that stood before, or the process is over."""
    before = standing(folder)
    give_up = time.monotonic() + START_TAKES
    while process.poll() is None and max(standing(folder), default=0) <= max(before, default=0):
        if time.monotonic() > give_up:
            sys.exit(f"no checkpoint within {START_TAKES:.0f} s")
        time.sleep(0.01)


def standing(folder: Path) -> set[int]:
    """Return the steps that have a checkpoint."""
    return {int(each.name[5:]) for each in folder.glob("c/runs/*/step-*") if each.name[5:].isdecimal()}


def trial(script: str, *, steps: int, kills: int, chance: random.Random) -> str:
    """Return one line: how a killed training ended beside an undisturbed one."""
    with tempfile.TemporaryDirectory() as quiet, tempfile.TemporaryDirectory() as struck:
        undisturbed = start(script, Path(quiet), 0, steps, None)
        if not undisturbed.loss:
            return f"{script:<28} did not run: {undisturbed.log.strip().splitlines()[-1:]}"
        killed = 0
        for restart in range(kills):
            killed += start(script, Path(struck), restart, steps, chance.random() * 0.3).code == -signal.SIGKILL
        stood = max(standing(Path(struck)), default=0)
        end = start(script, Path(struck), kills, steps, None)
        same = "the same, bit for bit" if end.loss == undisturbed.loss else f"{end.loss or 'none'}: NOT THE SAME"
        struck_at = f"killed {killed} times, last past step {stood} of {steps}"
        return f"{script:<28} {struck_at}; final loss {undisturbed.loss} and {same}"


def main() -> None:
    """Try every example whose framework is here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("scripts", nargs="*", default=list(NEEDS))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    for script in options.scripts:
        if missing := [name for name in NEEDS[script] if importlib.util.find_spec(name) is None]:
            print(f"{script:<28} left out: no {', '.join(missing)} here")
            continue
        began = time.monotonic()
        said = trial(script, steps=options.steps, kills=options.kills, chance=chance)
        print(f"{said}  ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
