"""The one place where a process is started to ask Slurm: by its argument list, with a time limit, never by a shell."""

from __future__ import annotations

import codecs
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast, runtime_checkable

from aistation_slurm.errors import InvalidRequest, SlurmMissing, SlurmUnreachable

_STRAY = ("SLURM_", "SBATCH_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SALLOC_", "SRUN_", "SCONTROL_", "SACCTMGR_")
_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER"})
PIECE = 32 * 1024
"""Bytes that are handed on in one go."""
_PASSES_ON = frozenset({"sbatch", "salloc", "srun"})
"""Commands that hand their environment to the job, where our reading aids have no business."""
_READING = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0", "LC_ALL": "C.UTF-8"}
"""Dates as seconds since 1970; the members of an array whole, which are cut after 64 characters else; UTF-8."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """Runs a command line somewhere, and waits for it."""

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        """Return what the command left behind, whatever its exit status.

        Raises:
            SlurmMissing: there is no such command.
            SlurmUnreachable: it did not end within `timeout` seconds, and was killed.
        """
        ...


@runtime_checkable
class Streaming(Protocol):
    """A runner that can also hand on what a command prints while it still prints."""

    def stream(self, argv: tuple[str, ...], feed: Callable[[str], object], *, timeout: float = 30) -> Completed:
        """Return what the command left behind, but for its stdout, which was fed piece by piece, as it came.

        What `feed` raises ends the command.

        Raises:
            SlurmMissing: there is no such command.
            SlurmUnreachable: it did not end within `timeout` seconds, and was killed.
        """
        ...


class LocalRunner:
    """Runs on this machine."""

    def __init__(
        self,
        *,
        slurm_conf: Path | None = None,
        bin: Path | None = None,  # noqa: A002  (the settings' own word)
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._bin = bin
        kept = _without_strays(os.environ if env is None else env)
        self._for_jobs = {**kept, "SLURM_CONF": str(slurm_conf)} if slurm_conf else kept
        self._for_reading = {**self._for_jobs, **_READING}

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        """Return what the command left behind; its whole process group is killed when the time is over."""
        process = self._start(argv)
        with _within(timeout, process, argv):
            out, err = process.communicate(stdin.encode("utf-8", "surrogateescape"), timeout)
        return Completed(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def stream(self, argv: tuple[str, ...], feed: Callable[[str], object], *, timeout: float = 30) -> Completed:
        """Return what the command left behind, but for its stdout, which was fed piece by piece, as it came."""
        process = self._start(argv)
        with _within(timeout, process, argv):
            err = _pump(process, feed, timeout)
        return Completed(process.returncode, "", err.decode(errors="replace"))

    def _start(self, argv: tuple[str, ...]) -> subprocess.Popen[bytes]:
        program = str(self._bin / argv[0]) if self._bin else argv[0]
        try:
            return subprocess.Popen(
                (program, *argv[1:]),
                env=self._for_jobs if argv[0] in _PASSES_ON else self._for_reading,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            raise SlurmMissing(
                f"can't be started: {error.strerror}",
                where=program,
                hint="install Slurm's commands (Debian: slurm-client), or say where they are in [slurm] bin",
            ) from error
        except (ValueError, OSError) as error:  # a NUL byte in an argument; a list of arguments that is too long
            raise InvalidRequest(f"can't be asked: {error}", where=shown(argv)) from error


def shown(argv: tuple[str, ...]) -> str:
    """Return the command line as a person can read it: a list of fields, or what can't be printed, is `...`."""
    return " ".join(shlex.quote(word) if word.isprintable() and len(word) <= 60 else "..." for word in argv)


def _last_words(error: subprocess.TimeoutExpired) -> str:
    """Return what the command last complained about, such as a munged that is away."""
    said: bytes = error.stderr if isinstance(error.stderr, bytes) else b""
    lines = said.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"; it last said: {last}" if last else ""


def _without_strays(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key in _KEPT or not key.startswith(_STRAY)}


@contextmanager
def _within(timeout: float, process: subprocess.Popen[bytes], argv: tuple[str, ...]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:  # Ctrl-C too must leave nothing behind
        _kill(process)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise SlurmUnreachable(
            f"no answer within {timeout:g} s{_last_words(error)}",
            where=shown(argv),
            hint="is slurmctld alive? `scontrol ping` says so; see its log",
        ) from error


def _pump(process: subprocess.Popen[bytes], feed: Callable[[str], object], timeout: float) -> bytes:
    """Feed what the process prints, in pieces that are worth the work, until it has ended; return its complaints."""
    give_up = time.monotonic() + timeout
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held, err = bytearray(), bytearray()
    cast("IO[bytes]", process.stdin).close()
    with selectors.DefaultSelector() as both:
        both.register(cast("IO[bytes]", process.stdout), selectors.EVENT_READ, held)
        both.register(cast("IO[bytes]", process.stderr), selectors.EVENT_READ, err)
        while both.get_map():
            ready = both.select(max(0.0, give_up - time.monotonic()))
            if time.monotonic() >= give_up:
                raise subprocess.TimeoutExpired(process.args, timeout, stderr=bytes(err))
            for key, _ in ready:
                more = os.read(key.fd, PIECE)
                key.data.extend(more)
                if not more:
                    both.unregister(key.fileobj)
            if len(held) >= PIECE:
                feed(decoder.decode(held))
                held.clear()
    process.wait(max(0.0, give_up - time.monotonic()))
    _close_pipes(process)
    feed(decoder.decode(held, final=True))
    return bytes(err)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Leave neither the process nor any of its group behind, nor a pipe open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
