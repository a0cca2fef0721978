"""Was this submission taken before? A retry has the id of the first try, and must not become a second job.

The id stands in the job's Comment (`jobs.tag`), where the queue shows it. slurmctld forgets ended jobs (MinJobAge), and
slurmdbd keeps comments only where the site wants it (AccountingStoreFlags=job_comment), so the job's number is noted in
the user's home too; the same file keeps two tries at once apart.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import RequestError, SlurmError
from aistation_slurm.jobs.tag import read_tag

if TYPE_CHECKING:
    from aistation_slurm.slurm.connect import Slurm
    from aistation_slurm.slurm.model import Job

RECENT = timedelta(days=7)
"""How far accounting is looked back, and how long a note is kept."""
LOCK_SECONDS = 120.0
"""Longer than a try takes that nobody answers."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is noted of a submission; nothing can be where the user's home can't be written to."""

    cluster: str
    """The slurm.conf that it went by: a home may be shared by several clusters."""
    path: Path | None = None

    def job_id(self) -> int | None:
        """Return the job that was made of it on this cluster, as far as is known."""
        try:
            job_id, _, cluster = self.path.read_text(encoding="utf-8").partition(" ") if self.path else ("", "", "")
        except (OSError, UnicodeDecodeError):
            return None
        return int(job_id) if job_id.isdecimal() and cluster.strip() == self.cluster else None

    def write(self, job_id: int) -> None:
        """Note the job; a full disk is no reason to fail."""
        if self.path:
            with suppress(OSError):
                self.path.write_text(f"{job_id} {self.cluster}\n", encoding="utf-8")


@contextmanager
def noted(
    submission: str, environ: Mapping[str, str], *, cluster: str, patience: float = LOCK_SECONDS
) -> Iterator[Note]:
    """Yield the submission's note, held for this one try.

    Raises:
        RequestError: another try of the same id goes on for longer than `patience` seconds.
    """
    path = notes_folder(environ) / submission
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_old(path.parent, now=time.time())
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield Note(cluster)
        return
    try:
        _lock(lock, path, time.monotonic() + patience)
        yield Note(cluster, path)
    finally:
        os.close(lock)


def notes_folder(environ: Mapping[str, str]) -> Path:
    """Return where notes are kept, as the XDG base directories have it."""
    state = environ.get("XDG_STATE_HOME")
    home = Path(environ.get("HOME") or "~").expanduser()
    return (Path(state) if state else home / ".local" / "state") / "aistation" / "submissions"


def job_of_submission(
    slurm: Slurm, submission: str, *, user: str, noted: int | None = None, now: datetime | None = None
) -> int | None:
    """Return the job, or the array, of this user that carries the id: in the queue, else among the recent ones.

    `noted` is the job that a note names. It counts where accounting knows that job, or can't be asked: a note may be
    older than the cluster that stands under this name.

    Raises:
        SlurmError: the queue can't be asked.
    """
    found = first_of(slurm.read.jobs(with_over=True), submission, user=user)
    if found is not None:
        return found
    try:
        past = slurm.read.history(user=user, since=(now or datetime.now(UTC)) - RECENT)
    except SlurmError:
        return noted
    found = first_of(past, submission, user=user)
    is_known = any(noted in {each.job_id, each.array_job_id} for each in past if each.user == user)
    return noted if found is None and is_known else found


def first_of(jobs: Iterable[Job], submission: str, *, user: str) -> int | None:
    """Return the first job that was made of the submission; of an array its own number."""
    for job in jobs:
        tag = read_tag(job.comment)
        if job.user == user and tag is not None and tag.submission == submission:
            return job.array_job_id or job.job_id
    return None


def _lock(lock: int, path: Path, give_up: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise RequestError(
                    "another try of this submission still goes on", where=str(path), hint="wait for it, or end it"
                ) from None
            time.sleep(0.1)
        except OSError:  # a file system without locks
            return
        else:
            return


def _forget_old(folder: Path, *, now: float) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if now - path.stat().st_mtime > RECENT.total_seconds():
                path.unlink()
