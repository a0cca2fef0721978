"""Train a small network on scikit-learn's handwritten digits with JAX, over as many processes as it is started with.

One program over the devices of all processes: the weights are the same everywhere, each device has its share of the
pictures, and jax.jit puts the exchange between them where it is needed, over NCCL where there are GPUs and over gloo
where there are none. It goes on from its checkpoint after anything, and ends with the same loss, bit for bit, as a run
that nothing happened to. What that takes is marked with (*).

    aistation job submit --template jax --nodes 2 digits_jax.py -- --steps 200
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

STARTED = time.time()  # above all else: importing JAX takes longer than anything that Slurm does

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

try:
    from aistation_slurm import progress
    from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon
except ImportError:  # the two files lie beside this one, as in an image of your own
    import progress  # type: ignore[import-not-found,no-redef]
    from checkpoint import Checkpoint, CheckpointError, Checkpoints, SaveSoon  # type: ignore[import-not-found,no-redef]

IMPORTED = time.time()
RANK = int(os.environ.get("RANK", "0"))
WORLD = int(os.environ.get("WORLD_SIZE", "1"))
Weights = dict[str, Any]


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Train on the digits, over all processes of this job.")
    parser.add_argument("--steps", type=int, default=200, help="How many optimiser steps in all (%(default)s).")
    parser.add_argument("--checkpoint-every", type=int, default=10, help="Steps between checkpoints (%(default)s).")
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    parser.add_argument("--step-time", type=float, default=0.0, help="Seconds to sleep in each step, for a demo.")
    parser.add_argument("--save-time", type=float, default=0.0, help="Seconds to sleep in the middle of each save.")
    parser.add_argument("--batch", type=int, default=64, help="Pictures in a step, over all devices (%(default)s).")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def say(text: str) -> None:
    """Rank 0 speaks for all."""
    if RANK == 0:
        print(text, flush=True)


def phase(name: str, at: float | None = None) -> None:
    """Say when the training got that far, in seconds since 1970, so that start-up and recovery can be told apart."""
    say(f"phase: {name} at {at or time.time():.3f}")


def meet() -> Mesh:
    """Join the other processes, and return the devices of all of them."""
    if WORLD > 1:
        _gloo_over(os.environ.get("GLOO_SOCKET_IFNAME"))
        # Where the processes meet and who this one is stands in JAX_COORDINATOR_ADDRESS and in Slurm's variables.
        jax.distributed.initialize(cluster_detection_method="slurm")
    phase("process group up")
    return Mesh(np.array(jax.devices()), "data")


def _gloo_over(network: str | None) -> None:
    """Let gloo, which JAX uses where there is no GPU, meet the others over this network interface.

    JAX has no option for it (seen in 0.10.2): gloo takes the address of the host's own name, and that is the loopback's
    where /etc/hosts says 127.0.1.1, as Debian and Ubuntu write it.
    """
    inside = getattr(jaxlib, "_jax", None)  # another release may not have it: then host names have to resolve
    if network and inside:
        inside.make_gloo_tcp_collectives = functools.partial(inside.make_gloo_tcp_collectives, interface=network)


def digits() -> tuple[Any, Any]:
    """Return 1,797 pictures of 8 x 8 pixels, and what they show.

    Read from the file inside scikit-learn: importing scikit-learn itself would take longer than the whole start.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        sys.exit("digits_jax.py: scikit-learn is not installed: its digits are the data (pip install scikit-learn)")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return table[:, :-1] / 16, table[:, -1].astype(np.int32)


def pictures_of_step(step: int, *, pictures: int, batch: int, seed: int) -> Any:
    """Return which pictures all processes together see in a step.

    (*) The order follows from the seed and the epoch, so the step number alone is the sampler's position.
    """
    epoch, position = divmod(step, pictures // batch)
    order = np.random.default_rng([seed, epoch]).permutation(pictures)
    return order[position * batch : (position + 1) * batch]


def first_weights(seed: int) -> Weights:
    """Return the weights to start from; (*) the same on every process, since the seed is."""
    hidden, output = jax.random.split(jax.random.key(seed))
    return {
        "hidden": jax.random.normal(hidden, (64, 96)) / 8,
        "hidden bias": jnp.zeros(96),
        "output": jax.random.normal(output, (96, 10)) / 10,
        "output bias": jnp.zeros(10),
    }


def loss_of(weights: Weights, pictures: Any, labels: Any, dropout: Any = None) -> Any:
    """Return the mean loss over these pictures."""
    hidden = jax.nn.relu(pictures @ weights["hidden"] + weights["hidden bias"])
    if dropout is not None:
        hidden = jnp.where(jax.random.bernoulli(dropout, 0.9, hidden.shape), hidden / 0.9, 0)
    chances = jax.nn.log_softmax(hidden @ weights["output"] + weights["output bias"])
    return -jnp.take_along_axis(chances, labels[:, None], axis=1).mean()


def one_step(weights: Weights, momentum: Weights, dropout: Any, share: Any, stop: Any) -> Any:
    """Return the weights and the momentum after a step, its loss, and how many processes were asked to stop."""
    pictures, labels = share
    loss, gradients = jax.value_and_grad(loss_of)(weights, pictures, labels, dropout)
    momentum = jax.tree.map(lambda old, new: 0.9 * old + new, momentum, gradients)
    weights = jax.tree.map(lambda old, change: old - 0.05 * change, weights, momentum)
    return weights, momentum, loss, stop.sum()


class Training:
    """The weights and their momentum: all that a checkpoint must hold, and the same on every process."""

    def __init__(self, options: argparse.Namespace, mesh: Mesh) -> None:
        self.options = options
        self.pictures, self.labels = digits()
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self.divided = NamedSharding(mesh, PartitionSpec("data"))
        self._put(first_weights(options.seed), None)
        self._step = jax.jit(one_step, out_shardings=self.everywhere)

    def _put(self, weights: Weights, momentum: Weights | None) -> None:
        """Hand every device a copy."""
        self.weights = jax.device_put(jax.tree.map(np.asarray, weights), self.everywhere)
        zeros = jax.tree.map(np.zeros_like, jax.tree.map(np.asarray, weights))
        self.momentum = jax.device_put(momentum or zeros, self.everywhere)

    def step(self, step: int, *, stop_wanted: bool) -> tuple[float, bool]:
        """Do one step; return its loss, and whether any process was asked to stop, over all of them."""
        batch, seed = self.options.batch, self.options.seed
        chosen = pictures_of_step(step, pictures=len(self.pictures), batch=batch, seed=seed)
        mine = chosen[RANK * batch // WORLD : (RANK + 1) * batch // WORLD]
        stop = np.full(jax.local_device_count(), float(stop_wanted))  # all processes stop at the same step, or none
        # (*) Random numbers that follow from the step have no state that a checkpoint could miss.
        dropout = jax.random.fold_in(jax.random.key(seed), step)
        share, stops = self._divide((self.pictures[mine], self.labels[mine])), self._divide(stop)
        self.weights, self.momentum, loss, stops = self._step(self.weights, self.momentum, dropout, share, stops)
        return float(loss), bool(stops > 0)

    def _divide(self, mine: Any) -> Any:
        """Return one array over all devices for each of this process's parts."""
        return jax.tree.map(functools.partial(jax.make_array_from_process_local_data, self.divided), mine)

    def state(self, step: int) -> bytes:
        """Return what rank 0 saves."""
        file = io.BytesIO()
        momentum = {f"momentum of {name}": each for name, each in self._here(self.momentum).items()}
        np.savez(file, step=step, **self._here(self.weights), **momentum)
        return file.getvalue()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to where the checkpoint was made; every process reads it."""
        with np.load(checkpoint.file) as state:
            self._put(
                {name: state[name] for name in self.weights},
                {name: state[f"momentum of {name}"] for name in self.weights},
            )

    def final_loss(self) -> float:
        """Return the loss over all pictures, computed by this process alone."""
        return float(loss_of(self._here(self.weights), self.pictures, self.labels))

    def _here(self, tree: Weights) -> Weights:
        """Return this process's copy of what all have, as NumPy arrays."""
        return {name: np.asarray(each.addressable_data(0)) for name, each in tree.items()}


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
    mesh = meet()
    soon = SaveSoon()
    training = Training(options, mesh)
    first = found.step if found else 0
    if WORLD > 1:
        first = int(multihost_utils.broadcast_one_to_all(np.int32(first)))  # process 0 has chosen for all
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
    if WORLD > 1:
        jax.distributed.shutdown()  # waits for the others


def main() -> None:
    """Claim the checkpoints, then train."""
    options = arguments()
    phase("python up", STARTED)
    phase("jax imported", IMPORTED)
    checkpoints = Checkpoints(options.checkpoint_dir)
    try:
        found = checkpoints.claim() if RANK == 0 else None
        train(options, checkpoints, found)
    except CheckpointError as error:
        sys.exit(f"digits_jax.py: {error}")
    checkpoints.release()


if __name__ == "__main__":
    main()
