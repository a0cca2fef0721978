"""Which sweep is meant: its id, the id of one of its arrays, its folder, or the last one of this folder."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import RequestError, SlurmError
from aistation_slurm.jobs.sweep.folder import FILE, Sweep, folder_of, read_sweep, sweeps_in
from aistation_slurm.jobs.tag import is_submission, read_tag
from aistation_slurm.slurm.model import Job

if TYPE_CHECKING:
    from aistation_slurm.slurm.connect import Slurm

RECENT = timedelta(days=7)


def find(text: str | None, slurm: Slurm, *, here: Path, user: str, now: datetime) -> Sweep:
    """Return the sweep of this name; without one, the last that was submitted in this folder.

    Raises:
        RequestError: there is none, or its folder can't be read.
    """
    found = find_path_of(text, slurm, here=here, user=user, now=now)
    if found is None:
        raise RequestError(
            f"no sweep called {text!r}" if text else "no sweep was submitted in this folder",
            where=str(here) if not text else "",
            hint="`aistation job sweep list` names those of the last week; a sweep's folder names it, too",
        )
    return read_sweep(found)


def find_path_of(text: str | None, slurm: Slurm, *, here: Path, user: str, now: datetime) -> Path | None:
    """Return the sweep's folder; None where there is no such sweep, as of the id of another job."""
    return find_path(text, here) or (_path_in_slurm(text, slurm, user=user, now=now) if text else None)


def find_path(text: str | None, here: Path) -> Path | None:
    """Return the sweep's folder as far as it can be told without Slurm: a path, or one submitted in this folder."""
    if text and (here / text / FILE).is_file():
        return here / text
    paths = sweeps_in(here)
    if not text:
        return max(paths, key=lambda path: (path / "params.jsonl").stat().st_mtime, default=None)
    return next((path for path in paths if path.name == text), None) or _with_array(text, paths)


def recent(slurm: Slurm, *, here: Path, user: str, now: datetime) -> list[Sweep]:
    """Return the user's sweeps that Slurm has heard of within the last week, and those of this folder; newest first."""
    paths = {path.resolve() for path in sweeps_in(here)}
    for job in _jobs(slurm, user=user, now=now):
        if path := path_of(job):
            paths.add(path.resolve())
    found = []
    for path in paths:
        with suppress(RequestError):  # of one that was thrown away, or is another's
            found.append(read_sweep(path))
    return sorted(found, key=lambda sweep: max((array.submitted for array in sweep.arrays), default=""), reverse=True)


def path_of(job: Job) -> Path | None:
    """Return the folder of the sweep that the job is a member of; None of any other job."""
    tag = read_tag(job.comment)
    if job.array_job_id is None or not job.work_dir:
        return None
    work_dir = Path(job.work_dir)
    path = folder_of(work_dir, job.name, tag.submission.partition(".")[0]) if tag else None
    return path if path and (path / FILE).is_file() else _with_array(str(job.array_job_id), _sweeps(work_dir))


def _path_in_slurm(text: str, slurm: Slurm, *, user: str, now: datetime) -> Path | None:
    number = text.partition("_")[0]
    if number.isdecimal():
        with suppress(SlurmError):
            return path_of(slurm.read.job(int(number)))
    if not is_submission(text):
        return None
    tagged = (job for job in _jobs(slurm, user=user, now=now) if _submission(job) == text)
    return next(filter(None, map(path_of, tagged)), None)


def _jobs(slurm: Slurm, *, user: str, now: datetime) -> Iterable[Job]:
    """Yield one job of each array of the user's, from slurmctld and then from slurmdbd."""
    seen: set[int | None] = {None}
    for job in slurm.read.jobs(with_over=True):
        if job.user == user and job.array_job_id not in seen:
            seen.add(job.array_job_id)
            yield job
    with suppress(SlurmError):  # a site without accounting
        for job in slurm.read.history(user=user, since=now - RECENT):
            if job.array_job_id not in seen:
                seen.add(job.array_job_id)
                yield job


def _submission(job: Job) -> str:
    tag = read_tag(job.comment)
    return tag.submission.partition(".")[0] if tag else ""


def _with_array(text: str, paths: Iterable[Path]) -> Path | None:
    number = text.partition("_")[0]
    if not number.isdecimal():
        return None
    for path in reversed(list(paths)):
        with suppress(RequestError):
            if any(array.job_id == int(number) for array in read_sweep(path).arrays):
                return path
    return None


def _sweeps(work_dir: Path) -> list[Path]:
    try:
        return sweeps_in(work_dir)
    except OSError:
        return []
