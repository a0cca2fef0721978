"""NumPy over MPI: each rank has a slab of the plate, and saves it as its part of the checkpoint.

aistation job submit --template mpi --nodes 2 checkpoint_mpi.py
"""

from __future__ import annotations

import argparse
import io
import os
from typing import Any

import numpy as np
from mpi4py import MPI

try:
    from aistation_slurm.checkpoint import Checkpoints, SaveSoon
    from aistation_slurm.frameworks.background import Saver
except ImportError:  # the files lie beside this one
    from background import Saver  # type: ignore[import-not-found,no-redef]
    from checkpoint import Checkpoints, SaveSoon  # type: ignore[import-not-found,no-redef]


def heat(slab: np.ndarray[Any, Any], world: MPI.Comm) -> np.ndarray[Any, Any]:
    """Return the slab a moment later: each point goes towards the mean of its neighbours, over the ranks' borders."""
    up = world.rank - 1 if world.rank else MPI.PROC_NULL
    down = world.rank + 1 if world.rank + 1 < world.size else MPI.PROC_NULL
    above, below = slab[0].copy(), slab[-1].copy()
    world.Sendrecv(slab[-1].copy(), dest=down, recvbuf=above, source=up)
    world.Sendrecv(slab[0].copy(), dest=up, recvbuf=below, source=down)
    tall = np.vstack([above, slab, below])
    wide = np.pad(tall, ((0, 0), (1, 1)), mode="edge")
    near = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    moved: np.ndarray[Any, Any] = slab + 0.1 * (near - 4 * slab)
    return moved


def main() -> None:
    """Go on from the newest checkpoint, or from the beginning, to the last step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--checkpoint-dir", default=os.environ.get("AISTATION_CHECKPOINT_DIR", "checkpoints"))
    options = parser.parse_args()
    world, soon = MPI.COMM_WORLD, SaveSoon()
    checkpoints = Checkpoints(options.checkpoint_dir)
    start = checkpoints.follow() if world.rank else checkpoints.claim()
    if start:
        slab = np.load(io.BytesIO(start.part(world.rank).read_bytes()))
    else:
        slab = np.random.default_rng(world.rank).random((64, 64))

    with Saver(checkpoints) as saver:
        for done in range(start.step + 1 if start else 1, options.steps + 1):
            slab = heat(slab, world)
            stop = world.allreduce(soon.wanted, op=MPI.LOR)  # all ranks stop at the same step, or none
            if stop or done % 10 == 0 or done == options.steps:
                np.save(part := io.BytesIO(), slab)
                saver.save_part(done, part.getvalue(), ranks=world.size)
            if world.rank == 0:
                print(f"step {done}/{options.steps}", flush=True)
            if stop and done < options.steps:
                soon.say_unfinished(saver)  # the batch script requeues the job
                break
        else:
            squares = world.reduce(float((slab**2).sum()))
            if world.rank == 0:
                print(f"final loss {squares!r}", flush=True)
    checkpoints.release()


if __name__ == "__main__":
    main()
