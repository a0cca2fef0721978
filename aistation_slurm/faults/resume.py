"""Which trainings are started again after they ended too soon: pure, with the clock as an argument. Changes nothing.

Only what was submitted with `--auto-resume` is ours to start again, and only while it gets on: a job that comes no
further than the run before, or breaks by its own fault, would only burn GPU hours. Each ended run is decided once.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from aistation_slurm.jobs.judge import Verdict
from aistation_slurm.jobs.run_folder import folder_name
from aistation_slurm.jobs.tag import Tag
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.states import JobState

STALE = timedelta(minutes=2)
"""After so long an order that was to be given, and of which nothing is seen, is given again: whoever had it died."""
TRIES = 3
_ANYWHERE = frozenset({JobState.TIMEOUT, JobState.PREEMPTED})
"""Ends that say nothing of the nodes they happened on."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a run's owner can see of it; looked at with that user's rights."""

    blind: str = ""
    """Why nothing could be seen; empty where something was."""
    folder: Path | None = None
    """Its run folder, where there is one."""
    step: int | None = None
    """Its newest checkpoint."""
    saved_at: datetime | None = None
    """When the newest file among its checkpoints was written, of whatever form it is."""
    log: str | None = None
    """The end of its log; None where it may not be read."""
    is_sweep: bool = False
    """True where its array is one of `aistation job sweep`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job that ended and that its owner wants to go on."""

    job: Job
    tag: Tag
    verdict: Verdict
    sight: Sight = Sight()
    is_forgotten: bool = False
    """True where only slurmdbd knows it: nothing can be ordered any more."""

    @property
    def key(self) -> tuple[int, str]:
        """What names the job for ever: Slurm gives out a number anew after a while."""
        return self.job.job_id, self.tag.submission

    @property
    def again(self) -> str:
        """The one command that submits it again, to go on from its checkpoint; of an array this member alone."""
        job, folder = self.job, self.sight.folder
        if job.array_job_id is None or not job.array_task.isdecimal():
            return f"aistation job submit --again {shlex.quote(str(folder or job.job_id))}"
        if self.sight.is_sweep:
            return f"aistation job sweep retry {job.array_job_id} --members {job.array_task}"
        whole = Path(job.work_dir) / folder_name(job.name, job.array_job_id)
        saved = f" --checkpoint-dir {shlex.quote(str(folder / 'checkpoints'))}" if folder else ""
        return f"aistation job submit --again {shlex.quote(str(whole))} --array {job.array_task}{saved}"

    def __str__(self) -> str:
        job = self.job
        member = f" (member {job.array_task} of {job.array_job_id})" if job.array_job_id else ""
        return f"job {job.job_id} {job.name} of {job.user}{member}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was decided about one ended run."""

    job_id: int
    submission: str
    restart_count: int
    action: str
    """`restart` or `stop`."""
    whose: str = "platform"
    rule: str = ""
    step: int | None = None
    progressed: bool = True
    nodes: str = ""
    tries: int = 1
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePolicy:
    """How often, and how many at once."""

    max_restarts: int = 5
    unknown_tries: int = 2
    at_once: int = 20
    settle: timedelta = timedelta(seconds=5)
    """How long after its end a job is left to Slurm, and to what it still writes."""
    forget_after: timedelta = timedelta(minutes=5)
    """MinJobAge: how long slurmctld holds a job that is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The job is to go back into the queue, and on from its checkpoint."""

    ended: Ended
    number: int
    of: int
    progressed: bool
    exclude: str = ""
    """A node that two of its runs in a row broke on."""

    @property
    def why(self) -> str:
        """The judge's sentence, and the how many-th start it is."""
        return f"{self.ended.verdict.why} ({self.number} of {self.of})"

    @property
    def lift(self) -> bool:
        """True where it need not wait Slurm's two minutes: it gets on, or others took its place."""
        return self.progressed or self.ended.job.state is JobState.PREEMPTED

    def __str__(self) -> str:
        step = self.ended.sight.step
        place = "" if step is None else f" from step {step}"
        without = f", and no more on {self.exclude}, where it broke twice" if self.exclude else ""
        return f"start {self.ended} again{place}: {self.why}{without}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The job stays ended, and its owner is to be told."""

    ended: Ended
    why: str
    progressed: bool = False

    def __str__(self) -> str:
        return f"{self.ended} is not started again: {self.why}"


@dataclass(frozen=True, slots=True)
class Leave:
    """A job about which nothing is done yet, and why."""

    ended: Ended
    why: str

    def __str__(self) -> str:
        return f"leave {self.ended}: {self.why}"


@dataclass(frozen=True, slots=True)
class HoldBack:
    """More ended together than are started in one round."""

    waiting: int
    limit: int

    def __str__(self) -> str:
        return (
            f"hold back: {self.waiting} more jobs ended together than the {self.limit} that are started again in one "
            "round; look for a fault of the platform"
        )


Step = Restart | Stop | Leave | HoldBack


def decide(
    several: Iterable[Ended],
    history: Iterable[Past],
    policy: ResumePolicy,
    now: datetime,
    *,
    nodes: Sequence[Node] = (),
) -> list[Step]:
    """Return what to do about the jobs that ended, oldest end first; nothing for those that were decided already."""
    known: dict[tuple[int, str], list[Past]] = {}
    for past in sorted(history, key=lambda each: each.restart_count):
        known.setdefault((past.job_id, past.submission), []).append(past)
    oldest = sorted(several, key=lambda each: (each.job.end_time or now, each.job.job_id))
    found = [step for ended in oldest for step in _decide(ended, known.get(ended.key, []), policy, now, nodes)]
    restarts = [each for each in found if isinstance(each, Restart)]
    if len(restarts) <= policy.at_once:
        return found
    late = {id(each) for each in restarts[policy.at_once :]}
    return [*(each for each in found if id(each) not in late), HoldBack(len(late), policy.at_once)]


def is_open(job: Job, past: Past | None, now: datetime) -> bool:
    """True where nothing was decided about this run, or what was decided was never done."""
    if past is None or past.restart_count != job.restart_count:
        return True
    return past.action == "restart" and now - past.at >= STALE


def _decide(
    ended: Ended, pasts: Sequence[Past], policy: ResumePolicy, now: datetime, nodes: Sequence[Node]
) -> Iterator[Step]:
    job, limit = ended.job, min(ended.tag.resume or 0, policy.max_restarts)
    this = next((each for each in pasts if each.restart_count == job.restart_count), None)
    if not limit or _ended_as_wanted(ended) or not is_open(job, this, now):
        return
    if not ended.is_forgotten and job.end_time is not None and now - job.end_time < policy.settle:
        return
    earlier = [each for each in pasts if each.restart_count < job.restart_count]
    progressed = has_progressed(ended, earlier)
    if blind := _blind(ended):
        yield _unseen(ended, blind, policy, now)
    elif why := _why_not(ended, earlier, policy, limit=limit, progressed=progressed):
        yield Stop(ended=ended, why=why, progressed=progressed)
    elif ended.is_forgotten:
        yield Stop(ended=ended, why=f"{ended.verdict.why}, and Slurm has forgotten it by now", progressed=progressed)
    elif this is not None and this.tries >= TRIES:
        yield Stop(ended=ended, why=f"Slurm did not take it back in {TRIES} attempts", progressed=progressed)
    else:
        yield Restart(
            ended=ended, number=_restarts(earlier) + 1, of=limit, progressed=progressed,
            exclude=_exclude(ended, earlier, nodes),
        )  # fmt: skip


def _ended_as_wanted(ended: Ended) -> bool:
    return ended.verdict.whose == "success" or ended.job.state is JobState.CANCELLED or not ended.job.state.is_over


def _blind(ended: Ended) -> str:
    """Return why it can't be judged; of a job that failed the log is needed, the others' state says it all."""
    if ended.verdict.whose == "user" and ended.job.state is not JobState.FAILED:
        return ""
    if ended.sight.blind:
        return ended.sight.blind
    return "its log may not be read here" if ended.job.state is JobState.FAILED and ended.sight.log is None else ""


def _unseen(ended: Ended, blind: str, policy: ResumePolicy, now: datetime) -> Step:
    """Where we cannot see, do nothing; somebody with more rights may, as long as slurmctld holds the job."""
    age = now - (ended.job.end_time or now)
    if ended.is_forgotten or age >= policy.forget_after * 0.8:
        return Stop(ended=ended, why=f"how far it was can't be seen: {blind}")
    return Leave(ended, blind)


def has_progressed(ended: Ended, earlier: Sequence[Past]) -> bool:
    """True where the run has saved more than the runs before it.

    Steps are compared where the checkpoints are of our form; else a file that is newer than the run's start will do.
    """
    sight = ended.sight
    if sight.step is not None:
        return sight.step > max((each.step for each in earlier if each.step is not None), default=-1)
    return sight.saved_at is not None and ended.job.start_time is not None and sight.saved_at > ended.job.start_time


def _why_not(ended: Ended, earlier: Sequence[Past], policy: ResumePolicy, *, limit: int, progressed: bool) -> str:
    """Return why the job is better not started again; empty where it may be."""
    verdict = ended.verdict
    if not verdict.retry:
        return verdict.why
    if (restarts := _restarts(earlier)) >= limit:
        return f"{verdict.why}; it was started again {restarts} times, and {limit} is its limit"
    if not progressed and (why := _no_progress(ended, earlier)):
        return why
    unknown = sum(each.whose == "unknown" and each.action == "restart" for each in earlier)
    if verdict.whose == "unknown" and unknown >= policy.unknown_tries:
        return f"{verdict.why}; that was tried again {unknown} times already"
    return ""


def _restarts(earlier: Sequence[Past]) -> int:
    """Return how often it was started again here; a script that goes on by itself at each time limit may, for weeks."""
    return sum(each.action == "restart" for each in earlier)


def _no_progress(ended: Ended, earlier: Sequence[Past]) -> str:
    """Return why a run that has saved nothing new is the last one; empty where one more try is fair."""
    job, sight = ended.job, ended.sight
    if job.state is JobState.PREEMPTED:
        return ""
    if job.state is JobState.TIMEOUT and sight.step is None and sight.saved_at is None:
        return "it reached its time limit and has saved no checkpoint: it would begin anew, and end the same"
    if earlier and not earlier[-1].progressed and earlier[-1].rule != "preempted":
        return f"{ended.verdict.why}; it came no further than the run before, twice in a row"
    return ""


def _exclude(ended: Ended, earlier: Sequence[Past], nodes: Sequence[Node]) -> str:
    """Return the one node that this run and the one before it broke on, where others can take its place."""
    job = ended.job
    if job.state in _ANYWHERE or not earlier or earlier[-1].rule in {"time-limit", "preempted"}:
        return ""
    both = set(expand(job.nodes)) & set(expand(earlier[-1].nodes))
    if len(both) != 1:
        return ""
    others = [each for each in nodes if job.partition in each.partitions and each.state.is_usable]
    left = [each for each in others if each.name not in both]
    return both.pop() if len(left) >= max(1, job.node_count) else ""
