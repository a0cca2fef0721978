"""Train a small network on scikit-learn's handwritten digits, with MPI and NumPy and nothing else.

What a distributed training is at its core, in two pages: each process computes the gradient of its share of the
pictures, MPI adds the gradients up, and every process takes the same step. It goes on from its checkpoint after
anything, and ends with the same loss, bit for bit, as a run that nothing happened to. What that takes is marked
with (*).

    aistation job submit --template mpi --nodes 2 digits_mpi.py -- --steps 200
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
from pathlib import Path
from typing import Any, BinaryIO

STARTED = time.time()

import numpy as np
from mpi4py import MPI

try:
    from aistation_slurm import progress
    from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon
except ImportError:  # the two files lie beside this one, as in an image of your own
    import progress  # type: ignore[import-not-found,no-redef]
    from checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon  # type: ignore[import-not-found,no-redef]

IMPORTED = time.time()
COMM = MPI.COMM_WORLD
RANK = COMM.Get_rank()
WORLD = COMM.Get_size()
Array = Any  # np.ndarray
SHAPES = {"hidden": (65, 96), "output": (97, 10)}  # the last row of each is the bias


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


def digits() -> tuple[Array, Array]:
    """Return 1,797 pictures of 8 x 8 pixels, with a 1 behind each for the bias, and what they show.

    Read from the file inside scikit-learn: importing scikit-learn itself would take longer than the whole start.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        sys.exit("digits_mpi.py: scikit-learn is not installed: its digits are the data (pip install scikit-learn)")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",")
    return _with_bias(table[:, :-1] / 16), table[:, -1].astype(np.intp)


def _with_bias(values: Array) -> Array:
    return np.hstack([values, np.ones((len(values), 1))])


def share_of_step(step: int, *, pictures: int, batch: int, seed: int) -> Array:
    """Return which pictures this rank sees in a step.

    (*) The order follows from the seed and the epoch, so the step number alone is the sampler's position.
    """
    epoch, position = divmod(step, pictures // batch)
    order = np.random.default_rng([seed, epoch]).permutation(pictures)
    return order[position * batch : (position + 1) * batch][RANK::WORLD]


class Training:
    """The weights and their momentum: all that a checkpoint must hold, and the same on every rank."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.pictures, self.labels = digits()
        drawn = np.random.default_rng(options.seed)
        self.weights = {name: drawn.uniform(-1, 1, shape) / np.sqrt(shape[0]) for name, shape in SHAPES.items()}
        self.momentum = {name: np.zeros(shape) for name, shape in SHAPES.items()}

    def step(self, step: int, *, stop_wanted: bool) -> tuple[float, bool]:
        """Do one step; return its loss, and whether any rank was asked to stop, over all ranks."""
        batch, seed = self.options.batch, self.options.seed
        chosen = share_of_step(step, pictures=len(self.pictures), batch=batch, seed=seed)
        # (*) Random numbers that follow from step and rank have no state that a checkpoint could miss.
        kept = np.random.default_rng([seed, step, RANK]).random((len(chosen), 96)) > 0.1
        loss, gradients = self._backward(chosen, kept / 0.9)
        # One exchange for all of it; all ranks stop at the same step, or none.
        told = np.concatenate([*(each.ravel() for each in gradients.values()), [loss, float(stop_wanted)]])
        COMM.Allreduce(MPI.IN_PLACE, told)
        taken = 0
        for name, shape in SHAPES.items():
            gradient = told[taken : (taken := taken + shape[0] * shape[1])].reshape(shape)
            self.momentum[name] = 0.9 * self.momentum[name] + gradient
            self.weights[name] -= 0.05 * self.momentum[name]
        return float(told[-2]), bool(told[-1] > 0)

    def _backward(self, chosen: Array, kept: Array) -> tuple[float, dict[str, Array]]:
        """Return this rank's part of the batch's loss, and of its gradients."""
        inputs, wanted = self.pictures[chosen], self.labels[chosen]
        hidden = np.maximum(inputs @ self.weights["hidden"], 0) * kept
        chances = _softmax(_with_bias(hidden) @ self.weights["output"])
        rows = np.arange(len(chosen))
        loss = -np.log(chances[rows, wanted]).sum() / self.options.batch
        chances[rows, wanted] -= 1
        error = chances / self.options.batch
        back = (error @ self.weights["output"][:-1].T) * (hidden > 0) * kept
        return float(loss), {"hidden": inputs.T @ back, "output": _with_bias(hidden).T @ error}

    def state(self, step: int) -> bytes:
        """Return what rank 0 saves."""
        file = io.BytesIO()
        momentum: dict[str, Any] = {f"momentum of {name}": each for name, each in self.momentum.items()}
        np.savez(file, step=step, **self.weights, **momentum)
        return file.getvalue()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where the checkpoint was made; every rank reads it."""
        with np.load(checkpoint.file) as state:
            self.weights = {name: state[name] for name in SHAPES}
            self.momentum = {name: state[f"momentum of {name}"] for name in SHAPES}

    def final_loss(self) -> float:
        """Return the loss over all pictures."""
        hidden = np.maximum(self.pictures @ self.weights["hidden"], 0)
        chances = _softmax(_with_bias(hidden) @ self.weights["output"])
        return float(-np.log(chances[np.arange(len(self.labels)), self.labels]).mean())


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def write(content: bytes, seconds: float, file: BinaryIO) -> None:
    """Write a checkpoint's content, in two halves with a pause between, so that a demo can be killed there."""
    half = len(content) // 2
    file.write(content[:half])
    if seconds:
        file.flush()
        time.sleep(seconds)
    file.write(content[half:])


def train(options: argparse.Namespace, checkpoints: Checkpoints, found: Checkpoint | None) -> None:
    """Train from the checkpoint, or from the beginning, to the last step."""
    phase("process group up")  # by MPI_Init, which importing mpi4py.MPI calls
    soon = SaveSoon()
    training = Training(options)
    first: int = COMM.bcast(found.step if found else 0)  # rank 0 has chosen for all
    if first:
        training.restore(checkpoints.at(first))
        say(f"resumed from the checkpoint of step {first}")
    for step in range(first, options.steps):
        loss, stop = training.step(step, stop_wanted=soon.wanted)
        done = step + 1
        if step == first:
            phase("first step")
        say(f"step {done}/{options.steps} loss {loss:.10f}")
        if RANK == 0:
            progress.report(done, options.steps, loss=loss)
        if RANK == 0 and (stop or done % options.checkpoint_every == 0 or done == options.steps):
            checkpoints.save(done, functools.partial(write, training.state(done), options.save_time))
            say(f"checkpoint of step {done}")
        if stop and done < options.steps:
            soon.say_unfinished()
            say(f"asked to stop: leaving after step {done}")
            break
        time.sleep(options.step_time)
    else:
        say(f"final loss {training.final_loss()!r}")
    COMM.Barrier()


def main() -> None:
    """Claim the checkpoints, then train."""
    options = arguments()
    phase("python up", STARTED)
    phase("mpi4py imported", IMPORTED)
    checkpoints = Checkpoints(options.checkpoint_dir)
    try:
        found = checkpoints.claim() if RANK == 0 else None
        train(options, checkpoints, found)
    except CheckpointError as error:
        sys.exit(f"digits_mpi.py: {error}")
    checkpoints.release()


if __name__ == "__main__":
    main()
