"""JAX: the parameters are sharded over all devices of all processes, and each process saves its shards.

aistation job submit --template jax --nodes 2 --gpus-per-node 2 checkpoint_jax.py
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

try:
    from aistation_slurm.frameworks.jax_checkpoints import JaxCheckpoints
except ImportError:  # the file lies beside this one
    from jax_checkpoints import JaxCheckpoints  # type: ignore[import-not-found,no-redef]


def loss_of(weights: dict[str, jax.Array], points: jax.Array) -> jax.Array:
    """Return how far off the sum of 32 sines is."""
    guess = jnp.tanh(points @ weights["first"]) @ weights["second"]
    return jnp.mean((guess - jnp.sin(points).sum(1, keepdims=True)) ** 2)


def test_points() -> jax.Array:
    """Return what it is judged by in the end."""
    return jax.random.normal(jax.random.key(7), (512, 32))


def begin() -> dict[str, Any]:
    """Return the state before the first step."""
    first = jax.random.normal(jax.random.key(1), (32, 64)) * 0.1
    second = jax.random.normal(jax.random.key(2), (64, 1)) * 0.1
    weights = {"first": first, "second": second}
    return {"key": jax.random.key(3), "weights": weights, "speed": jax.tree.map(jnp.zeros_like, weights)}


def train_step(state: dict[str, Any]) -> tuple[dict[str, Any], jax.Array]:
    """Return the state after one more step, and its loss."""
    key, draw = jax.random.split(state["key"])
    points = jax.random.normal(draw, (64, 32))
    loss, slope = jax.value_and_grad(loss_of)(state["weights"], points)
    speed = jax.tree.map(lambda s, g: 0.9 * s + g, state["speed"], slope)
    weights = jax.tree.map(lambda w, s: w - 0.01 * s, state["weights"], speed)
    return {"key": key, "weights": weights, "speed": speed}, loss


def main() -> None:
    """Train from the newest checkpoint, or from the beginning, to the last step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    parser.add_argument("--background", action="store_true", help="Write while the training goes on.")
    options = parser.parse_args()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        jax.distributed.initialize(
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
            int(os.environ["WORLD_SIZE"]),
            int(os.environ["RANK"]),
        )
    mesh = Mesh(jax.devices(), ("devices",))
    by_column = NamedSharding(mesh, PartitionSpec(None, "devices"))
    by_row = NamedSharding(mesh, PartitionSpec("devices", None))
    weights = {"first": by_column, "second": by_row}
    everywhere = NamedSharding(mesh, PartitionSpec())
    state = jax.jit(begin, out_shardings={"key": everywhere, "weights": weights, "speed": weights})()

    with JaxCheckpoints(options.checkpoint_dir, background=options.background) as checkpoints:
        begun, state = checkpoints.restore(state)
        step = jax.jit(train_step)
        for done in range(begun + 1, options.steps + 1):
            state, loss = step(state)
            stop = checkpoints.stop_wanted()
            if stop or done % 10 == 0 or done == options.steps:
                checkpoints.save(done, state)
            if jax.process_index() == 0:
                print(f"step {done}/{options.steps} loss {float(loss):.6f}", flush=True)
            if stop and done < options.steps:
                checkpoints.say_unfinished()  # the batch script requeues the job
                break
        else:
            final = float(jax.jit(lambda weights: loss_of(weights, test_points()))(state["weights"]))
            if jax.process_index() == 0:
                print(f"final loss {final!r}", flush=True)


if __name__ == "__main__":
    main()
