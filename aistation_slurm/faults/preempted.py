"""Jobs that an emergency took the place of: they wait for their turn, and not for Slurm's 121 s as well.

slurmctld lets a requeued job wait `cred_expire` + 1 s from when it has left its nodes, so that no node takes its new
credential for the old one, which it was told to refuse (job_mgr.c, batch_requeue_fini; slurm_cred.c: whole seconds).
Two seconds are enough for that. What a person wrote as `--begin` is kept: slurmctld sets the wait only where that time
has passed, and counts it from the submission, which it sets anew in the same moment; so the two tell it from a wish.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.errors import SlurmError
from aistation_slurm.faults.follow import REVOKED, needs_kick
from aistation_slurm.faults.tools import Teller, Tools
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.audit import audit

LEFT = REVOKED + timedelta(seconds=1)
"""How long a job must have left its nodes; slurmctld tells that moment in whole seconds."""
REST = 20
"""A look at all jobs that took t seconds is followed by at least 20 t without one."""
_EXPIRE = re.compile(r"(?:^|,)cred_expire=(\d+)")


@dataclass(frozen=True, slots=True)
class LiftWait:
    """The wait of a job that was preempted is to be lifted."""

    job: Job

    def __str__(self) -> str:
        return f"start job {self.job.job_id} now: it was preempted, and waits for nothing else"


def requeue_wait(config: Mapping[str, str]) -> timedelta:
    """Return how long this Slurm lets a requeued job wait (slurm.conf(5), AuthInfo; below 5 s it takes 120)."""
    found = _EXPIRE.search(config.get("AuthInfo", ""))
    expire = int(found[1]) if found else 120
    return timedelta(seconds=(expire if expire >= 5 else 120) + 1)


def requeued(jobs: Iterable[Job], now: datetime) -> list[Job]:
    """Return the jobs that ran before, have left their nodes for long enough, and wait for a time."""
    return [
        job
        for job in jobs
        if job.state is JobState.PENDING
        and job.restart_count
        and needs_kick(job, now)
        and job.submit_time is not None
        and now - job.submit_time >= LEFT
    ]


def waits_as_slurm_said(job: Job, wait: timedelta) -> bool:
    """True where the job waits as long as slurmctld lets a requeued one wait, not until a time that somebody chose."""
    if job.eligible_time is None or job.submit_time is None:
        return False
    return timedelta(0) <= wait - (job.eligible_time - job.submit_time) <= timedelta(seconds=1)


def was_preempted(job: Job, runs: Iterable[Job]) -> bool | None:
    """Return whether the job's last run ended by preemption; None while slurmdbd does not know yet.

    The runs are told apart by their submission, which each requeue sets anew: of one that was preempted in its first
    second slurmdbd may know no start (seen on 22.05.8).
    """
    known = [(each.submit_time, each) for each in runs if each.job_id == job.job_id and each.submit_time is not None]
    earlier = [pair for pair in known if job.submit_time is not None and pair[0] < job.submit_time]
    if not earlier:
        return None
    _, last = max(earlier, key=lambda pair: pair[0])
    return last.state is JobState.PREEMPTED if last.state.is_over else None


@dataclass(slots=True)
class Preempted:
    """The duty `preempted`."""

    tools: Tools
    _tell: Teller = field(default_factory=Teller)
    _rest_until: float = 0.0
    _known: dict[tuple[int, int], bool] = field(default_factory=dict)
    """(job, restart count) -> whether that run was preempted: slurmdbd is asked once."""

    def round(self) -> list[str]:
        """Lift the wait of each job that was preempted; return a line for each."""
        if not self.tools.policy.enabled or time.monotonic() < self._rest_until:
            return []
        now = self.tools.clock()
        try:
            candidates = requeued(self._look(), now)
            return [line for job in self._preempted(candidates) for line in self._lift(LiftWait(job), now)]
        except SlurmError as error:
            return self._tell("slurm", f"nothing done: {error}", now=now)

    def _look(self) -> list[Job]:
        begun = time.monotonic()
        jobs = self.tools.slurm.read.jobs()
        self._rest_until = time.monotonic() + REST * (time.monotonic() - begun)
        return jobs

    def _preempted(self, candidates: Sequence[Job]) -> list[Job]:
        if not candidates:
            self._known.clear()
            return []
        wait = requeue_wait(self.tools.slurm.read.config())
        waiting = [job for job in candidates if waits_as_slurm_said(job, wait)]
        if unknown := [job.job_id for job in waiting if (job.job_id, job.restart_count) not in self._known]:
            self._ask(waiting, self.tools.slurm.read.history(job_ids=unknown, duplicates=True))
        return [job for job in waiting if self._known.get((job.job_id, job.restart_count))]

    def _ask(self, waiting: Sequence[Job], runs: Sequence[Job]) -> None:
        for job in waiting:
            answer = was_preempted(job, runs)
            if answer is not None:
                self._known[job.job_id, job.restart_count] = answer

    def _lift(self, step: LiftWait, now: datetime) -> list[str]:
        if self.tools.policy.dry_run:
            return self._tell(("lift", step.job.job_id), f"would {step}", now=now)
        try:
            self.tools.slurm.write.update_job(step.job, start_now=True)
        except SlurmError as error:
            return self._tell(("lift", step.job.job_id), f"{step}: not done: {error}", now=now)
        audit(self.tools.engine, str(step), actor=self.tools.actor, now=now)
        return [str(step)]
