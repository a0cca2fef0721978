"""A checkpoint out of many ranks' parts: whole or not at all, whatever becomes of a rank."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aistation_slurm import checkpoint as module
from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, InFolder, ReplacedError, Run

RANKS = 4
LONG = 60.0


def a_run(restart: int = 0, *, rank: int = 0, attempt: int = 0) -> Run:
    return Run(f"7.{restart}-a", "7", restart, rank, attempt)


def all_ranks(folder: Path, *, restart: int = 0) -> list[Checkpoints]:
    ranks = [Checkpoints(folder, keep=2, run=a_run(restart, rank=rank)) for rank in range(RANKS)]
    ranks[0].claim()
    return ranks


def part(rank: int, step: int) -> bytes:
    return f"{rank} of {step}".encode() * 1000


def save(
    ranks: list[Checkpoints], step: int, *, of: Callable[[int], module.Content] | None = None, within: float = LONG
) -> list[Checkpoint | BaseException]:
    """Save on all ranks at once; return what came of it on each."""
    content = of or (lambda rank: part(rank, step))
    with ThreadPoolExecutor(RANKS) as pool:
        work = [pool.submit(each.save_part, step, content(each.run.rank), ranks=RANKS, within=within) for each in ranks]
    return [each.exception() or each.result() for each in work]


def test_the_parts_of_all_ranks_make_one_whole_checkpoint(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    assert save(ranks, 10) == [ranks[0].at(10)] * RANKS
    start = Checkpoints(tmp_path, run=a_run(1)).claim()
    assert start is not None
    assert not start.fault()
    assert start.manifest().parts == RANKS
    assert [start.part(rank).read_bytes() for rank in range(RANKS)] == [part(rank, 10) for rank in range(RANKS)]


def test_nothing_but_the_checkpoints_stays_behind(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    for step in (10, 20, 30):
        save(ranks, step)
    assert sorted(os.listdir(ranks[0]._mine)) == ["step-000000000020", "step-000000000030"]
    assert sorted(os.listdir(ranks[0].at(30).folder)) == ["manifest.json", *(f"state-{n:05}" for n in range(RANKS))]


def test_a_rank_may_save_several_files_and_folders_of_them(tmp_path: Path) -> None:
    def fill(folder: Path) -> list[str]:
        (folder / "deep").mkdir(exist_ok=True)
        (folder / "deep" / "three").write_bytes(b"3")
        return ["deep/three"]

    parts: list[module.Content] = [b"0", {"one": b"1", "more/one": b"11"}, lambda f: f.write(b"2"), InFolder(fill)]
    ranks = all_ranks(tmp_path)
    save(ranks, 10, of=parts.__getitem__)
    start = Checkpoints(tmp_path, run=a_run(1)).claim()
    assert start is not None
    files = {name: (start.folder / name).read_bytes() for name in start.files()}
    assert files == {"state-00000": b"0", "one": b"1", "more/one": b"11", "state-00002": b"2", "deep/three": b"3"}


@pytest.mark.parametrize("name", ["../out", "/etc/out", "manifest.json", "a/../../out", ".", ""])
def test_a_file_stays_inside_its_checkpoint(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="can't be the name of a file"):
        Checkpoints(tmp_path, run=a_run()).save(1, {name: b"x"})
    assert Checkpoints(tmp_path, run=a_run()).latest() is None


def test_two_ranks_that_save_the_same_name_are_told(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    first, *others = save(ranks, 10, of=lambda rank: {"same": b"x"})
    assert isinstance(first, CheckpointError)
    assert "two ranks saved a file called same" in str(first)
    assert all(isinstance(each, Checkpoint) or "rank 0 has given it up" in str(each) for each in others)
    assert ranks[0].latest() is None


def test_a_rank_that_does_not_come_is_named_and_the_last_checkpoint_stands(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    save(ranks, 10)
    outcome = save([ranks[0], ranks[2]], 20, within=0.05)
    assert "no part came of rank 1, 3" in str(outcome[0])
    assert ranks[0].latest() == ranks[0].at(10)
    assert os.listdir(ranks[0]._mine) == ["step-000000000010"]


def test_a_rank_that_fails_says_why_on_rank_zero_at_once(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)

    def content(rank: int) -> module.Content:
        def fails(file: object) -> None:
            raise ValueError("the model is too big for its head")

        return fails if rank == 3 else part(rank, 10)

    began = time.monotonic()
    outcome = save(ranks, 10, of=content, within=LONG)
    assert time.monotonic() - began < LONG
    assert "rank 3: the model is too big for its head" in str(outcome[0])
    assert isinstance(outcome[3], ValueError)
    assert ranks[0].latest() is None


def test_after_a_failed_try_the_same_step_can_be_saved(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    save(ranks, 10, of=lambda rank: {"same": b"x"})
    assert save(ranks, 10) == [ranks[0].at(10)] * RANKS
    assert not ranks[0].at(10).fault()


def test_parts_from_before_a_restart_inside_the_job_are_not_mixed_in(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    for each in ranks[1:]:
        each.save_part(10, b"from before", ranks=RANKS)  # and then torchrun starts all ranks again
    again = [Checkpoints(tmp_path, run=a_run(rank=rank, attempt=1)) for rank in range(RANKS)]
    again[0].claim()
    ranks[2].raise_if_replaced()
    (again[0]._mine / ".new-10-0.1").mkdir(exist_ok=True)
    ranks[2]._write_part(again[0]._mine / ".new-10-0.1", b"from a rank that lived on")
    save(again, 10)
    assert [again[0].at(10).part(rank).read_bytes() for rank in range(RANKS)] == [
        part(rank, 10) for rank in range(RANKS)
    ]


def test_the_ranks_of_a_replaced_run_are_refused(tmp_path: Path) -> None:
    old = all_ranks(tmp_path)
    save(old, 10)
    new = all_ranks(tmp_path, restart=1)
    assert all(isinstance(each, ReplacedError) for each in save(old, 20))
    assert new[0].latest() == new[0].at(10)


def test_a_rank_whose_run_has_no_folder_is_told_what_to_look_at(tmp_path: Path) -> None:
    all_ranks(tmp_path)
    stranger = Checkpoints(tmp_path, run=Run("another", rank=1))
    with pytest.raises(CheckpointError, match="rank 0 has not claimed the folder for run another"):
        stranger.save_part(10, b"x", ranks=RANKS)


def test_the_other_ranks_go_on_from_where_rank_zero_does_without_a_word_between_them(tmp_path: Path) -> None:
    ranks = [Checkpoints(tmp_path, run=a_run(rank=rank)) for rank in range(RANKS)]
    with ThreadPoolExecutor(RANKS) as pool:
        for restart, expected in ((0, None), (1, 20), (2, 10)):
            ranks = [Checkpoints(tmp_path, run=a_run(restart, rank=rank)) for rank in range(RANKS)]
            waiting = [pool.submit(each.follow, within=LONG) for each in ranks[1:]]
            start = ranks[0].claim()
            assert [each.result() for each in waiting] == [start] * (RANKS - 1)
            assert (start.step if start else None) == expected
            if restart == 0:
                save(ranks, 10)
                ranks[0].save(20, b"twenty")
            else:
                os.truncate(ranks[0].at(20).file, 1)


def test_a_restart_inside_the_job_does_not_follow_the_start_before_it(tmp_path: Path) -> None:
    all_ranks(tmp_path)[0].save(10, b"ten")
    late = Checkpoints(tmp_path, run=a_run(rank=1, attempt=1))
    with pytest.raises(CheckpointError, match=r"rank 0 has not claimed the folder for run 7\.0-a"):
        late.follow(within=0.05)
    again = Checkpoints(tmp_path, run=a_run(attempt=1))
    assert again.claim() == late.follow(within=LONG) == again.at(10)


def test_a_barrier_of_the_caller_s_is_reached_by_every_rank_even_by_one_that_fails(tmp_path: Path) -> None:
    ranks, barrier = all_ranks(tmp_path), threading.Barrier(RANKS)

    def save_on(each: Checkpoints, step: int, content: bytes | Callable[[object], object]) -> Checkpoint:
        return each.save_part(step, content, ranks=RANKS, barrier=lambda: barrier.wait(LONG))

    def fails(file: object) -> None:
        raise ValueError("no")

    with ThreadPoolExecutor(RANKS) as pool:
        for content in (b"good", fails, b"good"):
            work = [pool.submit(save_on, each, 10, content if each.run.rank == 1 else b"x") for each in ranks]
            assert all(each.exception() is None or content is fails for each in work)
    assert not ranks[0].at(10).fault()


def test_a_newer_run_stops_rank_zero_while_it_waits_for_the_others(tmp_path: Path) -> None:
    old = all_ranks(tmp_path)
    outcome: list[BaseException] = []

    def wait_for_ever() -> None:
        try:
            old[0].save_part(10, b"x", ranks=RANKS, within=LONG)
        except ReplacedError as error:
            outcome.append(error)

    waits = threading.Thread(target=wait_for_ever)
    waits.start()
    Checkpoints(tmp_path, run=a_run(1)).claim()
    waits.join(LONG)
    assert len(outcome) == 1


def test_a_rank_killed_anywhere_in_its_part_leaves_the_last_checkpoint_or_a_whole_new_one(tmp_path: Path) -> None:
    """SIGKILL at each file operation of a rank; rank 0 waits in vain, and gives the step up."""
    point, done = 0, False
    while not done:
        point += 1
        ranks = all_ranks(tmp_path / str(point))
        save(ranks, 10)
        if (child := os.fork()) == 0:
            die_at(point)
            ranks[1].save_part(20, part(1, 20), ranks=RANKS)
            os._exit(0)
        done = os.waitpid(child, 0)[1] == 0
        save([ranks[0], *ranks[2:]], 20, within=0.02)
        start = Checkpoints(tmp_path / str(point), run=a_run(1)).claim()
        assert start is not None
        assert start.step == 20 if done else start.step in {10, 20}
        assert [start.part(rank).read_bytes() for rank in range(RANKS)] == [
            part(rank, start.step) for rank in range(RANKS)
        ]
    assert point > 8


def test_ranks_that_see_stale_listings_find_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS: a client shows the listing that it has, until it changes the folder itself."""
    listings: dict[tuple[int, str], list[str]] = {}
    listdir, touch = os.listdir, Path.touch

    def stale(path: str | os.PathLike[str]) -> list[str]:
        return list(listings.setdefault((threading.get_ident(), os.fspath(path)), listdir(path)))

    def fresh_after(self: Path, *args: object, **named: object) -> None:
        touch(self, *args, **named)  # type: ignore[arg-type]
        listings.pop((threading.get_ident(), os.fspath(self.parent)), None)

    monkeypatch.setattr(os, "listdir", stale)
    monkeypatch.setattr(Path, "touch", fresh_after)
    ranks = all_ranks(tmp_path)
    assert module._names(ranks[0]._claims_folder) == module._names(ranks[0]._claims_folder)
    for step in (10, 20, 30):
        assert save(ranks, step) == [ranks[0].at(step)] * RANKS
    successor = Checkpoints(tmp_path, run=a_run(1))
    assert successor.claim() == successor.at(30)
    assert isinstance(save(ranks, 40)[0], ReplacedError)


def test_a_part_whose_bytes_change_spoils_the_whole(tmp_path: Path) -> None:
    ranks = all_ranks(tmp_path)
    save(ranks, 10)
    save(ranks, 20)
    path = ranks[0].at(20).part(3)
    content = bytearray(path.read_bytes())
    content[random.Random(1).randrange(len(content))] ^= 1
    path.write_bytes(content)
    assert ranks[0].latest() == ranks[0].at(10)
    assert ranks[0].at(20).fault_at_a_glance() == ""
    manifest = json.loads((ranks[0].at(10).folder / module.MANIFEST).read_text())
    assert manifest["parts"] == RANKS


def die_at(number: int) -> None:
    """Kill this process as it is about to touch the file system for the n-th time."""
    seen = 0

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal seen
        if event in {"open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    import sys

    sys.addaudithook(count)
