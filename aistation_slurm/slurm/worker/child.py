"""One child process: started, asked, ended."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aistation_slurm.errors import SlurmMissing
from aistation_slurm.slurm.worker.frames import packed, receive, send

_SAID = 4000
"""How many bytes of what it printed last go into an error."""


class Child:
    """A worker's process; whoever holds it asks one question at a time."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], python: Sequence[str] = ()) -> None:
        program = python or (sys.executable,)
        self._said = os.memfd_create("worker-stderr", os.MFD_CLOEXEC)
        # A file, not a pipe: nobody need read it. Appended to: it can be emptied while the child goes on printing.
        fcntl.fcntl(self._said, fcntl.F_SETFL, os.O_APPEND)
        try:
            self._process = subprocess.Popen(
                (*program, "-P", "-m", "aistation_slurm.slurm.worker", *argv),
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._said)
            raise SlurmMissing(f"can't be started: {error.strerror}", where=program[0]) from error
        self._pid = os.getpid()
        self._questions, self._answers = self._pipes()
        for fd in (self._questions, self._answers):
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        """The number of the child's process."""
        return self._process.pid

    def ask(self, question: str, arguments: tuple[Any, ...], *, until: float) -> tuple[str, Any]:
        """Return what the child replied.

        Raises:
            Ended: the child ended before it answered.
            TooLate: it did not answer in time.
            Garbage: what it answered can't be read.
        """
        os.ftruncate(self._said, 0)
        seconds = max(until - time.monotonic(), 0.0)
        send(self._questions, packed((question, arguments, seconds)), until=until)
        kind, value = receive(self._answers, until=until)
        return kind, value

    def end(self) -> None:
        """Kill the child, and close what led to it; in another process (after a fork) only the latter."""
        if self._pid == os.getpid():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        else:
            self._process.returncode = 0  # not ours to wait for
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        with suppress(OSError):
            os.close(self._said)
            self._said = -1

    def how_it_ended(self) -> str:
        """Return `exit status 1` or `signal SIGKILL`, of a child that has ended."""
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(5)
            return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return "closed its pipes"

    def said(self) -> str:
        """Return the end of what it printed since the question, as one line."""
        with suppress(OSError):
            size = os.fstat(self._said).st_size
            text = os.pread(self._said, _SAID, max(size - _SAID, 0)).decode(errors="replace")
            return "; ".join(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        return ""

    def _pipes(self) -> tuple[int, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin.fileno(), self._process.stdout.fileno()
