"""Train a small network on scikit-learn's handwritten digits with TensorFlow, over the workers it is started with.

MultiWorkerMirroredStrategy and a loop of its own around `strategy.run`, since model.fit of Keras 3 can't train by that
strategy. It goes on from its checkpoint after anything, and ends with the same loss, bit for bit, as a run that nothing
happened to. What that takes is marked with (*).

    aistation job submit --template tensorflow-multiworker --nodes 2 digits_tf.py -- --steps 200
"""

from __future__ import annotations

import argparse
import functools
import gzip
import importlib.util
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

STARTED = time.time()  # above all else: importing TensorFlow takes longer than anything that Slurm does

import numpy as np
import tensorflow as tf

try:
    from aistation_slurm import progress
    from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon
except ImportError:  # the two files lie beside this one, as in an image of your own
    import progress  # type: ignore[import-not-found,no-redef]
    from checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon  # type: ignore[import-not-found,no-redef]

IMPORTED = time.time()
RANK = int(os.environ.get("RANK", "0"))  # worker 0 is the chief
SHAPES = {"hidden": (64, 96), "hidden bias": (96,), "output": (96, 10), "output bias": (10,)}


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Train on the digits, over all workers of this job.")
    parser.add_argument("--steps", type=int, default=200, help="How many optimiser steps in all (%(default)s).")
    parser.add_argument("--checkpoint-every", type=int, default=10, help="Steps between checkpoints (%(default)s).")
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    parser.add_argument("--step-time", type=float, default=0.0, help="Seconds to sleep in each step, for a demo.")
    parser.add_argument("--save-time", type=float, default=0.0, help="Seconds to sleep in the middle of each save.")
    parser.add_argument("--batch", type=int, default=64, help="Pictures in a step, over all devices (%(default)s).")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def say(text: str) -> None:
    """Worker 0 speaks for all."""
    if RANK == 0:
        print(text, flush=True)


def phase(name: str, at: float | None = None) -> None:
    """Say when the training got that far, in seconds since 1970, so that start-up and recovery can be told apart."""
    say(f"phase: {name} at {at or time.time():.3f}")


def digits() -> tuple[Any, Any]:
    """Return 1,797 pictures of 8 x 8 pixels, and what they show.

    Read from the file inside scikit-learn: importing scikit-learn itself would take longer than the whole start.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        sys.exit("digits_tf.py: scikit-learn is not installed: its digits are the data (pip install scikit-learn)")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return table[:, :-1] / 16, table[:, -1].astype(np.int32)


def pictures_of_step(step: int, *, pictures: int, batch: int, seed: int) -> Any:
    """Return which pictures all devices together see in a step.

    (*) The order follows from the seed and the epoch, so the step number alone is the sampler's position.
    """
    epoch, position = divmod(step, pictures // batch)
    order = np.random.default_rng([seed, epoch]).permutation(pictures)
    return order[position * batch : (position + 1) * batch]


def losses(weights: Any, pictures: Any, labels: Any, seed: Any = None) -> Any:
    """Return the loss of each picture."""
    hidden = tf.nn.relu(pictures @ weights["hidden"] + weights["hidden bias"])
    if seed is not None:
        hidden = tf.nn.experimental.stateless_dropout(hidden, rate=0.1, seed=seed)
    scores = hidden @ weights["output"] + weights["output bias"]
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=scores)


class Training:
    """The weights and their momentum: all that a checkpoint must hold, and the same on every worker."""

    def __init__(self, options: argparse.Namespace, strategy: Any) -> None:
        self.options = options
        self.strategy = strategy
        self.pictures, self.labels = digits()
        drawn = np.random.default_rng(options.seed)
        with strategy.scope():
            self.weights = {
                name: tf.Variable(drawn.normal(0, 0.1 if len(shape) > 1 else 0, shape), dtype=tf.float32)
                for name, shape in SHAPES.items()
            }
            self.momentum = {name: tf.Variable(tf.zeros(shape)) for name, shape in SHAPES.items()}
        self._everywhere = tf.function(lambda share: strategy.run(self._one_device, args=(share,)))

    def step(self, step: int, *, stop_wanted: bool) -> tuple[float, bool]:
        """Do one step; return its loss, and whether any worker was asked to stop, over all of them."""
        batch, seed = self.options.batch, self.options.seed
        chosen = pictures_of_step(step, pictures=len(self.pictures), batch=batch, seed=seed)

        def share(device: Any) -> dict[str, Any]:
            number, count = device.replica_id_in_sync_group, device.num_replicas_in_sync
            mine = chosen[number::count]
            return {
                "pictures": tf.constant(self.pictures[mine]),
                "labels": tf.constant(self.labels[mine]),
                # (*) Random numbers that follow from the step have no state that a checkpoint could miss.
                "seed": tf.constant([seed, step * count + number]),
                "stop": tf.constant(float(stop_wanted)),
            }

        told = self._everywhere(self.strategy.experimental_distribute_values_from_function(share))
        loss, stops = self.strategy.experimental_local_results(told)[0]
        return float(loss), bool(stops > 0)

    def _one_device(self, share: dict[str, Any]) -> Any:
        """Take the step on one device, with the gradients of all; return the loss, and how many were asked to stop."""
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(losses(self.weights, share["pictures"], share["labels"], share["seed"]))
            loss /= self.options.batch
        gradients = tape.gradient(loss, list(self.weights.values()))
        # One exchange for all of it; all workers stop at the same step, or none.
        stop = tf.identity(share["stop"])  # an argument itself is on no device
        added = tf.distribute.get_replica_context().all_reduce("sum", [*gradients, loss, stop])
        for name, gradient in zip(SHAPES, added[:-2], strict=True):
            self.momentum[name].assign(0.9 * self.momentum[name] + gradient)
            self.weights[name].assign_sub(0.05 * self.momentum[name])
        return added[-2], added[-1]

    def agree(self, number: int) -> int:
        """Return worker 0's number on every worker."""
        mine = self.strategy.experimental_distribute_values_from_function(
            lambda device: tf.constant(number if device.replica_id_in_sync_group == 0 else 0)
        )
        return int(self.strategy.reduce("sum", mine, axis=None))

    def state(self, step: int) -> bytes:
        """Return what worker 0 saves."""
        file = io.BytesIO()
        momentum: dict[str, Any] = {f"momentum of {name}": each.numpy() for name, each in self.momentum.items()}
        np.savez(file, step=step, **{name: each.numpy() for name, each in self.weights.items()}, **momentum)
        return file.getvalue()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where the checkpoint was made; every worker reads it."""
        with np.load(checkpoint.file) as state:
            for name in SHAPES:
                self.weights[name].assign(state[name])
                self.momentum[name].assign(state[f"momentum of {name}"])

    def final_loss(self) -> float:
        """Return the loss over all pictures, computed by this worker alone."""
        here = {name: tf.constant(each.numpy()) for name, each in self.weights.items()}
        return float(tf.reduce_mean(losses(here, self.pictures, self.labels)))


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
    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # meets the others, by TF_CONFIG
    # From here on TensorFlow catches TERM, and goes on: a preempted job would stay until Slurm kills it, 30 s later.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    phase("process group up")
    soon = SaveSoon()
    training = Training(options, strategy)
    first = training.agree(found.step if found else 0)
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
    training.agree(0)  # nobody leaves before all are done: worker 0 still saves


def main() -> None:
    """Claim the checkpoints, then train."""
    options = arguments()
    phase("python up", STARTED)
    phase("tensorflow imported", IMPORTED)
    checkpoints = Checkpoints(options.checkpoint_dir)
    try:
        found = checkpoints.claim() if RANK == 0 else None
        train(options, checkpoints, found)
    except CheckpointError as error:
        sys.exit(f"digits_tf.py: {error}")
    checkpoints.release()


if __name__ == "__main__":
    main()
