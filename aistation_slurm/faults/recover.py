"""The recovery: follows the jobs of lost nodes until they run again, a step at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.errors import SlurmError, UnknownToSlurm
from aistation_slurm.faults import incidents
from aistation_slurm.faults.follow import Kick, LetGo, NextStep, RunsAgain, next_step
from aistation_slurm.faults.tools import Teller, Tools
from aistation_slurm.slurm.model import Job
from aistation_slurm.store.audit import audit
from aistation_slurm.store.tables import Incident, LostJob

FEW = 3
"""So many jobs are asked for one by one; more, and one look at all of them is cheaper."""
BUDGET = 1.0
"""Seconds that a round goes on by itself while there is something to wait for."""
_PACE = ((timedelta(seconds=8), 0.1), (timedelta(minutes=1), 0.3), (timedelta.max, 1.0))
"""How long after the loss a job is looked at how often, in seconds."""

Followed = Sequence[tuple[LostJob, Incident]]


@dataclass(slots=True)
class Recovery:
    """The recover duty."""

    tools: Tools
    _tell: Teller = field(default_factory=Teller)
    _looked_at: datetime | None = None

    def round(self) -> list[str]:
        """Bring each job one step further, and go on for a moment while that is quick; return a line for each step."""
        if not self.tools.policy.enabled or self.tools.policy.dry_run:
            return []
        until = time.monotonic() + BUDGET
        lines: list[str] = []
        while several := incidents.jobs_to_follow(self.tools.engine):
            now, pace = self.tools.clock(), self._pace(several)
            wait = pace - (now - self._looked_at).total_seconds() if self._looked_at else 0.0
            if wait > 0:
                if time.monotonic() + wait > until:
                    break
                time.sleep(wait)
            lines += self._step_all(several)
        return lines

    def _pace(self, several: Followed) -> float:
        now = self.tools.clock()
        newest = max(incident.down_at or incident.noticed_at for _, incident in several)
        return next(every for within, every in _PACE if now - newest <= within)

    def _step_all(self, several: Followed) -> list[str]:
        now = self._looked_at = self.tools.clock()
        try:
            jobs = self._look([lost.job_id for lost, _ in several])
        except SlurmError as error:
            return self._tell("slurm", f"nothing done: {error}", now=now)
        lines: list[str] = []
        for lost, incident in several:
            job, down_at = jobs.get(lost.job_id), incident.down_at or now
            step = next_step(lost, job, node=incident.node, down_at=down_at, now=now)
            lines += self._carry_out(step, lost, job)
        return lines

    def _look(self, job_ids: list[int]) -> dict[int, Job]:
        read = self.tools.slurm.read
        if len(set(job_ids)) > FEW:
            return {each.job_id: each for each in read.jobs(with_over=True)}
        found: dict[int, Job] = {}
        for job_id in set(job_ids):
            try:
                found[job_id] = read.job(job_id)
            except UnknownToSlurm:
                continue
        return found

    def _carry_out(self, step: NextStep, lost: LostJob, job: Job | None) -> list[str]:
        before = (lost.phase, lost.requeued_at, lost.kicks, lost.ended_at)
        now = self.tools.clock()
        if job is not None and job.state.is_waiting:
            lost.requeued_at = lost.requeued_at or now
        lines = self._kick(step, lost, now) if isinstance(step, Kick) else _note(step, lost, job, now)
        if before != (lost.phase, lost.requeued_at, lost.kicks, lost.ended_at):
            incidents.save(self.tools.engine, lost)
        return lines

    def _kick(self, step: Kick, lost: LostJob, now: datetime) -> list[str]:
        try:
            self.tools.slurm.write.update_job(step.job_id, start_now=True)
        except SlurmError as error:
            return self._tell(("kick", step.job_id), f"{step}: not done: {error}", now=now)
        lost.phase = "waiting"
        lost.kicked_at = now
        lost.kicks += 1
        if lost.kicks > 1:
            return self._tell(("again", step.job_id), f"{step}, again: it did not stick", now=now)
        audit(self.tools.engine, str(step), actor=self.tools.actor, now=now)
        return [str(step)]


def _note(step: NextStep, lost: LostJob, job: Job | None, now: datetime) -> list[str]:
    if isinstance(step, RunsAgain):
        lost.running_at, lost.running_nodes = now, step.nodes[:4096]
        lost.requeued_at = lost.requeued_at or now
    elif isinstance(step, LetGo):
        lost.note = step.why
    elif not isinstance(step, Kick):
        lost.phase = step.phase
        return []
    lost.phase, lost.ended_at = "over", now
    return [str(step)]
