"""The node's folder: new files whole or not at all, killed at any step, on any input."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.errors import PlaceError
from aistation_slurm.node.folder import NAMES, Folder

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # threads of other tests, from 3.12 on
ONE, TWO = "1" * 16, "2" * 16
BEFORE = {"slurm.conf": b"ClusterName=c\n", "gres.conf": b"old gres\n", "cgroup.conf": b"going\n"}
WANTED = {
    "gres.conf": b"new gres\n",
    "aistation.conf": b"quite new\n",
    "cgroup.conf": None,
    "slurm.conf": b"ClusterName=c\n",
}
AFTER = {"slurm.conf": b"ClusterName=c\n", "gres.conf": b"new gres\n", "aistation.conf": b"quite new\n"}


@pytest.fixture
def conf(tmp_path):
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, content in BEFORE.items():
        (folder / name).write_bytes(content)
    return folder


def held(folder):
    """Return name -> content of all that Slurm could read there."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def push(folder, push_id=ONE, wanted=WANTED, **more):
    with Folder(folder, **more) as at:
        at.stage(push_id, wanted.items())
        at.switch(push_id)


def test_staged_files_stand_beside_and_change_nothing(conf):
    with Folder(conf) as at:
        at.stage(ONE, WANTED.items())
        assert at.state == "staged"
    assert held(conf) == BEFORE


def test_switched_files_are_in_force_and_the_old_ones_are_kept_beside(conf):
    push(conf)
    assert held(conf) == AFTER
    assert (conf / ".gres.conf.aistation-old").read_bytes() == BEFORE["gres.conf"]


def test_a_push_can_be_taken_back_once_it_is_in_force(conf):
    push(conf)
    with Folder(conf) as at:
        at.back(ONE)
        at.back(ONE)
    assert held(conf) == BEFORE
    assert not [path for path in conf.iterdir() if path.name.startswith(".")]


def test_every_verb_may_come_twice(conf):
    with Folder(conf) as at:
        for _ in range(2):
            at.stage(ONE, WANTED.items())
        for _ in range(2):
            at.switch(ONE)
        at.drop(ONE)
        assert at.state == "switched"
    assert held(conf) == AFTER


def test_what_was_dropped_can_not_be_put_in_force(conf):
    with Folder(conf) as at:
        at.stage(ONE, WANTED.items())
        at.drop(ONE)
        with pytest.raises(PlaceError, match="nothing is staged"):
            at.switch(ONE)
    assert held(conf) == BEFORE


def test_of_two_pushes_the_later_one_counts_and_the_earlier_one_is_told(conf):
    with Folder(conf) as at:
        at.stage(ONE, WANTED.items())
        at.stage(TWO, {"gres.conf": b"of the other\n"}.items())
        at.drop(ONE)
        with pytest.raises(PlaceError, match="another one"):
            at.switch(ONE)
        at.back(ONE)
        at.switch(TWO)
    assert held(conf) == BEFORE | {"gres.conf": b"of the other\n"}


def test_owner_and_mode_of_a_file_stay(conf):
    (conf / "gres.conf").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(conf / "gres.conf", 4242, 4243)
    before = (conf / "gres.conf").stat()
    push(conf)
    after = (conf / "gres.conf").stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert (conf / "aistation.conf").stat().st_mode & 0o777 == 0o644


def test_a_file_that_somebody_changed_meanwhile_is_not_written_over(conf):
    with Folder(conf) as at:
        at.stage(ONE, WANTED.items())
        (conf / "gres.conf").write_bytes(b"by hand\n")
        with pytest.raises(PlaceError, match=r"gres\.conf was changed since"):
            at.switch(ONE)
        at.back(ONE)
        assert at.state == ""
    assert held(conf) == BEFORE | {"gres.conf": b"by hand\n"}


def test_a_file_that_somebody_changed_since_is_not_put_back(conf):
    push(conf)
    (conf / "gres.conf").write_bytes(b"by hand\n")
    with Folder(conf) as at, pytest.raises(PlaceError, match=r"gres\.conf was changed by hand"):
        at.back(ONE)
    assert held(conf) == AFTER | {"gres.conf": b"by hand\n"}


@pytest.mark.parametrize(
    "make", [lambda path, to: path.symlink_to(to), lambda path, _: path.mkdir(), lambda path, _: os.mkfifo(path)]
)
def test_a_link_a_folder_or_a_pipe_in_a_files_place_is_left_alone(conf, tmp_path, make):
    (tmp_path / "shadow").write_bytes(b"secret\n")
    (conf / "gres.conf").unlink()
    make(conf / "gres.conf", tmp_path / "shadow")
    with Folder(conf) as at, pytest.raises(PlaceError, match="no plain file"):
        at.stage(ONE, WANTED.items())
    assert (tmp_path / "shadow").read_bytes() == b"secret\n"
    assert (conf / "gres.conf").lstat()


def test_a_damaged_manifest_is_told_and_nothing_is_done(conf):
    push(conf)
    (conf / ".aistation-push.switched").write_bytes(b'{"id": "x"')
    with Folder(conf) as at, pytest.raises(PlaceError, match="damaged"):
        at.back(ONE)
    assert held(conf) == AFTER


def test_two_at_a_time_is_one_too_many(conf, monkeypatch):
    monkeypatch.setattr("aistation_slurm.node.handle.PATIENCE", 0.1)
    with Folder(conf), pytest.raises(PlaceError, match="another push"), Folder(conf):
        pass


def killed_at(step, act):
    """Run the act in a process that is killed, for real, before its nth step; False once there is no such step."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def count(_):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            act(count)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def rebuilt(folder):
    for path in folder.iterdir():
        path.unlink()
    for name, content in BEFORE.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("then", ["the next push", "taken back"])
def test_killed_at_any_step_it_is_mended_by_what_comes_next(conf, then):
    step = 0
    while killed_at(step, lambda count: push(conf, step=count)):
        mixed = held(conf)
        assert all(mixed.get(name) in {BEFORE.get(name), AFTER.get(name)} for name in {*mixed, *BEFORE, *AFTER}), step
        with Folder(conf) as at:
            if then == "taken back":
                at.back(ONE)
        if then == "taken back":
            assert held(conf) == BEFORE, step
        push(conf, TWO, {"gres.conf": b"third\n"})
        assert held(conf) == BEFORE | {"gres.conf": b"third\n"}, step
        rebuilt(conf)
        step += 1
    assert step >= 15
    assert held(conf) == AFTER


def test_killed_at_any_step_of_taking_it_back_the_old_files_come_back_all_the_same(conf):
    def back(count):
        with Folder(conf, step=count) as at:
            at.back(ONE)

    push(conf)
    step = 0
    while killed_at(step, back):
        with Folder(conf) as at:
            at.back(ONE)
        assert held(conf) == BEFORE, step
        rebuilt(conf)
        push(conf)
        step += 1
    assert step >= 5
    assert held(conf) == BEFORE


@settings(max_examples=150, deadline=None)
@given(
    name=st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            [
                *NAMES,
                "../outside",
                "/etc/passwd",
                "..",
                ".",
                "",
                "a/b",
                "slurm.conf\x00",
                "gres.conf/",
                ".gres.conf.aistation-new",
            ]
        ),
    ),
    content=st.one_of(st.none(), st.binary(max_size=50)),
)
def test_no_name_makes_it_touch_anything_but_the_files_that_may_be_pushed(tmp_path_factory, name, content):
    outside = tmp_path_factory.mktemp("node")
    folder = outside / "slurm"
    folder.mkdir()
    (outside / "outside").write_bytes(b"mine\n")
    try:
        push(folder, ONE, {name: content})
    except PlaceError:
        assert name not in NAMES
    assert {path.name for path in outside.iterdir()} == {"slurm", "outside"}
    assert (outside / "outside").read_bytes() == b"mine\n"
    assert set(held(folder)) <= NAMES


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_a_full_disk_changes_nothing(conf, tmp_path):
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False, timeout=20)
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        (small / "gres.conf").write_bytes(b"old\n")
        with Folder(small) as at:
            with pytest.raises(PlaceError, match="No space left"):
                at.stage(ONE, {"aistation.conf": b"a\n", "gres.conf": b"x" * 100_000}.items())
            assert at.state == ""
        assert held(small) == {"gres.conf": b"old\n"}
        push(small, TWO, {"gres.conf": b"new\n"})
        assert held(small) == {"gres.conf": b"new\n"}
    finally:
        subprocess.run(["umount", str(small)], check=True, timeout=20)


def test_who_does_not_own_the_files_is_told_and_changes_nothing(conf):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    os.chown(conf, 4242, 4242)
    pid = os.fork()
    if pid == 0:
        os.chdir(conf)  # what lies above it is not theirs to walk
        os.setresgid(4242, 4242, 4242)
        os.setresuid(4242, 4242, 4242)
        try:
            push(Path())
        except PlaceError as error:
            os._exit(7 if "Operation not permitted" in str(error) else 8)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert held(conf) == BEFORE


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(PlaceError, match="No such file"), Folder(Path(tmp_path / "none")):
        pass
