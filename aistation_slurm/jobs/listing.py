"""Jobs as a list: which ones, how far each training is, and arrays folded into a line."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aistation_slurm.jobs.logs import log_of
from aistation_slurm.jobs.metrics import last_metrics
from aistation_slurm.jobs.named import shown_id
from aistation_slurm.jobs.run_folder import RunFolder, run_folder
from aistation_slurm.jobs.why.reasons import short
from aistation_slurm.progress import Progress
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState

HISTORY = timedelta(days=7)
_FIRST = ("loss", "train_loss", "train/loss", "val_loss", "eval_loss")
_LAST = ("epoch", "learning_rate", "lr", "grad_norm")
_TAIL_OF_NOTE = ("runtime", "per_second")


@dataclass(frozen=True, slots=True)
class Training:
    """A job, and what its training says of itself; whatever is not a training of ours has no progress."""

    job: Job
    progress: Progress | None
    log: Path | None
    folder: RunFolder | None

    @property
    def run_dir(self) -> Path | None:
        """Its folder, where it stands and this user may see it."""
        return self.folder.path if self.folder and self.folder.exists else None

    @property
    def where(self) -> str:
        """Its nodes, or why it waits: in words, and Slurm's own one behind them."""
        job = self.job
        if not job.state.is_waiting:
            return job.nodes or (f"({job.reason})" if job.reason else "")
        words = short(job.reason)
        return f"{words} ({job.reason})" if words and words != job.reason else f"({job.reason})" if job.reason else ""

    @property
    def done(self) -> str:
        """`40/200`, or nothing where nothing was reported."""
        if self.progress is None:
            return ""
        return f"{self.progress.step}/{self.progress.total}" if self.progress.total else str(self.progress.step)

    @property
    def share(self) -> float | None:
        """How much of it is done, from 0 to 1; None where nobody said what is all."""
        told = self.progress
        return min(1.0, told.step / told.total) if told and told.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which jobs are asked for; what is empty asks for all."""

    user: str | None = None
    states: Collection[JobState] = ()
    groups: Collection[str] = ()
    names: Collection[str] = ()
    """Patterns, as a shell has them: `resnet-*`."""
    since: datetime | None = None
    """Also those that slurmctld has forgotten, back to then."""

    def takes(self, job: Job) -> bool:
        """True where the job is asked for."""
        return (
            self.user in {None, job.user}
            and (not self.states or job.state in self.states)
            and (not self.groups or bool(set(job.partition.split(",")) & set(self.groups)))
            and (not self.names or any(fnmatch.fnmatchcase(job.name, each) for each in self.names))
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list: a job, or an array with the members that were asked for."""

    members: Sequence[Training]

    @property
    def first(self) -> Training:
        """The job, or the member that is most worth a look: one that runs before one that waits."""
        return min(self.members, key=lambda each: (not each.job.state.is_running, not each.job.state.is_waiting))

    @property
    def is_array(self) -> bool:
        """True where it stands for several members."""
        tasks = self.first.job.array_task
        return len(self.members) > 1 or bool(tasks and not tasks.isdecimal())

    @property
    def shown_id(self) -> str:
        """`1234`, or `1234_[0-99]` of an array."""
        if not self.is_array:
            return shown_id(self.first.job)
        tasks = ",".join(each.job.array_task.strip("[]").partition("%")[0] for each in self.members)
        return f"{self.first.job.array_job_id}_[{_folded(tasks)}]"

    @property
    def states(self) -> Counter[JobState]:
        """How many members are in which state; a record of many that wait counts each."""
        counted: Counter[JobState] = Counter()
        for each in self.members:
            counted[each.job.state] += len(_numbers(each.job.array_task)) or 1
        return counted

    @property
    def gpus(self) -> int:
        """The GPUs that it has now; while it waits, those that the job or each member asks for."""
        running = [each.job.gpus for each in self.members if each.job.state.is_running]
        return sum(running) if running else self.first.job.gpus


def training_of(job: Job) -> Training:
    """Return the job with what its folder and its log say; what this user may not read says nothing."""
    folder, log = run_folder(job), log_of(job)
    has_run = not job.state.is_waiting or job.restart_count > 0
    return Training(job, last_metrics(job, folder, log) if has_run else None, log, folder)


def trainings(slurm: Slurm, wanted: Wanted) -> list[Training]:
    """Return the jobs that are asked for, oldest first."""
    jobs = {each.job_id: each for each in slurm.read.jobs(with_over=True)}
    if wanted.since is not None:
        past = slurm.read.history(user=wanted.user, since=wanted.since)
        jobs = {each.job_id: each for each in past if each.job_id not in jobs} | jobs
    return [training_of(each) for each in sorted(jobs.values(), key=lambda job: job.job_id) if wanted.takes(each)]


def lines(found: Iterable[Training], *, unfolded: bool = False) -> list[Line]:
    """Return a line for each job and each array, in the order in which they came; unfolded, one for each member."""
    arrays: dict[tuple[int, int], list[Training]] = {}
    for index, each in enumerate(found):
        array = each.job.array_job_id
        arrays.setdefault((0, array) if array is not None and not unfolded else (1, index), []).append(each)
    return [Line(members) for members in arrays.values()]


def headline(told: Progress | None, *, most: int = 2) -> str:
    """Return the metrics that a person looks at first, `loss=0.123 acc=0.9`."""
    if told is None:
        return ""
    names = sorted(told.metrics, key=_weight)
    return " ".join(f"{name}={told.metrics[name]:.4g}" for name in names[:most])


def since_of(text: str, now: datetime) -> datetime:
    """Return the moment of `90m`, `12h`, `3d`, `2w` ago, or of a date such as `2026-11-26` or `2026-11-26T08:00`.

    Raises:
        ValueError: it is neither.
    """
    unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}.get(text[-1:])
    if unit and text[:-1].isdecimal() and len(text) <= 6:
        return now - timedelta(**{unit: int(text[:-1])})
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.astimezone()).astimezone(UTC)


def _weight(name: str) -> tuple[int, str]:
    if name in _FIRST:
        return _FIRST.index(name), name
    if name in _LAST or name.endswith(_TAIL_OF_NOTE):
        return 100, name
    return (20 if "loss" in name else 40), name


def _numbers(tasks: str) -> list[int]:
    """Return the members that `[1-3,7%2]` names."""
    found: list[int] = []
    for part in filter(None, tasks.strip("[]").partition("%")[0].split(",")):
        span, _, stride = part.partition(":")
        first, _, last = span.partition("-")
        if first.isdecimal() and (last or first).isdecimal() and (stride or "1").isdecimal():
            found += range(int(first), int(last or first) + 1, max(1, int(stride or 1)))
    return found


def _folded(tasks: str) -> str:
    """Return the members as few ranges: `0-4,7`."""
    spans: list[list[int]] = []
    for number in sorted(set(_numbers(tasks))):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in spans[:8]]
    return ",".join([*shown, "..."] if len(spans) > 8 else shown)
