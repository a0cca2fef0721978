"""How a run ended, read from its job and the end of its log."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from aistation_slurm.jobs.judge.model import Ending
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

TAIL = 1 << 16
_RUN = re.compile(r"^aistation: run \d+ of job \d+ on ", re.MULTILINE)


def ending_of(job: Job, log: Path | None) -> Ending:
    """Return how the job's last run ended; a log that can't be read says nothing."""
    code, _, signal = job.exit_code.partition(":")
    return Ending(
        state=job.state,
        exit_code=int(code) if code.isdecimal() else 0,
        signal=int(signal) if signal.isdecimal() else 0,
        log_tail=last_run(read_tail(log)) if log else "",
        restart_count=job.restart_count,
        elapsed=job.elapsed,
    )


def read_ending(log: Path, *, state: JobState, exit_code: int, signal: int = 0) -> Ending:
    """Return an ending that no job is known of, as of a log that somebody has kept.

    Raises:
        OSError: the log can't be read.
    """
    log.stat()
    return Ending(state, exit_code, signal, log_tail=last_run(read_tail(log)))


def read_tail(log: Path) -> str:
    """Return the last 64 KiB of a plain file as text; nothing where it can't be read, or is no plain file."""
    try:
        number = os.open(log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
    except OSError:
        return ""
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            return ""
        return os.pread(number, TAIL, max(0, about.st_size - TAIL)).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(number)


def last_run(text: str) -> str:
    """Return what the last run printed: a requeued job goes on in the same log, and earlier runs ended otherwise."""
    starts = [match.start() for match in _RUN.finditer(text)]
    return text[starts[-1] :] if starts else text
