"""One look at all that tells why a job waits. What can't be asked is left out, and said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from aistation_slurm.errors import SlurmError
from aistation_slurm.jobs.why.limits import Rules
from aistation_slurm.jobs.why.shape import Shape, shape_of, usual_gpu
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Asked, Job, LimitsInUse, Node, Partition, PriorityFactors, Reservation
from aistation_slurm.slurm.states import JobState

T = TypeVar("T")
_HISTORY = timedelta(days=1)
_MOST_WAITING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A job that waits, and all around it."""

    now: datetime
    job: Job
    asked: Mapping[int, Asked] = field(default_factory=dict)
    """What this job and those that wait with it asked for, by job id."""
    script: str = ""
    """Nothing where it is another user's job."""
    queue: Sequence[Job] = ()
    """Every job that waits, runs or ends, this one too."""
    nodes: Sequence[Node] = ()
    reservations: Sequence[Reservation] = ()
    factors: Mapping[tuple[int, str], PriorityFactors] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    history: Sequence[Job] = ()
    """What ended in the same partition lately."""
    depends_on: Sequence[Job] = ()
    unseen: Sequence[str] = ()
    """What could not be asked."""

    @property
    def shape(self) -> Shape:
        """What the job asks for."""
        return shape_of(self.job, self.asked.get(self.job.job_id))

    @property
    def gpu_type(self) -> str:
        """The one type of GPU in its partition; empty where there are several."""
        return usual_gpu(self.job.partition, self.nodes)

    @property
    def partitions(self) -> Mapping[str, Partition]:
        """Every partition by its name."""
        return self.rules.partitions

    @property
    def scheduler(self) -> Mapping[str, str]:
        """SchedulerParameters: `bf_interval` -> `1`."""
        words = (word.partition("=") for word in self.config.get("SchedulerParameters", "").split(","))
        return {key.strip(): value for key, _, value in words if key.strip()}


class _Asking:
    """Asks one question after the other, and keeps what could not be asked."""

    def __init__(self) -> None:
        self.unseen: list[str] = []

    def one(self, what: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except SlurmError as error:
            self.unseen.append(f"{what}: {error.text}")
            return None

    def many(self, what: str, ask: Callable[[], list[T]]) -> list[T]:
        return self.one(what, ask) or []


def look(slurm: Slurm, job_id: int, now: datetime, *, mine: str = "") -> Look:
    """Return what Slurm says of the job and of all around it; of a job of `mine`, who asks, its script too.

    Raises:
        UnknownToSlurm: there is no such job.
    """
    read, ask = slurm.read, _Asking()
    job = read.job(job_id)
    if not job.state.is_waiting:
        return Look(now=now, job=job)
    queue = ask.many("the queue", read.jobs) or [job]
    rules = Rules(
        partitions={each.name: each for each in ask.many("partitions", read.partitions)},
        qos={each.name: each for each in ask.many("QOS", read.qos)},
        associations=ask.many("associations", read.associations),
        in_use=ask.one("what is used of the limits", read.limits_in_use) or LimitsInUse(),
        running=[each for each in queue if each.state.is_running or each.state.is_leaving],
    )
    return Look(
        now=now,
        job=next((each for each in queue if each.job_id == job.job_id), job),
        asked=_asked(ask.many("what was asked for", partial(read.asked, *_waiting(job, queue)))),
        script=(ask.one("its script", lambda: read.batch_script(job.job_id)) or "") if job.user == mine else "",
        queue=queue,
        nodes=ask.many("nodes", read.nodes),
        reservations=ask.many("reservations", read.reservations),
        factors={(each.job_id, each.partition): each for each in ask.many("priorities", read.priority_factors)},
        config=ask.one("the configuration", read.config) or {},
        rules=rules,
        history=_ended(ask.many("accounting", lambda: read.history(since=now - _HISTORY)), job),
        depends_on=_depended_on(ask, slurm, job),
        unseen=ask.unseen,
    )


def _asked(found: Sequence[Asked]) -> dict[int, Asked]:
    """Return what was asked for, by job id.

    26.05 calls every job exclusive (seen on 26.05.5): where all are, it is believed of none.
    """
    is_told = any(not each.is_exclusive for each in found)
    return {each.job_id: replace(each, is_exclusive=each.is_exclusive and is_told) for each in found}


def _waiting(job: Job, queue: Sequence[Job]) -> list[int]:
    """Return the ids of this job and of those that wait, of highest priority first, no more than a plan looks at."""
    waiting = sorted((each for each in queue if each.state.is_waiting), key=lambda each: -each.priority)
    return list(dict.fromkeys([job.job_id, *(each.job_id for each in waiting[:_MOST_WAITING])]))


def _ended(history: Sequence[Job], job: Job) -> list[Job]:
    """Return the jobs of the same partition that ran until they were done, or until their time limit."""
    return [each for each in history if each.partition == job.partition and each.elapsed and _ran_out(each.state)]


def _ran_out(state: JobState) -> bool:
    return state.is_success or state is JobState.TIMEOUT


def _depended_on(ask: _Asking, slurm: Slurm, job: Job) -> list[Job]:
    ids = dependency_ids(job.dependency)
    found = (ask.one(f"job {each}", partial(slurm.read.job, each)) for each in ids)
    return [each for each in found if each]


def dependency_ids(text: str) -> list[int]:
    """Return 12 and 13 of `afterok:12(unfulfilled),afterany:13_*+5(failed)`."""
    ids: list[int] = []
    for part in text.replace("?", ",").split(","):
        _, colon, rest = part.partition(":")
        number = rest.partition("(")[0].partition("_")[0].partition("+")[0]
        if colon and number.isdecimal():
            ids.append(int(number))
    return list(dict.fromkeys(ids))
