"""Checkpoints under fire: killed at every step of a save and of a takeover, replaced in mid-write, raced for."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aistation_slurm import checkpoint as module
from aistation_slurm.checkpoint import Checkpoints, DoubleStartError, ReplacedError, Run

KILLED = -signal.SIGKILL


def a_run(restart: int, *, start: str = "a") -> Run:
    return Run(f"7.{restart}-{start}", "7", restart)


def state(run: str, step: int, size: int = 0) -> bytes:
    """Return a state that proves itself: its first line says whose it is, the last one is its digest."""
    body = f"{run} {step}\n".encode() + random.Random(step).randbytes(size) + b"\n"
    return body + hashlib.sha256(body).hexdigest().encode()


def of(content: bytes) -> tuple[str, int]:
    """Return whose state it is, and of which step, once its digest is right."""
    body, digest = content[:-64], content[-64:]
    assert hashlib.sha256(body).hexdigest().encode() == digest
    run, step = body.split(b"\n", 1)[0].split()
    return run.decode(), int(step)


def in_a_child(work: Callable[[], None]) -> int:
    """Run it in a process of its own, and return that process's id."""
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_until(is_so: Callable[[], object], *, within: float = 60) -> None:
    """Return once it is so; a busy machine may take its time."""
    give_up = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < give_up, f"not so within {within} s"
        time.sleep(0.005)


def saved_by(folder: Path, restart: int) -> bool:
    """True once this run has saved a checkpoint that would be chosen."""
    with contextlib.suppress(FileNotFoundError):  # pruned just now by the one who works there
        found = Checkpoints(folder, run=a_run(99)).latest()
        return found is not None and of(found.file.read_bytes())[0] == str(restart)
    return False


def die_at(number: int) -> None:
    """Kill this process as it is about to touch the file system for the n-th time."""
    seen = 0

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event in {"open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def test_killed_anywhere_in_a_save_the_newest_whole_checkpoint_stands(tmp_path: Path) -> None:
    point = 0
    code = KILLED
    while code == KILLED:
        point += 1
        folder = tmp_path / str(point)
        run = Checkpoints(folder, keep=1, run=a_run(0))
        run.save(10, state("first", 10))

        def work(run: Checkpoints = run, point: int = point) -> None:
            die_at(point)
            run.save(20, state("first", 20))

        code = code_of(in_a_child(work))

        start = Checkpoints(folder, keep=1, run=a_run(1)).claim()
        assert start is not None
        assert of(start.file.read_bytes()) in ({("first", 20)} if code == 0 else {("first", 10), ("first", 20)})
    assert point > 20


def test_killed_anywhere_in_a_takeover_the_next_run_finds_all(tmp_path: Path) -> None:
    point = 0
    code = KILLED
    while code == KILLED:
        point += 1
        folder = tmp_path / str(point)
        first = Checkpoints(folder, run=a_run(0))
        first.save(10, state("first", 10))
        first.save(20, state("first", 20))

        def work(folder: Path = folder, point: int = point) -> None:
            die_at(point)
            Checkpoints(folder, run=a_run(1)).save(30, state("second", 30))

        code = code_of(in_a_child(work))

        third = Checkpoints(folder, run=a_run(2))
        start = third.claim()
        assert start is not None
        assert of(start.file.read_bytes()) in ({("second", 30)} if code == 0 else {("first", 20), ("second", 30)})
        third.save(40, state("third", 40))
        assert [each.step for each in third.checkpoints() if not each.fault()][-2:] in ([20, 40], [30, 40])
    assert point > 40


def test_killed_at_random_no_acknowledged_step_is_ever_lost(tmp_path: Path) -> None:
    chance = random.Random(1)
    told = tmp_path / "told"
    told.touch()
    for restart in range(40):

        def work(restart: int = restart) -> None:
            run = Checkpoints(tmp_path / "c", keep=2, run=a_run(restart))
            start = run.claim()
            step = start.step if start else 0
            with told.open("ab", buffering=0) as line:
                while True:
                    step += 1
                    run.save(step, state(str(restart), step, size=300_000))
                    line.write(step.to_bytes(8, "big"))  # in one write, so that a kill leaves whole steps

        before = told.stat().st_size
        child = in_a_child(work)
        if restart % 2:  # every other one is killed in its work, the others wherever they are, maybe in their start
            wait_until(lambda before=before: told.stat().st_size > before)
        time.sleep(chance.uniform(0.005, 0.06))
        os.kill(child, signal.SIGKILL)
        assert code_of(child) == KILLED
        acknowledged = int.from_bytes(told.read_bytes()[-8:], "big")
        found = Checkpoints(tmp_path / "c", run=a_run(99)).latest()
        assert (found.step if found else 0) >= acknowledged
        if found:
            assert of(found.file.read_bytes())[1] == found.step
    assert acknowledged >= 20


def test_runs_that_were_replaced_and_keep_on_writing_without_a_look_harm_nobody(tmp_path: Path) -> None:
    """Each run in turn is replaced while it saves and prunes as fast as it can, its fence taken away."""

    def rage(restart: int) -> None:
        module.Checkpoints.raise_if_replaced = lambda self: None  # type: ignore[method-assign]
        run = Checkpoints(tmp_path, keep=1, run=a_run(restart))
        start = run.claim()
        for step in range(start.step + 1 if start else 1, 1_000_000):
            run.save(step, state(str(restart), step, size=2_000))

    zombies = []
    try:
        for restart in range(0, 12, 2):
            zombies.append(in_a_child(lambda restart=restart: rage(restart)))
            successor = Checkpoints(tmp_path, keep=1, run=a_run(restart + 1))
            wait_until(lambda restart=restart: saved_by(tmp_path, restart))
            start = successor.claim()
            assert start is not None
            began = of(start.file.read_bytes())
            for _ in range(20):
                found = successor.latest()
                assert found is not None
                assert of(found.file.read_bytes()) == began
            successor.save(start.step + 1, state(str(restart + 1), start.step + 1))
            found = successor.latest()
            assert found is not None
            assert of(found.file.read_bytes()) == (str(restart + 1), start.step + 1)
    finally:
        for zombie in zombies:
            os.kill(zombie, signal.SIGKILL)
            os.waitpid(zombie, 0)
    steps = [claim.steps for claim in Checkpoints(tmp_path, run=a_run(99)).claims()]
    assert len(steps) == 12
    assert all(steps[1:])


@pytest.mark.parametrize("same", [True, False], ids=["double start", "different restarts"])
def test_of_many_that_claim_at_once_each_goes_on_from_the_one_before(tmp_path: Path, same: bool) -> None:
    Checkpoints(tmp_path, run=a_run(0)).save(10, state("first", 10))

    def work(number: int) -> None:
        run = Checkpoints(tmp_path, run=a_run(1 if same else number, start=str(number)))
        try:
            start = run.claim()
        except (DoubleStartError, ReplacedError) as refused:
            os._exit(3 if isinstance(refused, DoubleStartError) else 4)
        os._exit(0 if start is not None and start.step == 10 else 1)

    children = [in_a_child(lambda number=number: work(number)) for number in range(1, 9)]
    codes = sorted(code_of(child) for child in children)

    claims = Checkpoints(tmp_path, run=a_run(99)).claims()
    assert [claim.number for claim in claims] == list(range(1, len(claims) + 1))
    assert all(claim.steps == [10] for claim in claims[1:])
    assert codes == ([0] + [3] * 7 if same else [0] * (len(claims) - 1) + [4] * (9 - len(claims)))
    restarts = [claim.restart_count for claim in claims]
    assert restarts == sorted(restarts)
