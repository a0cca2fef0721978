"""`kill -9` at any moment of saving: at once, in the background, and in parts by several ranks.

After each kill the newest whole checkpoint is read back, byte by byte: it is never older than the last one that a run
was told of, nor than the one before. AISTATION_KILLS=70 kills as often in each of the three ways.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoint, Checkpoints, Run
from aistation_slurm.frameworks.background import Saver

KILLS = int(os.environ.get("AISTATION_KILLS", "8"))
RANKS = 3
SIZE = 400_000


def a_run(restart: int, rank: int = 0) -> Run:
    return Run(f"7.{restart}-a", "7", restart, rank)


def state(step: int, rank: int = 0) -> bytes:
    return f"{step} {rank} ".encode() + random.Random(step * 100 + rank).randbytes(SIZE)


class Told:
    """What the training has been told is saved; it survives the kill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def add(self, step: int) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(step.to_bytes(8, "big"))  # in one write, so that a kill leaves whole steps

    def last(self) -> int:
        return int.from_bytes(self.path.read_bytes()[-8:], "big")


def at_once(folder: Path, told: Told, restart: int, rank: int) -> None:
    run = Checkpoints(folder, keep=2, run=a_run(restart))
    start = run.claim()
    for step in range(start.step + 1 if start else 1, 1_000_000):
        run.save(step, state(step))
        told.add(step)


def in_the_background(folder: Path, told: Told, restart: int, rank: int) -> None:
    run = Checkpoints(folder, keep=2, run=a_run(restart))
    start = run.claim()
    with Saver(run) as saver:
        for step in range(start.step + 1 if start else 1, 1_000_000):
            saver.save(step, state(step))  # returns once the one before stands
            if step > (start.step if start else 0) + 1:
                told.add(step - 1)


def in_parts(folder: Path, told: Told, restart: int, rank: int) -> None:
    run = Checkpoints(folder, keep=2, run=a_run(restart, rank))
    start = run.follow() if rank else run.claim()
    for step in range(start.step + 1 if start else 1, 1_000_000):
        run.save_part(step, state(step, rank), ranks=RANKS)
        if rank == 0:
            told.add(step)


def fork(work: Callable[[], None]) -> int:
    if child := os.fork():
        return child
    try:
        work()
    finally:
        os._exit(1)


def is_right(found: Checkpoint) -> bool:
    if parts := found.manifest().parts:
        return all(found.part(rank).read_bytes() == state(found.step, rank) for rank in range(parts))
    return found.file.read_bytes() == state(found.step)


@pytest.mark.parametrize("way", [at_once, in_the_background, in_parts])
def test_no_saved_step_is_ever_lost_to_a_kill(tmp_path: Path, way: Callable[[Path, Told, int, int], None]) -> None:
    chance = random.Random(way.__name__)
    folder, told = tmp_path / "c", Told(tmp_path / "told")
    before = 0
    unfinished: set[Path] = set()
    in_mid_save = 0
    for restart in range(KILLS):
        ranks = RANKS if way is in_parts else 1
        children = [fork(lambda rank=rank, restart=restart: way(folder, told, restart, rank)) for rank in range(ranks)]
        saved, give_up = told.last(), time.monotonic() + 60
        while restart % 3 and told.last() == saved:  # every third is killed wherever it is, maybe in its start
            assert time.monotonic() < give_up
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        for child in chance.sample(children, len(children)):
            os.kill(child, signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert codes == [-signal.SIGKILL] * ranks
        left = set(folder.glob("runs/*/.new-[0-9]*"))
        in_mid_save += bool(left - unfinished)
        unfinished |= left
        found = Checkpoints(folder, run=a_run(0, rank=9)).latest()
        newest = found.step if found else 0
        assert newest >= told.last()
        assert newest >= before
        assert found is None or is_right(found)
        before = newest
    assert before > KILLS / 2
    print(f"{way.__name__}: {KILLS} kills, {in_mid_save} in the middle of a save, step {before}")
    assert in_mid_save or KILLS < 50  # else it would have shown nothing
