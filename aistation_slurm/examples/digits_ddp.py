"""Train a small network on scikit-learn's handwritten digits, over as many processes as it is started with.

A real distributed training in two pages: DistributedDataParallel, over NCCL where there are GPUs and over gloo where
there are none. It goes on from its checkpoint after anything, and ends with the same loss, bit for bit, as a run that
nothing happened to. What that takes is marked with (*).

    aistation job submit --template pytorch-ddp --nodes 2 --gpus-per-node 2 digits_ddp.py -- --steps 200
"""

from __future__ import annotations

import argparse
import functools
import gzip
import importlib.util
import io
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

STARTED = time.time()  # above all else: importing PyTorch takes longer than anything that Slurm does

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

try:
    from aistation_slurm import progress
    from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon
except ImportError:  # the two files lie beside this one, as in an image of your own
    import progress  # type: ignore[import-not-found,no-redef]
    from checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon  # type: ignore[import-not-found,no-redef]

IMPORTED = time.time()
RANK = int(os.environ.get("RANK", "0"))
WORLD = int(os.environ.get("WORLD_SIZE", "1"))
LOCAL_RANK = int(os.environ.get("LOCAL_RANK", "0"))


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Train on the digits, over all processes of this job.")
    parser.add_argument("--steps", type=int, default=200, help="How many optimiser steps in all (%(default)s).")
    parser.add_argument("--checkpoint-every", type=int, default=10, help="Steps between checkpoints (%(default)s).")
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    parser.add_argument("--step-time", type=float, default=0.0, help="Seconds to sleep in each step, for a demo.")
    parser.add_argument("--save-time", type=float, default=0.0, help="Seconds to sleep in the middle of each save.")
    parser.add_argument("--batch", type=int, default=64, help="Pictures in a step, over all processes (%(default)s).")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def say(text: str) -> None:
    """Rank 0 speaks for all."""
    if RANK == 0:
        print(text, flush=True)


def phase(name: str, at: float | None = None) -> None:
    """Say when the training got that far, in seconds since 1970, so that start-up and recovery can be told apart."""
    say(f"phase: {name} at {at or time.time():.3f}")


def digits() -> tuple[Tensor, Tensor]:
    """Return 1,797 pictures of 8 x 8 pixels, and what they show.

    Read from the file inside scikit-learn: importing scikit-learn itself would take longer than the whole start.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        sys.exit("digits_ddp.py: scikit-learn is not installed: its digits are the data (pip install scikit-learn)")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return torch.from_numpy(table[:, :-1] / 16), torch.from_numpy(table[:, -1]).long()


def network() -> nn.Module:
    """Return the network, its weights drawn from PyTorch's random numbers."""
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Dropout(0.1), nn.Linear(96, 10))


def share_of_step(step: int, *, pictures: int, batch: int, seed: int) -> Tensor:
    """Return which pictures this rank sees in a step.

    (*) The order follows from the seed and the epoch, so the step number alone is the sampler's position.
    """
    steps_in_an_epoch = pictures // batch
    epoch, position = divmod(step, steps_in_an_epoch)
    order = torch.randperm(pictures, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    return order[position * batch : (position + 1) * batch][RANK::WORLD]


class Training:
    """The network, its optimiser and its random numbers: all that a checkpoint must hold."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = torch.device("cuda", LOCAL_RANK) if torch.cuda.is_available() else torch.device("cpu")
        self.pictures, self.labels = (each.to(self.device) for each in digits())
        torch.manual_seed(options.seed)
        self.network = network().to(self.device)
        self.ddp = DistributedDataParallel(self.network)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)
        self.loss = torch.nn.CrossEntropyLoss()
        self._settle_buckets()
        torch.manual_seed(options.seed + 1 + RANK)
        on_gpu = self.device.type == "cuda"
        self.random = torch.cuda.default_generators[LOCAL_RANK] if on_gpu else torch.default_generator

    def _settle_buckets(self) -> None:
        """(*) Let DDP order its gradients, which it does after its first backward pass: by one that doesn't count.

        Otherwise a resumed run would add its gradients up in another order than one that was not disturbed.
        """
        self.loss(self.ddp(self.pictures[:1]), self.labels[:1]).backward()
        self.optimiser.zero_grad()

    def step(self, step: int, *, stop_wanted: bool) -> tuple[float, bool]:
        """Do one step; return its loss, and whether any rank was asked to stop, over all ranks."""
        batch, seed = self.options.batch, self.options.seed
        chosen = share_of_step(step, pictures=len(self.pictures), batch=batch, seed=seed).to(self.device)
        loss = self.loss(self.ddp(self.pictures[chosen]), self.labels[chosen])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        told = torch.tensor([loss.item() / WORLD, float(stop_wanted)], dtype=torch.float64, device=self.device)
        dist.all_reduce(told)  # one exchange for both; all ranks stop at the same step, or none
        return float(told[0]), bool(told[1] > 0)

    def state(self, step: int) -> dict[str, Any]:
        """Return what rank 0 saves. All ranks must call it: (*) each has random numbers of its own."""
        mine = self.random.get_state().to(self.device)
        of_all = [torch.empty_like(mine) for _ in range(WORLD)]
        dist.all_gather(of_all, mine)
        return {
            "step": step,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": [each.cpu() for each in of_all],
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where the checkpoint was made; every rank reads it."""
        state = torch.load(checkpoint.file, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if len(state["random"]) == WORLD:
            self.random.set_state(state["random"][RANK].cpu())

    def final_loss(self) -> float:
        """Return the loss over all pictures."""
        self.network.eval()
        with torch.no_grad():
            return float(self.loss(self.network(self.pictures).double(), self.labels))


def write(state: dict[str, Any], seconds: float, file: BinaryIO) -> None:
    """Write a checkpoint's content, in two halves with a pause between, so that a demo can be killed there."""
    content = io.BytesIO()
    torch.save(state, content)
    half = len(content.getvalue()) // 2
    file.write(content.getvalue()[:half])
    if seconds:
        file.flush()
        time.sleep(seconds)
    file.write(content.getvalue()[half:])


def agree_on_start(found: Checkpoint | None, checkpoints: Checkpoints, device: torch.device) -> Checkpoint | None:
    """Return rank 0's checkpoint on every rank."""
    chosen = torch.tensor([found.step if found else -1], device=device)
    dist.broadcast(chosen, src=0)
    return checkpoints.at(int(chosen)) if chosen >= 0 else None


def train(options: argparse.Namespace, checkpoints: Checkpoints, found: Checkpoint | None) -> None:
    """Train from the checkpoint, or from the beginning, to the last step."""
    torch.set_num_threads(1)  # (*) sums are then added in one order; and each process has one core anyway
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(minutes=5))
    phase("process group up")
    soon = SaveSoon()
    training = Training(options)
    start = agree_on_start(found, checkpoints, training.device)
    if start:
        training.restore(start)
        say(f"resumed from the checkpoint of step {start.step}")
    first = start.step if start else 0
    for step in range(first, options.steps):
        loss, stop = training.step(step, stop_wanted=soon.wanted)
        done = step + 1
        if step == first:
            phase("first step")
        say(f"step {done}/{options.steps} loss {loss:.10f}")
        if RANK == 0:
            progress.report(done, options.steps, loss=loss)
        if stop or done % options.checkpoint_every == 0 or done == options.steps:
            state = training.state(done)
            if RANK == 0:
                checkpoints.save(done, functools.partial(write, state, options.save_time))
                say(f"checkpoint of step {done}")
        if stop and done < options.steps:
            soon.say_unfinished()
            say(f"asked to stop: leaving after step {done}")
            break
        time.sleep(options.step_time)
    else:
        say(f"final loss {training.final_loss()!r}")
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    """Claim the checkpoints, then train."""
    options = arguments()
    phase("python up", STARTED)
    phase("torch imported", IMPORTED)
    checkpoints = Checkpoints(options.checkpoint_dir)
    try:
        found = checkpoints.claim() if RANK == 0 else None
        train(options, checkpoints, found)
    except CheckpointError as error:
        sys.exit(f"digits_ddp.py: {error}")
    checkpoints.release()


if __name__ == "__main__":
    main()
