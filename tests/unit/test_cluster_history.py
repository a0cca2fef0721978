"""What was applied is on disk whole before anything is changed, and says how far it came."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aistation_slurm.cluster.history import history as module
from aistation_slurm.cluster.history.entry import Entry, State, whoever
from aistation_slurm.cluster.history.history import History, end, last_applied, note_step
from aistation_slurm.cluster.writing.moves import Swap
from aistation_slurm.cluster.writing.replacing import replace_files
from aistation_slurm.errors import NotPermitted, StoreError

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def an_entry(*steps: str, kind: str = "apply") -> Entry:
    return Entry(
        kind=kind,
        when=NOON,
        who="root",
        cluster_file=Path("/etc/aistation/cluster.yaml"),
        checksum="58f9ffe07e29",
        steps=steps or ("+ qos a", "~ file b", "- qos c"),
        lines=("+ qos a",),
    )


def begun(folder: Path, spec: str | None = "cluster: a\n", *files: Swap) -> Entry:
    return History(folder).begin(an_entry(), spec=spec, files=files)


def test_an_entry_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "slurm.conf"
    path.write_bytes(b"Site=\xff\r\n")
    path.chmod(0o640)
    entry = begun(
        tmp_path, "cluster: a\n", Swap(path, b"Site=\xff\r\n", b"new"), Swap(tmp_path / "gres.conf", None, b"g")
    )
    found = History(tmp_path).entry(1)
    assert found == entry
    assert (found.spec_text(), found.state, found.done) == ("cluster: a\n", State.BEGUN, 0)
    site, gres = found.files
    assert (found.before(site), found.after(site)) == (b"Site=\xff\r\n", b"new")
    assert (found.before(gres), found.after(gres)) == (None, b"g")
    assert found.before_path(site).stat().st_mode & 0o777 == 0o640


def test_only_its_owner_may_look_into_the_history(tmp_path):
    entry = begun(tmp_path)
    assert (tmp_path / ".aistation").stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o077 for each in entry.folder.iterdir()} == {0}


def test_it_says_at_which_step_it_was_interrupted(tmp_path):
    entry = begun(tmp_path)
    assert History(tmp_path).interrupted().told() == "apply 1 was interrupted at step 1 of 3: + qos a"
    note_step(entry, "+ qos a")
    assert History(tmp_path).interrupted().told() == "apply 1 was interrupted at step 2 of 3: ~ file b"
    with (entry.folder / "steps").open("a") as file:
        file.write('"~ fi')  # cut off in the middle of its note
    assert History(tmp_path).interrupted().done == 1
    end(entry, State.DONE)
    assert History(tmp_path).interrupted() is None


def test_the_last_applied_is_the_last_that_came_to_its_end(tmp_path):
    assert last_applied(tmp_path) is None
    end(begun(tmp_path, "cluster: a\n"), State.DONE)
    end(begun(tmp_path, "cluster: b\n"), State.UNDONE, "a node fell")
    begun(tmp_path, "cluster: c\n")
    assert last_applied(tmp_path) == "cluster: a\n"
    assert [each.state for each in History(tmp_path).entries()] == ["done", "undone", "begun"]
    assert History(tmp_path).entry(3).spec_before_path.read_text() == "cluster: a\n"
    assert History(tmp_path).entry(1).spec_before_path is None


def test_what_leaves_nothing_of_ours_has_no_cluster_file(tmp_path):
    end(begun(tmp_path, "cluster: a\n"), State.DONE)
    end(begun(tmp_path, None), State.DONE)
    assert last_applied(tmp_path) is None


def test_old_entries_go_but_the_first_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    for _ in range(5):
        end(begun(tmp_path), State.DONE)
    assert [each.number for each in History(tmp_path).entries()] == [1, 4, 5]


def test_one_that_was_killed_while_it_was_written_is_none(tmp_path):
    end(begun(tmp_path), State.DONE)
    half = tmp_path / ".aistation" / "history" / ".new-0002"
    half.mkdir()
    (half / "entry.json").write_text('{"kind"')
    assert [each.number for each in History(tmp_path).entries()] == [1]
    assert begun(tmp_path).number == 2
    assert not half.exists()


def test_one_that_is_spoilt_is_named(tmp_path):
    entry = begun(tmp_path)
    (entry.folder / "entry.json").write_text("{}")
    with pytest.raises(StoreError, match=r"0001/entry\.json: can't be read"):
        History(tmp_path).entries()


def test_a_number_that_is_not_there_is_answered_by_those_that_are(tmp_path):
    with pytest.raises(StoreError, match="there is no apply 7"):
        History(tmp_path).entry(7)
    begun(tmp_path)
    with pytest.raises(StoreError) as refused:
        History(tmp_path).entry(7)
    assert refused.value.hint == "there are: 1 to 1"


def test_it_says_who_called_sudo(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "wang")
    assert whoever() == "root (sudo by wang)"
    monkeypatch.setenv("SUDO_USER", "root\nPartitionName=x")
    assert whoever() == "root"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=256k", "aistation-test", str(folder))
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system needs root, and mounts")
    yield folder
    subprocess.run(("umount", str(folder)), check=True, capture_output=True)


def fill(folder: Path) -> None:
    free = os.statvfs(folder)
    with (folder / "filler").open("wb") as file:
        file.write(b"x" * free.f_bavail * free.f_frsize)


def test_on_a_full_disk_nothing_is_begun(small_disk):
    site = small_disk / "slurm.conf"
    site.write_text("old\n")
    fill(small_disk)
    with pytest.raises(NotPermitted, match="No space left on device"):
        begun(small_disk, "cluster: a\n" * 100, Swap(site, b"old\n", b"new\n" * 5000))
    assert site.read_text() == "old\n"
    assert History(small_disk).entries() == []


def test_on_a_disk_that_fills_up_the_old_files_come_back(small_disk):
    one, two = small_disk / "gres.conf", small_disk / "slurm.conf"
    old = {one: b"one\n" * 4000, two: b"two\n"}
    for path, text in old.items():
        path.write_bytes(text)
    swaps = [Swap(one, old[one], b"1\n"), Swap(two, old[two], b"2\n" * 8000)]
    entry = begun(small_disk, "cluster: a\n", *swaps)

    def filling(moment: str) -> None:
        if moment == "replacing slurm.conf":
            fill(small_disk)

    with pytest.raises(NotPermitted, match=r"slurm\.conf: can't be written"):
        replace_files(swaps, conf_dir=small_disk, witness=filling)
    assert (one.read_bytes(), two.read_bytes()) == (b"1\n", old[two])
    kept = {each.path: entry.before_path(each) for each in entry.files}
    replace_files([each.back() for each in swaps], conf_dir=small_disk, kept=kept)
    assert {path: path.read_bytes() for path in old} == old
    assert not list(small_disk.glob(".*.new"))


def test_in_a_folder_that_is_read_only_nothing_is_begun(small_disk):
    (small_disk / "slurm.conf").write_text("old\n")
    subprocess.run(("mount", "-o", "remount,ro", str(small_disk)), check=True, capture_output=True)
    with pytest.raises(NotPermitted, match="Read-only file system"):
        begun(small_disk)


def test_a_file_keeps_its_owner_its_mode_and_its_link(tmp_path):
    place, link = tmp_path / "real" / "slurm.conf", tmp_path / "slurm.conf"
    place.parent.mkdir()
    place.write_text("old\n")
    place.chmod(0o640)
    if not os.geteuid():
        os.chown(place, 1234, 4321)
    before = place.stat()
    link.symlink_to(place)
    replace_files([Swap(link, b"old\n", b"new\n")], conf_dir=tmp_path)
    after = place.stat()
    assert link.is_symlink()
    assert place.read_text() == "new\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
