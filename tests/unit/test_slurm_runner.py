"""Processes: started by argument list, ended in time, with their children."""

import os
import time
from pathlib import Path

import pytest

from aistation_slurm.errors import InvalidRequest, SlurmMissing, SlurmUnreachable, SlurmUnreadable
from aistation_slurm.slurm.runner import LocalRunner, shown


def a_command(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def is_gone(pid: int) -> bool:
    """True once the process has ended, within two seconds; nobody may have waited for it yet."""
    status = Path(f"/proc/{pid}/status")
    for _ in range(100):
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.02)
    return False


def test_what_a_command_leaves_behind_comes_back_whatever_its_status():
    done = LocalRunner().run(("sh", "-c", "cat; echo out; echo err >&2; exit 3"), stdin="in ")
    assert (done.returncode, done.stdout, done.stderr) == (3, "in out\n", "err\n")


def test_a_command_that_hangs_is_ended_with_its_children_and_named(tmp_path):
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; wait"
    begin = time.monotonic()
    with pytest.raises(SlurmUnreachable, match=r"no answer within 2 s") as caught:
        LocalRunner().run(("sh", "-c", script), timeout=2)
    assert time.monotonic() - begin < 30
    assert "sh -c" in caught.value.where
    for name in ("parent", "child"):
        assert is_gone(int((tmp_path / name).read_text()))


def test_what_a_command_last_complained_about_is_told_when_its_time_is_over():
    script = "echo 'squeue: error: If munged is up, restart with --num-threads=10' >&2; exec sleep 60"
    with pytest.raises(SlurmUnreachable, match=r"no answer within 2 s; it last said: .*munged"):
        LocalRunner().run(("sh", "-c", script), timeout=2)


def test_a_child_that_outlives_its_parent_and_keeps_the_pipe_open_is_ended_too(tmp_path):
    with pytest.raises(SlurmUnreachable):
        LocalRunner().run(("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; exit 0"), timeout=0.5)
    assert is_gone(int((tmp_path / "child").read_text()))


def test_a_child_that_keeps_the_pipe_open_does_not_hold_the_call_for_longer_than_its_time():
    begin = time.monotonic()
    with pytest.raises(SlurmUnreachable):
        LocalRunner().run(("sh", "-c", "setsid sleep 30 & exit 0"), timeout=0.5)
    assert time.monotonic() - begin < 20


def test_a_command_that_is_not_there_is_missing():
    with pytest.raises(SlurmMissing) as caught:
        LocalRunner().run(("no-such-command-here",))
    assert "slurm-client" in caught.value.hint


def test_a_folder_without_the_command_is_missing(tmp_path):
    with pytest.raises(SlurmMissing, match=str(tmp_path)):
        LocalRunner(bin=tmp_path).run(("squeue",))


def test_an_argument_that_no_process_can_take_is_an_invalid_request():
    with pytest.raises(InvalidRequest):
        LocalRunner().run(("echo", "a\0b"))
    with pytest.raises(InvalidRequest):
        LocalRunner().run(("echo", "x" * 10_000_000))


def test_bytes_that_are_no_utf8_do_no_harm():
    assert LocalRunner().run(("printf", r"caf\351")).stdout == "caf�"


def test_a_script_that_is_no_utf8_reaches_the_command_as_it_was():
    script = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert LocalRunner().run(("od", "-An", "-tx1"), stdin=script).stdout.split() == ["63", "61", "66", "e9"]


def test_a_command_that_does_not_read_its_input_is_no_trouble():
    assert LocalRunner().run(("true",), stdin="x" * 1_000_000).returncode == 0


def test_an_argument_is_never_read_by_a_shell():
    assert LocalRunner().run(("echo", "$(id); `id` > /x")).stdout == "$(id); `id` > /x\n"


def test_reading_aids_are_set_and_strays_of_the_user_are_gone(tmp_path):
    a_command(tmp_path, "squeue", "env")
    stray = {
        "SQUEUE_FORMAT": "%i",
        "SLURM_JOB_ID": "7",
        "SACCT_FORMAT": "x",
        "SBATCH_PARTITION": "p",
        "PATH": os.environ["PATH"],
    }
    env = LocalRunner(slurm_conf=Path("/x/slurm.conf"), bin=tmp_path, env=stray).run(("squeue",)).stdout.splitlines()
    assert {"SLURM_TIME_FORMAT=%s", "SLURM_CONF=/x/slurm.conf", "LC_ALL=C.UTF-8"} <= set(env)
    assert not [line for line in env if line.startswith(("SQUEUE_", "SLURM_JOB", "SACCT_", "SBATCH_"))]


def test_a_job_does_not_inherit_our_reading_aids(tmp_path):
    a_command(tmp_path, "sbatch", "env")
    env = LocalRunner(bin=tmp_path, env={"LC_ALL": "de_DE.UTF-8", "PATH": os.environ["PATH"]}).run(("sbatch",)).stdout
    assert "SLURM_TIME_FORMAT" not in env
    assert "LC_ALL=de_DE.UTF-8" in env


def test_a_command_line_is_shown_without_what_nobody_can_read():
    assert shown(("squeue", "-u", "ann bob", "-O", "JobID:\x1fx")) == "squeue -u 'ann bob' -O ..."
    assert shown(("echo", "x" * 1000)) == "echo ..."


# What is read while the command still prints


def test_what_is_fed_is_what_was_printed_and_the_rest_comes_back():
    fed: list[str] = []
    script = "for i in 1 2 3; do seq 1 9000; printf 'caf\\303\\251 \\377|'; done; cat; echo err >&2; exit 3"
    done = LocalRunner().stream(("sh", "-c", script), fed.append)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "err\n")
    assert "".join(fed) == LocalRunner().run(("sh", "-c", script)).stdout
    assert len(fed) > 2


def test_a_letter_that_comes_in_two_pieces_is_one_letter():
    fed: list[str] = []
    LocalRunner().stream(("sh", "-c", "head -c 32767 /dev/zero; printf '\\303\\251'"), fed.append)
    assert "".join(fed) == "\0" * 32767 + "\u00e9"


def test_a_command_that_prints_for_ever_is_ended_in_time(tmp_path):
    begin = time.monotonic()
    with pytest.raises(SlurmUnreachable, match=r"no answer within 0\.5 s"):
        LocalRunner().stream(("sh", "-c", f"echo $$ > {tmp_path}/pid; exec yes"), lambda _: None, timeout=0.5)
    assert time.monotonic() - begin < 5
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_command_that_says_half_and_hangs_is_ended_in_time_with_its_children(tmp_path):
    script = f"echo half; sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(SlurmUnreachable):
        LocalRunner().stream(("sh", "-c", script), lambda _: None, timeout=0.5)
    assert is_gone(int((tmp_path / "child").read_text()))


def test_who_can_t_read_on_ends_the_command(tmp_path):
    def refuse(_: str) -> None:
        raise SlurmUnreadable("no such shape")

    with pytest.raises(SlurmUnreadable):
        LocalRunner().stream(("sh", "-c", f"echo $$ > {tmp_path}/pid; exec yes"), refuse)
    assert is_gone(int((tmp_path / "pid").read_text()))
