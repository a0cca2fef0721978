"""How long a checkpoint holds the training up: saved at once, in the background, and in parts."""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).parent))

from timing import line, seconds

from aistation_slurm.checkpoint import Checkpoints, Run
from aistation_slurm.frameworks.background import Saver

TENSORS = 50
RANKS = 2


def writer(state: list[bytes]) -> Callable[[BinaryIO], object]:
    """Return what writes the state, tensor by tensor, as torch.save does."""
    return lambda file: file.writelines(state)


def at_once(folder: Path, state: list[bytearray], rounds: int) -> list[float]:
    """Return how long each save holds its caller."""
    run = Checkpoints(folder, keep=1, run=Run("at-once"))
    run.claim()
    return [seconds(lambda step=step: run.save(step, writer(state))) for step in range(1, rounds + 1)]


def in_the_background(folder: Path, state: list[bytearray], rounds: int, *, frozen: bool) -> list[float]:
    """Return how long each save holds its caller, who comes back only when the one before stands."""
    run = Checkpoints(folder, keep=1, run=Run("background"))
    run.claim()
    held = []
    with Saver(run) as saver:
        for step in range(1, rounds + 1):
            saver.wait()

            def save(step: int = step) -> None:
                kept = writer([bytes(each) for each in state] if frozen else state)
                saver.save(step, kept, frozen=frozen)

            held.append(seconds(save))
    return held


def in_parts(folder: Path, state: list[bytearray], rounds: int) -> list[float]:
    """Return how long each save holds rank 0; each rank is a process, and has its share of the state."""
    fork = multiprocessing.get_context("fork")
    together = fork.Barrier(RANKS)
    Checkpoints(folder, run=Run("parts")).claim()

    def work(rank: int) -> list[float]:
        run = Checkpoints(folder, keep=1, run=Run("parts", rank=rank))
        mine, held = writer(state[rank::RANKS]), []
        if rank == 0:
            run.claim()
        for step in range(1, rounds + 1):
            together.wait()
            held.append(seconds(lambda step=step: run.save_part(step, mine, ranks=RANKS)))
        return held

    others = [fork.Process(target=work, args=(rank,)) for rank in range(1, RANKS)]
    for each in others:
        each.start()
    return work(0)


def main() -> None:
    """Measure, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", default="/dev/shm", help="Where to save (%(default)s).")
    options = parser.parse_args()
    state = [bytearray(options.megabytes * 1_000_000 // TENSORS) for _ in range(TENSORS)]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, rounds = Path(name), options.rounds
        taken = {
            "at once": at_once(folder / "a", state, rounds),
            "in the background": in_the_background(folder / "b", state, rounds, frozen=False),
            "in the background, own copy": in_the_background(folder / "c", state, rounds, frozen=True),
            f"in parts, {RANKS} ranks": in_parts(folder / "d", state, rounds),
        }
    print(f"{options.megabytes} MB in {options.folder}: time that a save holds the training")
    for what, values in taken.items():
        print(line(what, values))
    sync = statistics.median(taken["at once"])
    for what, values in taken.items():
        print(f"{what}: {statistics.median(values) / sync:.2f} of a save at once")


if __name__ == "__main__":
    main()
