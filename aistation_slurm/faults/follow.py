"""Following the jobs of a lost node until they run again: pure; the state is a row, the clock an argument.

After a requeue Slurm makes a job wait `cred_expire` + 1 s (121 s by default). `StartTime=now` lifts that, but
only sticks once the job waits with reason BeginTime and has left all its nodes: before, Slurm sets the wait anew
(slurmctld/job_mgr.c, batch_requeue_fini; seen on 22.05.8). So: wait until it has left, lift, look whether it stuck,
lift again if not.

And not in the same second: a node that the job ran on refuses a credential made in the second in which it was told to
end the job (common/slurm_cred.c, slurm_cred_revoked, whole seconds), and slurmctld then ends the job as FAILED
("Killing non-startable batch job: Job credential revoked"). Seen on 22.05.8: 10 of 12 gangs with a survivor were lost
when lifted at once, none of 24 when lifted 1.1 s or more after the node was marked down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.states import JobState
from aistation_slurm.store.tables import LostJob

AGAIN = timedelta(seconds=0.5)
"""How long a lift is given to stick."""
REVOKED = timedelta(seconds=1.2)
"""How long after the mark a surviving node may still refuse the job for good."""
KICKS = 40
PATIENCE = timedelta(minutes=10)
"""After so long a job that only waits for its turn is no longer ours to watch."""
NOT_REQUEUED = timedelta(seconds=30)
"""How long Slurm may take to give up a job of a node that is down."""
CREDENTIAL_WAIT = timedelta(minutes=30)
"""A wait longer than any sane `cred_expire` is the user's own `--begin`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done yet."""

    phase: str


@dataclass(frozen=True, slots=True)
class Kick:
    """The wait after the requeue is to be lifted."""

    job_id: int

    def __str__(self) -> str:
        return f"start job {self.job_id} now"


@dataclass(frozen=True, slots=True)
class RunsAgain:
    """The job runs again."""

    job_id: int
    nodes: str

    def __str__(self) -> str:
        return f"job {self.job_id} runs again on {self.nodes}"


@dataclass(frozen=True, slots=True)
class LetGo:
    """There is nothing left for us to do for the job, and why."""

    job_id: int
    why: str

    def __str__(self) -> str:
        return f"job {self.job_id}: {self.why}"


NextStep = Wait | Kick | RunsAgain | LetGo


def next_step(lost: LostJob, job: Job | None, *, node: str, down_at: datetime, now: datetime) -> NextStep:
    """Return what the job needs now; `job` is None where Slurm has forgotten it."""
    if job is None:
        return LetGo(lost.job_id, "Slurm has forgotten it")
    if job.state.is_leaving:
        return Wait("leaving")
    if job.state.is_over:
        return LetGo(lost.job_id, f"ended as {job.state}")
    if job.state.is_running:
        return _running(lost, job, node, now - down_at)
    if job.state is JobState.PENDING:
        may_be_refused = now - down_at < REVOKED and expand(lost.nodes) != (node,)
        return Wait("waiting") if may_be_refused else _waiting(lost, job, now, now - down_at)
    return LetGo(lost.job_id, f"is {job.state}")


def _running(lost: LostJob, job: Job, node: str, since: timedelta) -> NextStep:
    if job.restart_count > lost.restart_count:
        return RunsAgain(lost.job_id, job.nodes)
    if node not in expand(job.nodes):
        return LetGo(lost.job_id, f"goes on without {node} (--no-kill)")
    if since > NOT_REQUEUED:
        return LetGo(lost.job_id, "Slurm did not give it up")
    return Wait("leaving")


def _waiting(lost: LostJob, job: Job, now: datetime, since: timedelta) -> NextStep:
    if needs_kick(job, now):
        if lost.kicks >= KICKS:
            return LetGo(lost.job_id, f"its wait could not be lifted in {KICKS} attempts")
        if lost.kicked_at is None or now - lost.kicked_at >= AGAIN:
            return Kick(lost.job_id)
    elif job.reason.startswith(("JobHeld", "job_requeued_in_held")):
        return LetGo(lost.job_id, "is held")
    if since > PATIENCE:
        return LetGo(lost.job_id, f"waits ({job.reason or 'no reason given'})")
    return Wait("waiting")


def needs_kick(job: Job, now: datetime) -> bool:
    """True while the job waits for nothing but the time after its requeue."""
    if job.reason != "BeginTime":
        return False
    # Slurm keeps the reason until it next looks at the job: whether a lift has stuck is told by the time alone.
    return job.eligible_time is None or timedelta(seconds=1) < job.eligible_time - now < CREDENTIAL_WAIT
