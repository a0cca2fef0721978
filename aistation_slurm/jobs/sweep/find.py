"""Which sweep is meant: its id, the id of one of its arrays, its folder, or the last one of this folder."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import RequestError, SlurmError
from aistation_slurm.jobs.sweep.folder import FILE, Sweep, read_sweep, sweeps_in
from aistation_slurm.jobs.tag import is_submission
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
    known = {path.resolve() for path in sweeps_in(here)}
    jobs = _jobs(slurm, user=user, now=now)
    ids = {job.array_job_id or job.job_id for job in jobs}
    found = []
    for path in known | {path.resolve() for folder in _folders(jobs) for path in _sweeps(folder)}:
        with suppress(RequestError):  # of one that was thrown away, or is another's
            sweep = read_sweep(path)
            if path in known or any(array.job_id in ids for array in sweep.arrays):
                found.append(sweep)
    return sorted(found, key=lambda sweep: max((array.submitted for array in sweep.arrays), default=""), reverse=True)


def _path_in_slurm(text: str, slurm: Slurm, *, user: str, now: datetime) -> Path | None:
    number = text.partition("_")[0]
    if number.isdecimal():
        with suppress(SlurmError):
            return _with_array(text, _sweeps(Path(slurm.read.job(int(number)).work_dir)))
    if not is_submission(text):
        return None
    folders = _folders(_jobs(slurm, user=user, now=now))
    return next((path for folder in folders for path in _sweeps(folder) if path.name == text), None)


def _jobs(slurm: Slurm, *, user: str, now: datetime) -> list[Job]:
    """Return the user's jobs, from slurmctld and, of the last week, from slurmdbd."""
    found = [job for job in slurm.read.jobs(with_over=True) if job.user == user]
    with suppress(SlurmError):  # a site without accounting
        found += slurm.read.history(user=user, since=now - RECENT)
    return found


def _folders(jobs: Iterable[Job]) -> list[Path]:
    return [Path(each) for each in dict.fromkeys(job.work_dir for job in jobs) if each]


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
