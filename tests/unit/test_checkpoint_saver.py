"""Saving in the background: what was handed over is what is saved, and no error is lost."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from aistation_slurm import checkpoint
from aistation_slurm.checkpoint import CheckpointError, Checkpoints, InFolder, ReplacedError, Run, SaveSoon
from aistation_slurm.frameworks import background
from aistation_slurm.frameworks.background import Saver

LONG = 60.0
FOLDERS = [str(Path(each.__file__).parent) for each in (checkpoint, background)]  # as two files that lie side by side


@pytest.fixture
def run(tmp_path: Path) -> Checkpoints:
    run = Checkpoints(tmp_path / "checkpoints", run=Run("7.0-a", "7"))
    run.claim()
    return run


class Gate:
    """Holds a writer in the background up until it is opened."""

    def __init__(self) -> None:
        self.began, self.open = threading.Event(), threading.Event()

    def writer(self, content: bytes) -> Callable[[BinaryIO], object]:
        def write(file: BinaryIO) -> None:
            self.began.set()
            assert self.open.wait(LONG)
            file.write(content)

        return write


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def newest(run: Checkpoints) -> bytes:
    found = Checkpoints(run.folder, run=Run("looking", rank=1)).latest()
    assert found is not None
    return found.file.read_bytes()


def test_what_changes_after_the_call_is_not_what_is_saved(run: Checkpoints) -> None:
    state = bytearray(b"weights of step 1")
    with Saver(run) as saver:
        saver.save(1, lambda file: file.write(state))
        state[:] = b"weights of step 2"
    assert newest(run) == b"weights of step 1"


def test_the_training_goes_on_while_a_checkpoint_is_written(run: Checkpoints, gate: Gate) -> None:
    with Saver(run) as saver:
        assert saver.save(1, gate.writer(b"one"), frozen=True)
        assert gate.began.wait(LONG)
        assert saver.is_busy
        assert run.checkpoints() == []
        gate.open.set()
    assert newest(run) == b"one"


def test_a_second_save_waits_for_the_first_and_copies_only_then(run: Checkpoints, gate: Gate) -> None:
    order = []
    with Saver(run) as saver:
        saver.save(1, gate.writer(b"one"), frozen=True)
        assert gate.began.wait(LONG)
        threading.Timer(0.05, lambda: (order.append("first may end"), gate.open.set())).start()
        saver.save(2, lambda file: (order.append("second is copied"), file.write(b"two")))
    assert order == ["first may end", "second is copied"]
    assert [each.step for each in run.checkpoints()] == [1, 2]


def test_a_second_save_can_be_skipped_instead(run: Checkpoints, gate: Gate) -> None:
    with Saver(run, if_busy="skip") as saver:
        assert saver.save(1, gate.writer(b"one"), frozen=True)
        assert gate.began.wait(LONG)
        assert not saver.save(2, b"two")
        gate.open.set()
        saver.wait()
        assert saver.save(3, b"three")
    assert [each.step for each in run.checkpoints()] == [1, 3]


def full(file: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_went_wrong_is_raised_by_the_next_call_and_only_once(run: Checkpoints) -> None:
    with Saver(run) as saver:
        saver.save(1, full, frozen=True)
        with pytest.raises(CheckpointError, match="step 1 was not saved: No space left"):
            saver.save(2, b"two")
        saver.save(3, b"three")
    assert [each.step for each in run.checkpoints()] == [3]


def test_what_went_wrong_with_the_last_one_is_raised_at_the_end(run: Checkpoints) -> None:
    with pytest.raises(CheckpointError, match="step 1 was not saved"), Saver(run) as saver:
        saver.save(1, full, frozen=True)


def test_an_error_of_the_training_itself_is_the_one_to_be_seen(
    run: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError), Saver(run) as saver:
        saver.save(1 // (not saver.save(1, full, frozen=True)), b"never")
    assert "step 1 was not saved" in caplog.text


def test_a_writer_that_fails_while_it_is_copied_fails_on_the_spot(run: Checkpoints) -> None:
    with Saver(run) as saver, pytest.raises(OSError, match="No space"):
        saver.save(1, full)


def test_a_smaller_state_after_a_larger_one_has_nothing_of_it_in_it(run: Checkpoints) -> None:
    def write(content: bytes) -> Callable[[BinaryIO], object]:
        def writer(file: BinaryIO) -> None:
            file.write(b"????")
            file.writelines([content[:1], content[1:]])
            end = file.tell()
            file.seek(0)
            file.write(b"head")  # as a ZIP file's directory is written: back to the head, and to the end again
            assert file.seek(0, os.SEEK_END) == end

        return writer

    with Saver(run) as saver:
        saver.save(1, write(b"a large state" * 1000))
        saver.save(2, write(b"a small one"))
    assert newest(run) == b"heada small one"


def test_numpy_s_own_files_are_saved_as_they_would_be(run: Checkpoints) -> None:
    numpy = pytest.importorskip("numpy")
    with Saver(run) as saver:
        for step, size in ((1, 100_000), (2, 10)):
            saver.save(step, lambda file, size=size: numpy.savez(file, weights=numpy.arange(size)))
    found = run.latest()
    assert found is not None
    with numpy.load(found.file) as arrays:
        assert arrays["weights"].tolist() == list(range(10))


def test_what_fills_a_folder_fills_one_in_memory_first(run: Checkpoints) -> None:
    state = {"weights": b"of step 1"}

    def fill(folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_bytes(state["weights"])

    with Saver(run) as saver:
        saver.save(1, InFolder(fill))
        state["weights"] = b"of step 2"
    found = run.latest()
    assert found is not None
    assert (found.folder / "deep" / "weights").read_bytes() == b"of step 1"
    gc.collect()
    assert list(background._place_in_memory().iterdir()) == []


KILLED_WITH_MEMORY = """
import os, signal, sys
sys.path[:0] = {folders!r}
import background, checkpoint
background.MEMORY = {memory!r}
held = background._filled_in_memory(checkpoint.InFolder(lambda folder: (folder / "state").write_text("x") and None))
if sys.argv[1] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
print("ready", flush=True)
sys.stdin.read()
"""


def test_memory_that_a_killed_process_held_is_given_back_by_the_next(tmp_path: Path) -> None:
    script = KILLED_WITH_MEMORY.format(folders=FOLDERS, memory=str(tmp_path))
    command = [sys.executable, "-S", "-c", script]
    subprocess.run([*command, "die"], check=False, timeout=LONG)
    (left,) = tmp_path.iterdir()
    old = time.time() - 3600
    alive = subprocess.Popen([*command, "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert alive.stdout is not None
    assert alive.stdout.readline() == "ready\n"
    (held,) = set(tmp_path.iterdir()) - {left}
    for each in (left, held):
        os.utime(each, (old, old))
    subprocess.run([*command, "end"], check=True, timeout=LONG, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert list(tmp_path.iterdir()) == [held]
    alive.communicate("", timeout=LONG)
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_run_hears_of_it(run: Checkpoints) -> None:
    Checkpoints(run.folder, run=Run("7.1-a", "7", 1)).claim()
    with pytest.raises(ReplacedError), Saver(run) as saver:
        saver.save(1, b"late")


def test_parts_are_saved_in_the_background_on_every_rank(run: Checkpoints) -> None:
    ranks = [run, *(Checkpoints(run.folder, run=Run("7.0-a", "7", 0, rank)) for rank in (1, 2))]
    savers = [Saver(each) for each in ranks]
    for step in (10, 20):
        for rank, saver in enumerate(savers):  # one after the other, on one thread: no save holds its caller up
            saver.save_part(step, {f"of-{rank}": f"{rank} {step}".encode()}, ranks=3)
    for saver in savers:
        saver.close()
    start = run.latest()
    assert start is not None
    assert {name: (start.folder / name).read_text() for name in start.files()} == {
        f"of-{n}": f"{n} 20" for n in range(3)
    }


def test_a_run_that_leaves_says_so_only_once_its_checkpoint_stands(
    run: Checkpoints, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AISTATION_RUN_DIR", str(tmp_path))
    before = signal.getsignal(signal.SIGUSR2)
    try:
        soon, saver = SaveSoon(), Saver(run)
        saver.save(1, gate.writer(b"one"), frozen=True)
        assert gate.began.wait(LONG)
        leaves = threading.Thread(target=soon.say_unfinished, args=(saver,))
        leaves.start()
        assert not (tmp_path / checkpoint.UNFINISHED).exists()
        gate.open.set()
        leaves.join(LONG)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert (tmp_path / checkpoint.UNFINISHED).exists()
    assert newest(run) == b"one"


def test_a_run_whose_last_save_fails_does_not_ask_to_be_requeued(
    run: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AISTATION_RUN_DIR", str(tmp_path))
    before = signal.getsignal(signal.SIGUSR2)
    try:
        soon, saver = SaveSoon(), Saver(run)
        saver.save(1, full, frozen=True)
        with pytest.raises(CheckpointError):
            soon.say_unfinished(saver)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert not (tmp_path / checkpoint.UNFINISHED).exists()


FORGETFUL = """
import sys, time
sys.path[:0] = {folders!r}
from background import Saver
from checkpoint import Checkpoints, Run
saver = Saver(Checkpoints({folder!r}, run=Run("forgetful")))
saver.save(1, lambda file: (time.sleep(0.3), file.write(b"one")), frozen=True)
"""  # and the end of the script, with no close


def test_a_script_that_forgets_to_close_still_ends_with_its_checkpoint_whole(tmp_path: Path) -> None:
    script = FORGETFUL.format(folders=FOLDERS, folder=str(tmp_path / "c"))
    subprocess.run([sys.executable, "-S", "-c", script], check=True, timeout=LONG, env={**os.environ, "RANK": "0"})
    found = Checkpoints(tmp_path / "c", run=Run("looking")).latest()
    assert found is not None
    assert found.file.read_bytes() == b"one"
    assert time.time() - found.manifest().time < LONG
