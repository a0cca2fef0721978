"""A slurmstepd that waits for a lost node is ended; any other is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from aistation_slurm.node import leftovers
from aistation_slurm.node.leftovers import Leftovers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may end a slurmstepd")

STEPD = """
import socket, subprocess, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
child = subprocess.Popen(["sleep", "60"]) if "task" in sys.argv else None
try:
    time.sleep(60)
finally:
    child and child.kill()
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A squeue that says what the test wants: state and script node, then whether that node is still there."""

    def says(state="COMPLETING", script_node="n9", *, still_there=False, exit_code=0):
        there = state if still_there else ""
        script = f"""#!/bin/sh
echo "$@" >> {tmp_path}/asked
case "$*" in *-w*) echo '{there}';; *) echo '{state} {script_node}';; esac
exit {exit_code}
"""
        (tmp_path / "squeue").write_text(script)
        (tmp_path / "squeue").chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(leftovers, "ALONE", 0.1)
    says()
    return says


@pytest.fixture
def stepd(tmp_path):
    """Start a process called slurmstepd that listens as the step 7.0 of n1."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "slurmstepd").symlink_to(sys.executable)
    started = []

    def start(*words, name="slurmstepd", socket="n1_7.0"):
        program = tmp_path / name
        if not program.exists():
            program.symlink_to(sys.executable)
        path = tmp_path / "spool" / socket
        started.append(subprocess.Popen([program, "-c", STEPD, path, *words]))
        while not leftovers.Path(path).exists():
            time.sleep(0.01)
        time.sleep(0.1)
        return started[-1]

    yield start
    for each in started:
        each.terminate()
        each.wait()


def watched(tmp_path, seconds=1.2):
    several = Leftovers("n1", spool=tmp_path / "spool")
    lines = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        lines += several.look()
        time.sleep(0.05)
    several.close()
    return lines


def test_a_step_without_tasks_whose_script_s_node_is_gone_is_ended(tmp_path, slurm, stepd):
    process = stepd()
    assert watched(tmp_path) == ["job 7: ended a step that waited for n9, which is gone"]
    assert process.wait(timeout=1) == -9


def test_a_step_that_has_a_task_is_not_even_asked_about(tmp_path, slurm, stepd):
    process = stepd("task")
    assert watched(tmp_path) == []
    assert process.poll() is None
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    "but",
    [
        {"state": "RUNNING"},
        {"script_node": "n1"},
        {"script_node": ""},
        {"still_there": True},
        {"exit_code": 1},
        {"state": ""},
    ],
    ids=str,
)
def test_a_step_is_left_alone(tmp_path, slurm, stepd, but):
    slurm(**but)
    process = stepd()
    assert watched(tmp_path) == []
    assert process.poll() is None


def test_slurm_is_asked_ever_more_rarely(tmp_path, slurm, stepd):
    slurm(state="RUNNING")
    stepd()
    watched(tmp_path, seconds=2.5)
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


def test_another_node_s_step_and_another_program_s_socket_are_none_of_our_business(tmp_path, slurm, stepd):
    stepd(socket="n2_7.0")
    stepd(name="other", socket="n1_8.0")
    assert watched(tmp_path) == []
    assert not (tmp_path / "asked").exists()


def test_without_a_spool_folder_nothing_is_done(tmp_path, slurm):
    assert watched(tmp_path, seconds=0.2) == []


def test_the_spool_folder_is_asked_of_slurm(tmp_path, slurm, stepd):
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho 'SlurmdSpoolDir          = {tmp_path}/%n'\n")
    (tmp_path / "scontrol").chmod(0o755)
    stepd()
    (tmp_path / "n1").symlink_to(tmp_path / "spool")
    several = Leftovers("n1")
    until = time.monotonic() + 3
    while not (lines := several.look()) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(lines) == 1
