"""A summary of each job that is over, kept in its AdminComment where jobstats, reportseff and we read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aistation_slurm.errors import UnknownToSlurm
from aistation_slurm.jobs.efficiency import efficiency_of
from aistation_slurm.jobs.jobstats import summary_of, write_summary
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job, JobStep
from aistation_slurm.slurm.nodelist import expand

SETTLED = timedelta(minutes=1)
"""So long after its end a job is left alone: slurmdbd hears of its steps, and a site's own jobstats comes first."""
LOOK_BACK = timedelta(hours=12)
_MOST = 200
"""Jobs of one round: each costs a question to slurmdbd."""


@dataclass(frozen=True, slots=True)
class KeepSummary:
    """A job's summary that nobody has written yet."""

    job: Job
    text: str

    def __str__(self) -> str:
        return f"job {self.job.job_id} ({self.job.user}): summary kept, {len(self.text)} characters"


def wanting(jobs: Iterable[Job], now: datetime) -> list[Job]:
    """Return the jobs that ran, are over for a while, and whose AdminComment is empty; oldest end first."""
    found = [
        each
        for each in jobs
        if each.state.is_over
        and not each.admin_comment
        and each.start_time
        and each.end_time
        and each.end_time > each.start_time
        and now - each.end_time >= SETTLED
        and each.nodes
    ]
    return sorted(found, key=lambda job: (job.end_time or now, job.job_id))


def decide(jobs: Sequence[Job], steps: Iterable[JobStep]) -> list[KeepSummary]:
    """Return the summary of each job, from what its steps used. Changes nothing."""
    of_job: Mapping[int, list[JobStep]] = {job.job_id: [] for job in jobs}
    for step in steps:
        if step.job_id in of_job:
            of_job[step.job_id].append(step)
    found = []
    for job in jobs:
        used = efficiency_of(job, of_job[job.job_id])
        summary = summary_of(used, expand(job.nodes) if job.nodes else [])
        found.append(KeepSummary(job, write_summary(summary, wall=used.wall)))
    return found


class Summaries:
    """The duty: looks at who has ended, and keeps their summaries."""

    def __init__(self, slurm: Slurm, *, bin: Path | None = None, dry_run: bool = False) -> None:  # noqa: A002
        self._slurm = slurm
        self._bin = bin
        self._dry_run = dry_run
        self._cluster = ""
        self._left: set[int] = set()
        """Jobs that slurmdbd did not take one for."""

    def round(self, now: datetime) -> list[str]:
        """Keep what is wanting, and return a line that says how many; with a dry run, a line for each."""
        jobs = wanting(self._slurm.read.history(since=now - LOOK_BACK), now)
        jobs = [each for each in jobs if each.job_id not in self._left][:_MOST]
        orders = decide(jobs, self._slurm.read.step_history(*(each.job_id for each in jobs)))
        if self._dry_run:
            return [f"would be: {each}" for each in orders]
        kept = sum(self._keep(each) for each in orders)
        return [f"summaries of {kept} jobs that ended were kept in their AdminComment"] if kept else []

    def _keep(self, order: KeepSummary) -> bool:
        self._cluster = self._cluster or self._slurm.read.config()["ClusterName"]
        try:
            self._slurm.write.set_admin_comment(order.job, order.text, cluster=self._cluster, bin=self._bin)
        except UnknownToSlurm:
            self._left.add(order.job.job_id)
            return False
        return True
