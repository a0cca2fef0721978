"""The promises of `aistation_slurm.checkpoint`, one by one; the torture stands beside it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aistation_slurm import checkpoint as module
from aistation_slurm.checkpoint import (
    Checkpoint,
    CheckpointError,
    Checkpoints,
    DoubleStartError,
    ReplacedError,
    Run,
    newest_step,
)


def a_run(restart: int = 0, *, job: str = "7", start: str = "a", rank: int = 0) -> Run:
    return Run(f"{job}.{restart}-{start}", job, restart, rank)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def read(found: Checkpoint | None) -> bytes:
    assert found is not None
    return found.file.read_bytes()


def save_behind_the_fence(zombie: Checkpoints, step: int, content: bytes) -> None:
    """Do what a replaced run does that was past its last check when the newer run came."""
    (unfinished := zombie._mine / ".new-late").mkdir()
    files = module._write(unfinished, content, module.STATE)
    manifest = {
        "step": step,
        "files": {name: {"size": size, "sha256": digest} for name, (size, digest) in files.items()},
    }
    (unfinished / module.MANIFEST).write_text(json.dumps(manifest))
    unfinished.rename(zombie.at(step).folder)
    assert not zombie.at(step).fault()


def test_the_newest_checkpoint_is_what_a_requeued_run_goes_on_from(folder: Path) -> None:
    first = Checkpoints(folder, run=a_run())
    assert first.claim() is None
    for step in (10, 20, 30):
        first.save(step, f"at {step}".encode())

    start = Checkpoints(folder, run=a_run(1)).claim()

    assert start is not None
    assert start.step == 30
    assert read(start) == b"at 30"


def test_a_writer_gets_the_open_file(folder: Path) -> None:
    saved = Checkpoints(folder, run=a_run()).save(1, lambda file: file.write(b"by hand"))
    assert read(saved) == b"by hand"


def test_the_last_k_are_kept(folder: Path) -> None:
    run = Checkpoints(folder, keep=2, run=a_run())
    for step in range(1, 6):
        run.save(step, b"x")
    assert [each.step for each in run.checkpoints()] == [4, 5]


def test_what_was_taken_over_counts_among_the_last_k(folder: Path) -> None:
    Checkpoints(folder, run=a_run()).save(10, b"x")
    second = Checkpoints(folder, keep=2, run=a_run(1))
    second.save(20, b"x")
    second.save(30, b"x")
    assert [each.step for each in second.checkpoints()] == [20, 30]


def test_the_folder_of_a_replaced_run_goes_with_the_first_save_of_the_new_one(folder: Path) -> None:
    first, second = Checkpoints(folder, run=a_run()), Checkpoints(folder, run=a_run(1))
    first.save(10, b"x")
    second.claim()
    assert first._mine.exists()
    second.save(20, b"y")
    assert not first._mine.exists()
    assert [each.step for each in second.checkpoints()] == [10, 20]


@pytest.mark.parametrize("break_it", ["truncate", "flip", "lengthen", "empty", "manifest", "no manifest", "no state"])
def test_a_broken_checkpoint_is_never_chosen(folder: Path, break_it: str) -> None:
    run = Checkpoints(folder, run=a_run())
    run.save(10, b"whole" * 1000)
    broken = run.save(20, b"to be broken" * 1000)
    content = bytearray(broken.file.read_bytes())
    manifest = broken.folder / module.MANIFEST
    if break_it == "flip":
        content[1234] ^= 0x10
        broken.file.write_bytes(content)
    elif break_it == "lengthen":
        broken.file.write_bytes(content + b"!")
    elif break_it in {"truncate", "empty"}:
        os.truncate(broken.file, 0 if break_it == "empty" else 100)
    elif break_it == "manifest":
        manifest.write_text(manifest.read_text()[:-20])
    else:
        (manifest if break_it == "no manifest" else broken.file).unlink()

    assert broken.fault()
    assert Checkpoints(folder, run=a_run()).claim() == run.at(10)
    assert read(Checkpoints(folder, run=a_run(1)).claim()) == b"whole" * 1000


def test_a_flipped_bit_anywhere_in_the_manifest_harms_nobody(folder: Path) -> None:
    saved = Checkpoints(folder, run=a_run()).save(10, b"whole")
    manifest = saved.folder / module.MANIFEST
    right = manifest.read_bytes()
    for position in range(len(right) * 8):
        wrong = bytearray(right)
        wrong[position // 8] ^= 1 << position % 8
        manifest.write_bytes(wrong)
        assert saved.fault() or read(saved) == b"whole"


def test_a_save_that_fails_leaves_nothing_and_harms_nothing(folder: Path) -> None:
    run = Checkpoints(folder, run=a_run())
    run.save(10, b"ten")

    def full(file: object) -> None:
        file.write(b"some")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CheckpointError, match="step 20 was not saved: No space left on device"):
        run.save(20, full)
    assert sorted(os.listdir(run._mine)) == ["step-000000000010"]
    assert read(run.latest()) == b"ten"


def test_the_same_step_again_keeps_what_stands(folder: Path) -> None:
    run = Checkpoints(folder, run=a_run())
    run.save(10, b"first")
    assert read(run.save(10, b"second")) == b"first"


def test_an_older_step_is_refused_with_what_to_do(folder: Path) -> None:
    run = Checkpoints(folder, run=a_run())
    run.save(20, b"x")
    with pytest.raises(CheckpointError, match=r"step 10 is older than step 20.*go on from there"):
        run.save(10, b"x")


def test_a_broken_one_makes_room_for_the_same_step(folder: Path) -> None:
    run = Checkpoints(folder, run=a_run())
    run.save(10, b"ten")
    os.truncate(run.save(20, b"twenty").file, 2)
    assert run.latest() == run.at(10)
    assert read(run.save(20, b"twenty again")) == b"twenty again"


def test_a_restart_inside_the_job_goes_on_as_the_same_run(folder: Path) -> None:
    before = Checkpoints(folder, run=a_run())
    before.save(10, b"x")
    (before._mine / ".new-20-killed").mkdir()

    after = Checkpoints(folder, run=a_run())

    assert after.claim() == before.at(10)
    assert after.claimed == before.claimed
    assert os.listdir(after._mine) == ["step-000000000010"]


def test_a_replaced_run_can_not_save(folder: Path) -> None:
    zombie = Checkpoints(folder, run=a_run())
    zombie.save(10, b"x")
    Checkpoints(folder, run=a_run(1)).claim()
    with pytest.raises(ReplacedError, match=r"replaced by claim 2 \(job 7, restart 1"):
        zombie.save(20, b"y")
    with pytest.raises(ReplacedError):
        zombie.raise_if_replaced()


def test_a_run_that_is_replaced_while_it_writes_hears_of_it(folder: Path) -> None:
    zombie = Checkpoints(folder, run=a_run())
    zombie.save(10, b"x")
    with pytest.raises(ReplacedError):
        zombie.save(20, lambda file: (file.write(b"late"), Checkpoints(folder, run=a_run(1)).claim()))
    assert Checkpoints(folder, run=a_run(1)).claim() is not None


def test_a_replaced_run_hears_why_when_its_folder_is_gone(folder: Path) -> None:
    zombie = Checkpoints(folder, run=a_run())
    zombie.save(10, b"x")
    with pytest.raises(ReplacedError):
        zombie.save(20, lambda file: Checkpoints(folder, run=a_run(1)).save(20, b"of the new one"))


@pytest.mark.parametrize("keep", [1, 3])
def test_what_a_replaced_run_still_manages_to_write_is_never_chosen(folder: Path, keep: int) -> None:
    zombie = Checkpoints(folder, keep=keep, run=a_run())
    zombie.save(10, b"ten")
    successor = Checkpoints(folder, run=a_run(1))
    successor.claim()

    save_behind_the_fence(zombie, 20, b"of the zombie")

    assert read(successor.latest()) == b"ten"
    third = Checkpoints(folder, run=a_run(2))
    assert read(third.claim()) == b"ten"
    third.save(15, b"fifteen")
    assert read(Checkpoints(folder, run=a_run(3)).claim()) == b"fifteen"


def test_a_replaced_run_that_prunes_takes_nothing_from_its_successor(folder: Path) -> None:
    zombie = Checkpoints(folder, keep=1, run=a_run())
    zombie.save(10, b"ten")
    successor = Checkpoints(folder, run=a_run(1))
    start = successor.claim()

    save_behind_the_fence(zombie, 20, b"late")
    zombie._prune()

    assert not zombie.at(10).folder.exists()
    assert read(start) == b"ten"


def test_nothing_is_lost_where_the_other_prunes_in_the_middle_of_the_takeover(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Checkpoints(folder, keep=1, run=a_run())
    other.save(10, b"ten")
    link, meanwhile = module._link, iter((20, 30))

    def link_later(*args: Path) -> str:
        for step in meanwhile:
            other.save(step, str(step).encode())
            break
        return link(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_link", link_later)

    assert read(Checkpoints(folder, run=a_run(1)).claim()) == b"30"


def test_the_second_start_of_the_same_run_is_refused(folder: Path) -> None:
    Checkpoints(folder, run=a_run(start="a")).claim()
    with pytest.raises(DoubleStartError, match=r"job 7, restart 0, runs on .* already"):
        Checkpoints(folder, run=a_run(start="b")).claim()


def test_a_run_that_ended_in_good_order_may_be_followed_by_hand(folder: Path) -> None:
    with Checkpoints(folder, run=a_run(start="a")) as run:
        run.save(10, b"x")
    assert read(Checkpoints(folder, run=a_run(start="b")).claim()) == b"x"


def test_an_old_run_that_comes_late_is_told_that_it_was_replaced(folder: Path) -> None:
    Checkpoints(folder, run=a_run(1)).claim()
    with pytest.raises(ReplacedError, match="replaced by claim 1"):
        Checkpoints(folder, run=a_run(0)).claim()


def test_a_takeover_by_hand_is_possible(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Checkpoints(folder, run=a_run(1)).save(10, b"x")
    monkeypatch.setenv(module.TAKEOVER, "1")
    assert read(Checkpoints(folder, run=a_run(0)).claim()) == b"x"


def test_another_job_goes_on_where_the_last_one_was(folder: Path) -> None:
    first = Checkpoints(folder, run=a_run(3, job="7"))
    first.save(10, b"x")
    assert read(Checkpoints(folder, run=a_run(0, job="8")).claim()) == b"x"
    with pytest.raises(ReplacedError):
        first.save(20, b"y")


def test_ranks_other_than_zero_read_and_never_write(folder: Path) -> None:
    Checkpoints(folder, run=a_run()).save(10, b"x")
    other = Checkpoints(folder, run=a_run(rank=1))
    assert read(other.at(10)) == b"x"
    assert read(other.latest()) == b"x"
    for forbidden in (other.claim, lambda: other.save(20, b"y")):
        with pytest.raises(CheckpointError, match="only rank 0"):
            forbidden()


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP])
def test_without_links_between_folders_the_newest_whole_one_is_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    run = Checkpoints(folder, run=a_run())
    for step in (10, 20, 30):
        saved = run.save(step, str(step).encode())
    os.truncate(saved.file, 1)
    link = os.link

    def link_within_a_folder(source: Path, target: Path) -> None:
        if source.parent != target.parent:
            raise OSError(error, os.strerror(error))
        link(source, target)

    monkeypatch.setattr(os, "link", link_within_a_folder)
    successor = Checkpoints(folder, run=a_run(1))
    assert read(successor.claim()) == b"20"
    assert successor.claims()[-1].steps == [20]


def test_a_lost_answer_of_nfs_is_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server made the link or the rename, its answer was lost, and the client asked once more."""
    link, rename = os.link, Path.rename

    def link_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    def rename_twice(source: Path, target: Path) -> None:
        rename(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    monkeypatch.setattr(Path, "rename", rename_twice)
    run = Checkpoints(folder, run=a_run())
    run.save(10, b"x")
    assert run.claimed is not None
    assert run.claimed.number == 1
    assert read(run.latest()) == b"x"


def test_a_claim_that_can_not_be_read_stops_everybody_rather_than_mislead(folder: Path) -> None:
    Checkpoints(folder, run=a_run()).save(10, b"x")
    (folder / "claims" / "000001.json").write_text("{")
    with pytest.raises(CheckpointError, match="says who holds this folder"):
        Checkpoints(folder, run=a_run(1)).claim()


def test_a_folder_that_can_not_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="Not a directory"):
        Checkpoints(tmp_path / "file" / "checkpoints", run=a_run()).claim()


def test_a_claim_from_a_newer_version_can_be_read(folder: Path) -> None:
    Checkpoints(folder, run=a_run()).save(10, b"x")
    path = folder / "claims" / "000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shards": 8}))
    assert read(Checkpoints(folder, run=a_run(1)).claim()) == b"x"


def test_the_run_is_read_from_the_environment() -> None:
    environ = {"AISTATION_RUN_ID": "fresh", "SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "3", "RANK": "5"}
    assert Run.from_environment(environ) == Run("12.3-fresh", "12", 3, 5)
    assert Run.from_environment({"SLURM_JOB_ID": "12"}) == Run("12.0", "12", 0, 0)
    assert Run.from_environment({}) != Run.from_environment({})
    with pytest.raises(CheckpointError, match="can't be the id of a run"):
        Run("../elsewhere")


SIGNALLED = """
import os, signal, sys, time
sys.path.insert(0, {package!r})
from checkpoint import SaveSoon
soon = SaveSoon(signal.SIGUSR2, signal.SIGTERM, react_within=0.2)
print("ready", flush=True)
if {stuck}:  # as in a collective: the main thread runs no Python, so no handler either
    import ctypes
    ctypes.CDLL(None).pause() ; ctypes.CDLL(None).pause(); time.sleep(30)
while not soon.wanted:
    time.sleep(0.01)
time.sleep(0.5)
print("saved", flush=True)
"""


@pytest.mark.parametrize(
    ("stuck", "sent", "code"),
    [(False, signal.SIGUSR2, 0), (False, signal.SIGTERM, 0), (True, signal.SIGTERM, 143)],
)
def test_a_signal_asks_for_a_save_and_ends_a_run_that_is_stuck(stuck: bool, sent: signal.Signals, code: int) -> None:
    script = SIGNALLED.format(package=str(Path(module.__file__).parent), stuck=stuck)
    process = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=10)
    assert process.returncode == code
    assert output == ("saved\n" if code == 0 else "")


def test_a_run_that_is_replaced_right_after_its_claim_reads_its_own(folder: Path) -> None:
    first = Checkpoints(folder, run=a_run())
    first.save(10, b"ten")
    Checkpoints(folder, run=a_run(1)).save(20, b"twenty")
    assert first.claimed is not None
    assert first.latest() is None  # its folder went with the first save of the newer run
    assert read(Checkpoints(folder, run=a_run(9)).latest()) == b"twenty"


def test_who_looks_on_sees_the_newest_step_and_leaves_no_trace(folder: Path) -> None:
    assert newest_step(folder) is None
    run = Checkpoints(folder, run=a_run())
    run.claim()
    assert newest_step(folder) is None
    run.save(10, b"x")
    run.save(1_000_000, b"x")
    before = sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))
    assert newest_step(folder) == 1_000_000
    assert sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_the_newest_step_is_the_lineage_s(folder: Path) -> None:
    zombie = Checkpoints(folder, run=a_run())
    zombie.save(10, b"x")
    Checkpoints(folder, run=a_run(1)).claim()
    save_behind_the_fence(zombie, 90, b"late")
    assert newest_step(folder) == 10


def test_a_folder_that_can_not_be_looked_into_is_not_taken_for_an_empty_one(folder: Path) -> None:
    folder.mkdir()
    (folder / "claims").write_text("")
    with pytest.raises(CheckpointError, match="can't be looked into"):
        newest_step(folder)
