"""Steps that outlive their tasks, because they want to talk to a node that is gone.

When the node of a job's batch script is lost, the job's other nodes end their tasks at once. But then each slurmstepd
tries five times to tell the srun that lived on the lost node: 21 s where that machine is off or cut, 71 s where it
hangs (seen on 22.05.8; slurmstepd/mgr.c, _send_srun_resp_msg; only MessageTimeout and TCPTimeout, for all messages,
shorten it). Until then the job is COMPLETING, and can't start anew.

So the agent, where it is root, ends such a slurmstepd. It takes no order for that, but looks for itself: the step has
no process left; and it asks Slurm: the job is COMPLETING, and the node of its script has left it already. Nobody is
there to be told.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ALONE = 0.4
"""Seconds without a process after which a step is asked about: it is seen so twice in a row."""
PATIENCE = 3.0
"""Seconds that Slurm may take to answer."""
FIRST_AGAIN = 1.0
LAST_AGAIN = 60.0
"""A question whose answer was no is asked again after a second, and then ever more rarely."""
_STEPD = "slurmstepd"
_SPOOL = re.compile(rb"^SlurmdSpoolDir\s*=\s*(\S+)", re.MULTILINE)


class NoAnswer(Exception):
    """Slurm did not answer, or refused: that says nothing about the step."""


class Question:
    """A question to one of Slurm's commands that nobody waits for: a heartbeat must not be late."""

    def __init__(self, *argv: str) -> None:
        self._until = time.monotonic() + PATIENCE
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def answer(self) -> bytes | None:
        """Return the answer; None while it is not there yet.

        Raises:
            NoAnswer: there will be none.
        """
        if self._process.poll() is None:
            if time.monotonic() < self._until:
                return None
            self._process.kill()
        out, _ = self._process.communicate()
        if self._process.returncode:
            raise NoAnswer
        return out

    def drop(self) -> None:
        """Ask no more."""
        self._process.kill()
        self._process.communicate()


@dataclass(slots=True)
class Step:
    """One step on this node."""

    job_id: str
    path: str
    pid: int
    alone_since: float | None = None
    ask_at: float = 0.0
    again: float = FIRST_AGAIN
    question: Question | None = None
    script_node: str = ""

    def has_company(self) -> None:
        """Forget that it was ever alone."""
        self.alone_since, self.again = None, FIRST_AGAIN
        self.drop_question()

    def drop_question(self) -> None:
        """Ask no more."""
        if self.question is not None:
            self.question.drop()
            self.question = None

    def put_off(self, now: float) -> None:
        """Ask again later, and ever more rarely."""
        self.question = None
        self.ask_at = now + self.again
        self.again = min(self.again * 2, LAST_AGAIN)


class Leftovers:
    """Looks at the steps of one node, and ends those that are left over."""

    def __init__(self, node: str, *, spool: Path | None = None) -> None:
        self._node = node
        self._name = re.compile(rf"{re.escape(node)}_(\d+)\.\d+(\.\d+)?")
        self._spool = spool
        self._spool_question: Question | None = None
        self._steps: dict[str, Step] = {}
        self._retry_at = 0.0

    def look(self) -> list[str]:
        """Look once, quickly; return a line for each step that was ended."""
        now = time.monotonic()
        try:
            if os.geteuid() or not self._find_spool(now):
                return []
            self._know_steps()
            return [line for each in list(self._steps.values()) for line in self._consider(each, now)]
        except OSError:  # a process that ended while we looked, a folder that is not there yet
            return []

    @property
    def is_busy(self) -> bool:
        """True while the next look should come soon: a step is alone, and a gang may wait for it."""
        now = time.monotonic()
        alone = (each for each in self._steps.values() if each.alone_since is not None)
        return any(each.question is not None or now >= each.ask_at for each in alone)

    def close(self) -> None:
        """Ask no more."""
        for each in self._steps.values():
            each.drop_question()

    def _find_spool(self, now: float) -> bool:
        if self._spool:
            return True
        if self._spool_question is None:
            if now >= self._retry_at:
                self._retry_at = now + LAST_AGAIN
                self._spool_question = Question("scontrol", "show", "config")
            return False
        try:
            answer = self._spool_question.answer()
        except NoAnswer:
            self._spool_question = None
            return False
        if answer is None:
            return False
        self._spool_question = None
        if found := _SPOOL.search(answer):
            self._spool = Path(_filled(os.fsdecode(found[1]), self._node))
        return self._spool is not None

    def _know_steps(self) -> None:
        assert self._spool is not None
        found = {each.path: match for each in os.scandir(self._spool) if (match := self._name.fullmatch(each.name))}
        for path in self._steps.keys() - found.keys():
            self._steps.pop(path).drop_question()
        for path in found.keys() - self._steps.keys():
            if pid := listener(path):
                self._steps[path] = Step(found[path][1], path, pid)

    def _consider(self, step: Step, now: float) -> list[str]:
        if has_children(step.pid):
            step.has_company()
            return []
        step.alone_since = step.alone_since or now
        if now - step.alone_since < ALONE or now < step.ask_at:
            return []
        if not self._is_left_over(step, now):
            return []
        end_stepd(step)
        return [f"job {step.job_id}: ended a step that waited for {step.script_node}, which is gone"]

    def _is_left_over(self, step: Step, now: float) -> bool:
        """Ask Slurm, over several looks: is the job COMPLETING, and has the node of its script left it?"""
        if step.question is None:
            step.script_node = ""
            step.question = _squeue(step, "-o", "%T %B")
            return False
        try:
            answer = step.question.answer()
        except NoAnswer:
            step.put_off(now)
            return False
        if answer is None:
            return False
        if step.script_node:
            step.put_off(now)
            return not answer.strip()
        state, _, script_node = answer.decode(errors="replace").strip().partition(" ")
        if state == "COMPLETING" and script_node not in {"", "n/a", "(null)", self._node}:
            step.script_node = script_node
            step.question = _squeue(step, "-w", script_node, "-o", "%T")
        else:
            step.put_off(now)
        return False


def _squeue(step: Step, *words: str) -> Question:
    return Question("squeue", "-h", "-a", "-j", step.job_id, *words)


def listener(path: str) -> int:
    """Return the process that listens on a Unix socket; 0 where nobody does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.2)
        try:
            connection.connect(path)
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return 0
    pid, uid, _ = struct.unpack("3i", raw)
    return pid if uid == 0 and _command(pid) == _STEPD else 0


def has_children(pid: int) -> bool:
    """True while the process has a child, or where that can't be told."""
    lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
    if not lists:
        return True  # the process is gone, or this kernel does not list children
    for each in lists:
        with contextlib.suppress(OSError):
            if each.read_bytes().strip():
                return True
    return False


def end_stepd(step: Step) -> None:
    """Kill the step's slurmstepd, if it is still the one that listens there, and alone."""
    handle = os.pidfd_open(step.pid)
    try:
        if listener(step.path) == step.pid and not has_children(step.pid):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _filled(pattern: str, node: str) -> str:
    """Fill in `%n` and `%h` (man slurm.conf, SlurmdSpoolDir)."""
    return pattern.replace("%n", node).replace("%h", socket.gethostname().partition(".")[0])
