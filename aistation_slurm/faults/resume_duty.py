"""The duty `requeue`: looks at what ended, decides, and carries it out; safe to run in two places at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from aistation_slurm.errors import SlurmError, UnknownToSlurm
from aistation_slurm.faults import resume_memory as memory
from aistation_slurm.faults.mail import Mail, send
from aistation_slurm.faults.resume import (
    HoldBack,
    Leave,
    Past,
    Restart,
    ResumePolicy,
    Step,
    Stop,
    decide,
    is_open,
)
from aistation_slurm.faults.resume_look import look, tagged
from aistation_slurm.faults.tools import Teller, Tools
from aistation_slurm.jobs.judge import Rule
from aistation_slurm.jobs.tag import Tag
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import load_spec
from aistation_slurm.store.audit import audit

_SECONDS = re.compile(r"\d+")


@dataclass(slots=True)
class Requeue:
    """The duty `requeue`."""

    tools: Tools
    table: Callable[[], Sequence[Rule]]
    policy: Callable[[], ResumePolicy]
    """Both are read anew in each round: a site changes them while the daemon runs."""
    _tell: Teller = field(default_factory=lambda: Teller(timedelta(hours=1)))

    def round(self) -> list[str]:
        """Start again what may go on, and tell the owners of the others; return a line for each."""
        policy = self.policy()
        if not self.tools.policy.enabled or not policy.max_restarts:
            return []
        now = self.tools.clock()
        try:
            return self._round(policy, now)
        except SlurmError as error:
            return self._tell("slurm", f"nothing done: {error}", now=now)

    def _round(self, policy: ResumePolicy, now: datetime) -> list[str]:
        ours = tagged(self.tools.slurm.read.jobs(with_over=True))
        memory.watch(self.tools.engine, ours, now)
        lost = memory.forgotten(self.tools.engine, {(job.job_id, tag.submission) for job, tag in ours})
        over = [(job, tag) for job, tag in ours if _matters(job)]
        if not over and not lost:
            return []
        config = self.tools.slurm.read.config()
        policy = replace(policy, forget_after=min_job_age(config))
        pasts = memory.history(self.tools.engine, [(job.job_id, tag.submission) for job, tag in (*over, *lost)])
        table = self.table()
        ended = look(_undecided(over, pasts, now), table)
        ended += look(self._remembered(lost, pasts, now), table, forgotten=True)
        nodes = self.tools.slurm.read.nodes() if any(past.nodes for past in pasts) else ()
        return [line for step in decide(ended, pasts, policy, now, nodes=nodes) for line in self._do(step, config, now)]

    def _remembered(
        self, lost: Sequence[tuple[Job, Tag]], pasts: Sequence[Past], now: datetime
    ) -> list[tuple[Job, Tag]]:
        """Return those of the forgotten jobs that ended too soon, by slurmdbd, and close the others."""
        if not lost:
            return []
        known = {job.job_id: job for job in self.tools.slurm.read.history(job_ids=[job.job_id for job, _ in lost])}
        found = [(joined, tag) for job, tag in lost if (joined := _joined(job, known.get(job.job_id))) is not None]
        waiting = _undecided([(job, tag) for job, tag in found if _matters(job)], pasts, now)
        not_over = [
            (job.job_id, tag.submission) for job, tag in (*waiting, *(p for p in found if not p[0].state.is_over))
        ]
        if not self.tools.policy.dry_run:
            every = {(job.job_id, tag.submission) for job, tag in lost}
            memory.close(self.tools.engine, every - set(not_over), now)
        return waiting

    def _do(self, step: Step, config: dict[str, str], now: datetime) -> list[str]:
        if isinstance(step, Leave | HoldBack):
            about = step.ended.key if isinstance(step, Leave) else "hold back"
            return self._tell(about, str(step), now=now)
        if self.tools.policy.dry_run:
            return self._tell(step.ended.key, f"would {step}", now=now)
        if not memory.claim(self.tools.engine, step, now):
            return []
        return self._restart(step, config, now) if isinstance(step, Restart) else self._stop(step, config, now)

    def _restart(self, step: Restart, config: dict[str, str], now: datetime) -> list[str]:
        job = step.ended.job
        try:
            taken = self.tools.slurm.write.requeue(job)
        except UnknownToSlurm:
            return self._instead(step, f"{step.ended.verdict.why}, and Slurm has forgotten it by now", config, now)
        except SlurmError as error:
            return self._instead(step, f"{step.ended.verdict.why}; Slurm did not take it back: {error}", config, now)
        note = self._smooth(step) if taken else "it stood in the queue already"
        memory.settle(self.tools.engine, step, done_at=self.tools.clock(), note=note[:1024])
        audit(self.tools.engine, str(step), actor=self.tools.actor, now=now)
        return [f"{step}; {note}" if note else str(step)]

    def _smooth(self, step: Restart) -> str:
        """Keep the job from a node that breaks it, and from waiting without need; return what could not be done.

        The wait is lifted only for a job that was over, and so has left all its nodes for some seconds (`settle`): none
        of them takes its new credential for the old one.
        """
        job, notes = step.ended.job, []
        try:
            if step.exclude:
                self.tools.slurm.write.exclude_nodes(job, step.exclude)
        except SlurmError as error:
            notes.append(f"{step.exclude} could not be excluded: {error}")
        try:
            if step.lift:
                self.tools.slurm.write.update_job(job, start_now=True)
        except SlurmError as error:
            notes.append(f"it waits Slurm's own time: {error}")
        return "; ".join(notes)

    def _instead(self, step: Restart, why: str, config: dict[str, str], now: datetime) -> list[str]:
        memory.settle(self.tools.engine, step, action="stop", why=why[:1024])
        return self._stop(Stop(ended=step.ended, why=why, progressed=step.progressed), config, now)

    def _stop(self, step: Stop, config: dict[str, str], now: datetime) -> list[str]:
        fault = send(mail_of(step), step.ended.job, config)
        note = f"its owner could not be told: {fault}" if fault else ""
        memory.settle(self.tools.engine, step, told_at=None if fault else self.tools.clock(), note=note[:1024])
        memory.close(self.tools.engine, [step.ended.key], now)
        line = f"{step}; {note or f'its owner was told: {step.ended.again}'}"
        audit(self.tools.engine, line, actor=self.tools.actor, now=now)
        return [line]


def resume_policy(cluster_file: Path) -> ResumePolicy:
    """Return what the cluster file says, or the defaults where there is none.

    Raises:
        SpecError: the cluster file is wrong.
    """
    if not cluster_file.is_file():
        return ResumePolicy()
    wanted = load_spec(cluster_file).training.auto_resume
    return ResumePolicy(max_restarts=wanted.max_restarts, unknown_tries=wanted.unknown_tries, at_once=wanted.at_once)


def mail_of(step: Stop) -> Mail:
    """Return what the owner is told: what happened, why, and the one command that goes on."""
    ended = step.ended
    told = f"\nThe line of its log that says so:\n\n    {ended.verdict.line}\n" if ended.verdict.line else ""
    place = "" if ended.sight.step is None else f"\nIts newest checkpoint is that of step {ended.sight.step}.\n"
    text = (
        f"Your job {ended.job.job_id} ({ended.job.name}) ended as {ended.job.state.value} and is not started again:\n"
        f"{step.why}.\n{told}{place}\n"
        f"When you think that it can go on, submit it again; it goes on from its checkpoint:\n\n    {ended.again}\n"
    )
    return Mail(
        ended.job.user, f"Slurm job {ended.job.job_id} {ended.job.name} stopped: {step.why}. {ended.again}", text
    )


def min_job_age(config: dict[str, str]) -> timedelta:
    """Return how long slurmctld holds a job that is over; 0 in slurm.conf means for ever."""
    found = _SECONDS.match(config.get("MinJobAge", ""))
    seconds = int(found[0]) if found else 300
    return timedelta(seconds=seconds) if seconds else timedelta(days=365)


def _matters(job: Job) -> bool:
    return job.state.is_over and job.state not in {JobState.COMPLETED, JobState.CANCELLED, JobState.REVOKED}


def _undecided(jobs: Sequence[tuple[Job, Tag]], pasts: Sequence[Past], now: datetime) -> list[tuple[Job, Tag]]:
    """Return those whose last run nothing was decided about: nobody's folder is looked at twice for nothing."""
    runs = {(past.job_id, past.submission, past.restart_count): past for past in pasts}
    return [
        (job, tag) for job, tag in jobs if is_open(job, runs.get((job.job_id, tag.submission, job.restart_count)), now)
    ]


def _joined(seen: Job, known: Job | None) -> Job | None:
    """Return the job as slurmdbd knows its end and slurmctld knew its files; None where it is another one by now."""
    if known is None or (known.user, known.name) != (seen.user, seen.name):
        return None
    return replace(
        known, array_job_id=seen.array_job_id, array_task=seen.array_task, stdout=seen.stdout, comment=seen.comment,
        work_dir=seen.work_dir, restart_count=seen.restart_count,
    )  # fmt: skip
