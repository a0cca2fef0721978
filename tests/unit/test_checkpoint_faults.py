"""Folders that a training can't use, or only half: one clear sentence, and nothing lost."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from aistation_slurm import checkpoint as module
from aistation_slurm.checkpoint import CheckpointError, Checkpoints, Run, to_prune

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other users, and a file system of its own")


def a_run(restart: int = 0) -> Run:
    return Run(f"7.{restart}-a", "7", restart)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=True, timeout=30)
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=30)


def as_nobody(work: Callable[[], object]) -> str:
    """Run it as another user, in a process of its own; return the CheckpointError that came of it."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        told = "no error"
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
        except CheckpointError as error:
            told = str(error)
        except BaseException as error:
            told = f"something else: {error!r}"
        finally:
            os.write(writing, told.encode())
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        return told.read()


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that another user can reach, as pytest's own can't be."""
    place = Path("/var/tmp") / f"aistation-checkpoints-{os.getpid()}"
    place.mkdir()
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def through_pickle(file: BinaryIO) -> None:
    """A writer that hides what the file told it, as PyTorch's does."""
    try:
        for _ in range(32):
            pickle.dump(os.urandom(100_000), file)
    except OSError:
        raise RuntimeError("unexpected position 64") from None


@needs_root
@pytest.mark.parametrize("content", [b"x" * 3_000_000, through_pickle], ids=["bytes", "a writer of its own ways"])
def test_a_full_disk_is_named_with_what_is_left_and_the_old_checkpoint_stands(
    small: Path, content: bytes | Callable[[BinaryIO], object]
) -> None:
    run = Checkpoints(small / "c", run=a_run())
    run.save(10, b"ten" * 1000)
    with pytest.raises(CheckpointError) as told:
        run.save(20, content)
    assert str(told.value).startswith(f"{small}/c: step 20 was not saved: No space left on device (")
    assert str(told.value).endswith(" MB are free there); what was saved before still stands")
    assert run.latest() == run.at(10)
    assert os.listdir(run._mine) == ["step-000000000010"]
    run.save(20, b"small enough")
    assert Checkpoints(small / "c", run=a_run(1)).claim() is not None


@needs_root
def test_a_rank_whose_disk_is_full_tells_rank_zero(small: Path) -> None:
    ranks = [Checkpoints(small / "c", run=Run("7.0-a", "7", 0, rank)) for rank in range(2)]
    ranks[0].save(10, b"ten")
    with pytest.raises(CheckpointError, match="No space left"):
        ranks[1].save_part(20, b"x" * 3_000_000, ranks=2)
    with pytest.raises(CheckpointError, match=r"rank 1: No space left on device"):
        ranks[0].save_part(20, b"x", ranks=2, within=60)
    assert ranks[0].latest() == ranks[0].at(10)


@needs_root
def test_a_folder_of_another_user_is_named_with_its_owner(open_to_all: Path) -> None:
    Checkpoints(open_to_all / "c", run=a_run()).save(10, b"ten")
    told = as_nobody(lambda: Checkpoints(open_to_all / "c", run=a_run(1)).claim())
    assert told.startswith(f"{open_to_all}/c: Permission denied: {open_to_all}/c/runs belongs to root, mode 755")
    assert told.endswith("runs as nobody")
    assert as_nobody(lambda: print(1 / (module.newest_step(open_to_all / "c") != 10))).startswith(
        "something else: Zero"
    )


@needs_root
def test_a_folder_that_may_not_be_made_is_named_with_who_may(open_to_all: Path) -> None:
    told = as_nobody(lambda: Checkpoints(open_to_all / "deep" / "c", run=a_run()).claim())
    assert f"Permission denied: {open_to_all} belongs to root, mode 755, and this runs as nobody" in told


@needs_root
def test_in_a_folder_that_several_share_each_goes_on_from_the_other_s(open_to_all: Path) -> None:
    """Sticky, as /tmp is: nobody can remove or link what is another's; so it is copied, and stays."""
    folder = open_to_all / "c"
    for each in (folder, folder / "claims", folder / "runs"):
        each.mkdir()
        each.chmod(0o1777)
    Checkpoints(folder, run=a_run()).save(10, b"ten")

    def go_on() -> None:
        run = Checkpoints(folder, run=a_run(1))
        start = run.claim()
        assert start is not None
        assert start.file.read_bytes() == b"ten"
        run.save(20, b"twenty")

    assert as_nobody(go_on) == "no error"
    third = Checkpoints(folder, run=a_run(2))
    assert third.claim() == third.at(20)
    third.save(30, b"thirty")
    assert as_nobody(lambda: Checkpoints(folder, run=a_run(1)).save(40, b"x")).endswith(
        "restart 2, on " + third.claims()[-1].host + ")"
    )


def test_a_training_whose_checkpoints_are_all_broken_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Checkpoints(tmp_path, run=a_run())
    for step in (10, 20):
        os.truncate(run.save(step, b"whole").file, 2)
    assert Checkpoints(tmp_path, run=a_run(1)).claim() is None
    assert [each.getMessage().rsplit(": ", 1)[1] for each in caplog.records] == ["state has 2 bytes instead of 5"] * 2


@pytest.mark.parametrize(
    ("every", "standing", "left"),
    [
        (None, [10, 20, 30, 40, 50], [40, 50]),
        (20, [10, 20, 30, 40, 50], [20, 40, 50]),
        (100, [70, 90, 110, 130, 190, 210, 230, 240], [110, 210, 230, 240]),
        (1, [1, 2, 3], [1, 2, 3]),
        (1000, [10, 20, 30], [20, 30]),
    ],
)
def test_the_last_k_and_the_first_past_each_n_are_kept(
    tmp_path: Path, every: int | None, standing: list[int], left: list[int]
) -> None:
    run = Checkpoints(tmp_path, keep=2, every=every, run=a_run())
    for step in standing:
        run.save(step, b"x")
    assert [each.step for each in run.checkpoints()] == left
    assert to_prune(run.checkpoints(), keep=2, every=every) == []


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_what_is_kept_for_good_outlives_a_takeover(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        link = os.link

        def link_within_a_folder(source: Path, target: Path) -> None:
            if source.parent != target.parent:
                raise PermissionError(1, "no links here")
            link(source, target)

        monkeypatch.setattr(os, "link", link_within_a_folder)
    for restart in range(3):
        run = Checkpoints(tmp_path, keep=1, every=100, run=a_run(restart))
        start = run.claim()
        for step in range(start.step + 50 if start else 50, restart * 150 + 200, 50):
            run.save(step, str(step).encode())
    assert [(each.step, each.file.read_bytes()) for each in run.checkpoints() if not each.fault()] == [
        (step, str(step).encode()) for step in (100, 200, 300, 400, 450)
    ]


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"every": 0}, {"every": -5}])
def test_senseless_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(CheckpointError, match=next(iter(wrong))):
        Checkpoints(tmp_path, **wrong)  # type: ignore[arg-type]
