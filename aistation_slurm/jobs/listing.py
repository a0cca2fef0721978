"""What became of a training: its job, how far it is, where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aistation_slurm.jobs.run_folder import run_folder
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job

HISTORY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Training:
    """A job, and what its training says of itself; whatever is not a training of ours has no progress."""

    job: Job
    progress: Progress | None
    log: Path | None
    run_dir: Path | None

    @property
    def where(self) -> str:
        """Its nodes, or why it waits."""
        return self.job.nodes if self.job.nodes and not self.job.state.is_waiting else f"({self.job.reason})"

    @property
    def done(self) -> str:
        """`40/200`, or nothing where nothing was reported."""
        if self.progress is None:
            return ""
        return f"{self.progress.step}/{self.progress.total}" if self.progress.total else str(self.progress.step)


def training_of(job: Job) -> Training:
    """Return the job with what its folder says; a folder that this user may not read says nothing."""
    folder = run_folder(job)
    return Training(
        job=job,
        progress=folder.latest() if folder else None,
        log=Path(job.stdout) if job.stdout else None,
        run_dir=folder.path if folder and folder.exists else None,
    )


def trainings(slurm: Slurm, *, user: str | None) -> list[Training]:
    """Return the jobs that wait, run or just ended, of one user or of all; newest last."""
    jobs = slurm.read.jobs(with_over=True)
    return [training_of(each) for each in sorted(jobs, key=lambda job: job.job_id) if user in {None, each.user}]


def past_trainings(slurm: Slurm, *, user: str | None, now: datetime | None = None) -> list[Training]:
    """Return the jobs of the last week, from slurmdbd."""
    since = (now or datetime.now(UTC)) - HISTORY
    jobs = slurm.read.history(user=user, since=since)
    return [training_of(each) for each in sorted(jobs, key=lambda job: job.job_id)]
