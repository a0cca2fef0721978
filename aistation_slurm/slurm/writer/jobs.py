"""Orders about jobs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from aistation_slurm.errors import InvalidRequest
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.refusals import complaints_in, what_it_said
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.sbatch import Batch, sbatch
from aistation_slurm.slurm.units import write_duration, write_time
from aistation_slurm.slurm.writer.orders import Orders, one_name

_OVER = re.compile(
    r"already completing or completed|invalid job id specified|already finished|no active jobs match all job filters",
    re.IGNORECASE,
)
_TOLD = re.compile(r"^scancel: (?:Terminating|Signal \d+ to) ", re.MULTILINE)
_IN_THE_QUEUE = re.compile(r"job is pending execution", re.IGNORECASE)
_TASKS = re.compile(r"(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9})(?::(?P<stride>[0-9]{1,9}))?)?")
_ODD = "\ufffd"
"""Stands in a name for a byte that is no UTF-8."""


class JobChanges(TypedDict, total=False):
    """What can be changed about a job; what is not named stays as it is."""

    priority: int
    """0 holds it; only an operator may raise it."""
    nice: int
    site_factor: int
    """Added to its priority at once, while it waits."""
    time_limit: timedelta | None
    """None is no limit. Slurm counts whole minutes."""
    start_time: datetime
    """Before it the job may not start."""
    start_now: Literal[True]
    """Lift the wait after a requeue, once the job is PENDING with reason BeginTime.

    Not within 1.2 s of the order that ended its run: a node that was told to end it refuses a credential of the same
    second, and slurmctld then ends the job as FAILED (slurm_cred.c; 17 of 25 on 22.05.8, none after the wait).
    """
    prefer: str
    """Features that nodes had better have; empty takes the wish back."""
    features: str
    """Features that nodes must have."""
    account: str
    partition: str
    qos: str
    reservation: str
    dependency: str
    """Empty takes it back."""
    name: str
    comment: str
    admin_comment: str
    requeue: bool
    """Whether it may be put back into the queue."""
    array_task_throttle: int
    """How many members of an array may run at once; 0 is all of them."""


def _yes_or_no(value: bool) -> str:
    return "1" if value else "0"


_WORDS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "priority": ("Priority", str),
    "nice": ("Nice", str),
    "site_factor": ("SiteFactor", str),
    "time_limit": ("TimeLimit", write_duration),
    "start_time": ("StartTime", write_time),
    "start_now": ("StartTime", lambda _: "now"),
    "prefer": ("Prefer", str),
    "features": ("Features", str),
    "account": ("Account", str),
    "partition": ("Partition", str),
    "qos": ("QOS", str),
    "reservation": ("ReservationName", str),
    "dependency": ("Dependency", str),
    "name": ("JobName", str),
    "comment": ("Comment", str),
    "admin_comment": ("AdminComment", str),
    "requeue": ("Requeue", _yes_or_no),
    "array_task_throttle": ("ArrayTaskThrottle", str),
}


class JobOrders(Orders):
    """Submits, cancels and changes jobs. Where a job is named by a number, an array's number means all of it."""

    def sbatch(self, script: str, *options: str, cwd: Path | None = None) -> int:
        """Return the id of the job that was made of the script; `cwd` is where it starts.

        After `SlurmUnreachable` the job may be there all the same: look for it before it is submitted again.
        """
        return sbatch(self._runner, Batch(text=script, options=options, cwd=cwd), timeout=self._timeout).job_id

    def sbatch_test(self, script: str, *options: str) -> str:
        """Return when and where the job would start; nothing is submitted, but every plugin is asked."""
        return what_it_said(self._order(("sbatch", "--test-only", *options), stdin=script))

    def scancel(self, *jobs: Job, signal: str | None = None) -> bool:
        """Cancel these jobs, or only signal them; False where all of them were over already.

        Each is named by its id, its user and its name together: ids are given out anew after a while, and another's
        job of the same id is never hit. A member of an array is that member alone; the first part of a heterogeneous
        job is all of it.

        Raises:
            ValueError: no job is named: that would mean all of them.
            InvalidRequest: a later part of a heterogeneous job, which can't be ended alone, or a job without a user.
        """
        if not jobs:
            raise ValueError("scancel without a job would cancel every job")
        what = ("--signal", signal) if signal else ()
        alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for job in jobs:
            alike[_whose(job)].append(selector(job))
        done = [
            self._order(("scancel", "--verbose", *whose, *what, *names), is_done=_is_over)
            for whose, names in alike.items()
        ]
        return any(_TOLD.search(each.stderr) for each in done)

    def requeue(self, job: Job | int, *, hold: bool = False) -> bool:
        """Put a running or ended job back into the queue, to wait there for its release with `hold`.

        False where it stood in the queue already.
        """
        order = "requeuehold" if hold else "requeue"
        done = self._order(("scontrol", order, selector(job)), is_done=None if hold else _is_in_the_queue)
        return not done.returncode

    def hold(self, job: Job | int) -> None:
        """Keep a waiting job from starting."""
        self._order(("scontrol", "hold", selector(job)))

    def release(self, job: Job | int) -> None:
        """Let a held job start again."""
        self._order(("scontrol", "release", selector(job)))

    def update_job(self, job: Job | int, **changes: Unpack[JobChanges]) -> None:
        """Change a job.

        Raises:
            ValueError: no change is named.
        """
        if not changes:
            raise ValueError("nothing is to be changed")
        words = (f"{word}={write(changes[key])}" for key, (word, write) in _WORDS.items() if key in changes)  # type: ignore[literal-required]
        self._order(("scontrol", "update", f"JobId={selector(job)}", *words))

    def exclude_nodes(self, job: Job | int, *nodes: str) -> None:
        """Keep a waiting job from these nodes, beside those that it was kept from already.

        `ExcNodeList=` takes the place of what was there (man scontrol), which squeue tells only by its `-o`.

        Raises:
            InvalidRequest: the job asks for one of them by name, and could never run.
        """
        ask = ("squeue", "-a", "-h", "-t", "all", "-j", selector(job), "-o", "%n %x")
        wanted, _, before = self._order(ask).stdout.split("\n")[0].partition(" ")
        from aistation_slurm.slurm.nodelist import expand  # noqa: PLC0415  (who submits doesn't pay for it)

        if named := set(nodes) & set(expand(_given(wanted))):
            raise InvalidRequest(f"the job asks for {', '.join(sorted(named))} by name")
        listed = ",".join(filter(None, (_given(before), *(one_name("node", each) for each in nodes))))
        self._order(("scontrol", "update", f"JobId={selector(job)}", f"ExcNodeList={listed}"))


def _given(cell: str) -> str:
    """Return what stands in a cell of squeue, which is `(null)` where nothing was asked for."""
    return "" if cell.strip() == "(null)" else cell.strip()


def selector(job: Job | int) -> str:
    """Return what names the job on a command line: `7`; of an array this member alone, `7_3`, `7_[4-9]`.

    The last member of an array has the array's own id: by that number alone all members would be meant.

    Raises:
        InvalidRequest: a later part of a heterogeneous job; only the first one stands for it.
    """
    if isinstance(job, int):
        return str(job)
    if job.het_job_id is not None and job.het_offset:
        raise InvalidRequest(
            f"job {job.job_id} is a part of {job.het_job_id}", hint=f"name {job.het_job_id}, its first part"
        )
    if job.array_job_id is None or not job.array_task:
        return str(job.job_id)
    tasks = _tasks(job.array_task)
    return f"{job.array_job_id}_{tasks}" if tasks.isdecimal() else f"{job.array_job_id}_[{tasks}]"


def _tasks(text: str) -> str:
    """Return the members in `[0-9:3,12%2]` as `0,3,6,9,12`: neither scancel nor scontrol takes a stride or a limit.

    Raises:
        InvalidRequest: it is cut short, or no list of members.
    """
    parts = text.strip("[]").partition("%")[0].split(",")
    found = [_TASKS.fullmatch(part) for part in parts]
    if not all(found):
        raise InvalidRequest(f"{text!r} is no list of an array's members")
    return ",".join(_without_stride(match) for match in found if match)


def _without_stride(match: re.Match[str]) -> str:
    if match["stride"] is None:
        return match[0]
    return ",".join(map(str, range(int(match["first"]), int(match["last"]) + 1, max(1, int(match["stride"])))))


def _whose(job: Job) -> tuple[str, ...]:
    """Return the filters that only this job's kin pass; a name with bytes that we could not read is left out."""
    if not job.user:
        raise InvalidRequest(f"job {job.job_id} has no user")
    name = () if _ODD in job.name else (f"--name={job.name}",)
    return (f"--user={job.user}", *name)


def _is_over(done: Completed) -> bool:
    """True where scancel only complains that jobs are gone already."""
    complaints = re.findall(r"^scancel: error: (.*)", done.stderr, re.MULTILINE)  # a job's name may hold line breaks
    return bool(complaints) and all(_OVER.search(each) for each in complaints)


def _is_in_the_queue(done: Completed) -> bool:
    complaints = complaints_in(done.stderr)
    return bool(complaints) and all(_IN_THE_QUEUE.search(line) for line in complaints)
