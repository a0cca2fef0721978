"""`sbatch`: how a script is handed in, and how its answer is read; imports nothing that a submission doesn't need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Completed, Runner, shown

SECONDS = 60.0
_JOB_ID = re.compile(r"^(?P<job_id>\d+)(?:;\S+)?$", re.MULTILINE)
_SPEAKER = re.compile(r"^(?:sbatch: )?(?:error: |fatal: )?(?:Batch job submission failed: |allocation failure: )?")
_START = re.compile(
    r"Job (?P<job_id>\d+) to start at (?P<start>\S+) using (?P<cpus>\d+) processors on (?:nodes )?(?P<nodes>\S+)"
    r" in partition (?P<partition>\S+)"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is handed in: the text of a script, or a file of the user's with its arguments; and options before it."""

    text: str = ""
    file: Path | None = None
    args: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    cwd: Path | None = None
    """Where the job starts; without it, where sbatch or the script says."""

    def argv(self, *more: str) -> tuple[str, ...]:
        """Return the command line; a text comes on stdin."""
        where = ("--chdir", str(self.cwd)) if self.cwd else ()
        script = (str(self.file), *self.args) if self.file else ()
        return ("sbatch", *more, *where, *self.options, *script)


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that slurmctld has taken, and what it had to say about it, such as what its rules adjusted."""

    job_id: int
    said: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class WouldStart:
    """When and where a job would start if it were submitted now."""

    start: str
    """Local time, as Slurm prints it: `2026-11-26T12:00:00`."""
    nodes: str
    partition: str
    said: Sequence[str] = ()

    def __str__(self) -> str:
        return f"would start at {self.start.replace('T', ' ')} on {self.nodes} ({self.partition})"


def sbatch(runner: Runner, batch: Batch, *, timeout: float = SECONDS) -> Taken:
    """Return the job that was made of the script.

    After `SlurmUnreachable` the job may be there all the same: look for it before it is submitted again.

    Raises:
        SlurmRefused: Slurm did not take it.
        SlurmUnreachable: nobody answered in time.
        SlurmMissing: there is no sbatch.
        SlurmUnreadable: it names no job.
    """
    argv = batch.argv("--parsable")
    done = _asked(runner, argv, batch, timeout)
    match = _JOB_ID.search(done.stdout)
    if not match:
        raise SlurmUnreadable("no job id in the answer", where=shown(argv))
    return Taken(int(match["job_id"]), _said(done))


def sbatch_test(runner: Runner, batch: Batch, *, timeout: float = SECONDS) -> WouldStart:
    """Return when and where the job would start; nothing is submitted, but every plugin is asked.

    Raises:
        SlurmError: as `sbatch` does.
    """
    argv = batch.argv("--test-only")
    lines = _said(_asked(runner, argv, batch, timeout))
    for line in lines:
        if found := _START.search(line):
            rest = [each for each in lines if each != line]
            return WouldStart(found["start"], found["nodes"], found["partition"], rest)
    raise SlurmUnreadable("it does not say when the job would start", where=shown(argv))


def _asked(runner: Runner, argv: tuple[str, ...], batch: Batch, timeout: float) -> Completed:
    done = runner.run(argv, stdin=batch.text, timeout=timeout)
    if done.returncode:
        raise refusal(argv, done)
    return done


def _said(done: Completed) -> list[str]:
    lines = (_SPEAKER.sub("", line.strip()).strip() for line in done.stderr.splitlines())
    return list(dict.fromkeys(line for line in lines if line))
