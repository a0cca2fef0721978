"""All that is known of one job: for `show` while it lives, for `results` once it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from aistation_slurm.errors import SlurmError
from aistation_slurm.jobs.efficiency import Efficiency, advice, efficiency_of
from aistation_slurm.jobs.jobstats import efficiency_told, read_summary
from aistation_slurm.jobs.judge import Rule, Verdict, ending_of, judge
from aistation_slurm.jobs.listing import Training, training_of
from aistation_slurm.jobs.metrics import best, read_metrics
from aistation_slurm.jobs.pace import Pace, pace_of
from aistation_slurm.jobs.run_folder import RunFolder, folder_name
from aistation_slurm.jobs.run_log import read_run_log
from aistation_slurm.jobs.runs import Run, runs_of, steps_lost
from aistation_slurm.jobs.saved import Saved, saved_in
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One job, and all that is known of it."""

    training: Training
    request: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, by the job.json in its folder; empty where there is none."""
    runs: Sequence[Run] = ()
    pace: Pace | None = None
    best: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Metric -> (its best value, at which step)."""
    saved: Sequence[Saved] = ()
    steps_lost: int = 0
    """Done again after restarts."""
    verdict: Verdict | None = None
    """Whose fault its end was; None while it lives, and where it ended well."""
    used: Efficiency | None = None
    advice: str = ""
    measured_by: str = ""

    @property
    def job(self) -> Job:
        """The job."""
        return self.training.job

    @property
    def restarts(self) -> int:
        """How often it was started again; slurmdbd does not tell before 23.11, its runs do."""
        return max(self.job.restart_count, len(self.runs) - 1, 0)


def about(slurm: Slurm, job: Job, *, table: Sequence[Rule]) -> About:
    """Return what is known of the job; what slurmdbd or this user's rights keep back is left out.

    Raises:
        SlurmUnreachable: slurmctld and slurmdbd are both away.
    """
    training = training_of(job)
    folder, log = training.folder, training.log
    rows = _rows(slurm, job)
    reports = read_metrics(job, folder, log)
    runs = runs_of(job, rows, read_run_log(log) if log else [], reports)
    used, measured_by = _used(slurm, job, rows) if job.state.is_over and job.nodes else (None, "")
    return About(
        training=training,
        request=request_of(job, folder),
        runs=runs,
        pace=pace_of(reports) if job.state.is_running else None,
        best=best(reports),
        saved=saved_in(folder.checkpoints) if folder else (),
        steps_lost=steps_lost(runs),
        verdict=_verdict(job, log, table),
        used=used,
        advice=advice(used, job.state) if used else "",
        measured_by=measured_by,
    )


def request_of(job: Job, folder: RunFolder | None) -> dict[str, Any]:
    """Return what `aistation job submit` wrote of the request; of an array's member, its array's."""
    if folder is None:
        return {}
    places = [folder.request]
    if job.array_job_id is not None:
        places.append(RunFolder(folder.path.with_name(folder_name(job.name, job.array_job_id))).request)
    for place in places:
        if isinstance(told := _json(place), dict):
            return told
    return {}


def last_and_best(found: About) -> list[tuple[str, float, tuple[float, int] | None]]:
    """Return each metric with its last value, and its best where that has a sense; losses first."""
    told: Progress | None = found.training.progress
    names = sorted(told.metrics, key=lambda name: (name not in found.best, "loss" not in name, name)) if told else []
    return [(name, told.metrics[name], found.best.get(name)) for name in names] if told else []


def _rows(slurm: Slurm, job: Job) -> list[Job]:
    """Return a row for each run of the job; none where slurmdbd can't be asked."""
    try:
        found = slurm.read.history(job_ids=(job.array_job_id or job.job_id,), duplicates=True)
    except SlurmError:
        return []
    rows = [each for each in found if each.job_id == job.job_id]
    return sorted(rows, key=lambda row: (row.submit_time is not None, row.submit_time))


def _used(slurm: Slurm, job: Job, rows: Sequence[Job]) -> tuple[Efficiency | None, str]:
    """Return what the job used: as jobstats has it, which knows GPUs, else by Slurm's accounting."""
    noted = job.admin_comment or (rows[-1].admin_comment if rows else "")
    if summary := read_summary(noted):
        return efficiency_told(summary, job), "jobstats' summary"
    try:
        steps = slurm.read.step_history(job.job_id)
    except SlurmError:
        return None, ""
    told = replace(job, cpus=job.cpus or (rows[-1].cpus if rows else 0))
    return efficiency_of(told, steps), "Slurm's accounting"


def _verdict(job: Job, log: Path | None, table: Sequence[Rule]) -> Verdict | None:
    if not job.state.is_over or job.state.is_success or not job.nodes:  # it may never have run
        return None
    return judge(ending_of(job, log), table)


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError):
        return None


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago that was, or how long until then: `3 min ago`, `in 2 h`."""
    seconds = (now - moment).total_seconds()
    words = short_time(abs(seconds))
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def short_time(seconds: float) -> str:
    """Return a duration in the unit that a person would take: `42 s`, `12 min`, `3.5 h`, `2.1 d`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"


def short_size(size: float) -> str:
    """Return bytes in the unit that a person would take: `1.2 GB`, `3.0 kB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""
