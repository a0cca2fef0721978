"""Jobs: what slurmctld still holds (squeue), and what slurmdbd remembers (sacct)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from aistation_slurm.slurm.commands.columns import Table, built, once, whole
from aistation_slurm.slurm.commands.command import Command, Row, bare, fresh_mark, rows, written
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.output_path import output_path
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.slurm.units import read_count, read_duration, read_exit_code, read_integer, read_time

QUEUE_FIELDS = (
    "JobID", "ArrayJobID", "ArrayTaskID", "Name", "UserName", "Account", "Partition", "QOS", "State", "Reason",
    "NodeList", "NumNodes", "NumCPUs", "tres-alloc", "PriorityLong", "Nice", "RestartCnt", "exit_code", "SubmitTime",
    "EligibleTime", "StartTime", "EndTime", "TimeUsed", "TimeLimit", "BatchHost", "WorkDir", "STDOUT", "Comment",
    "admin_comment", "HetJobID", "HetJobOffset", "Dependency", "Feature", "Prefer", "Reservation",
)  # fmt: skip
HISTORY_FIELDS = (
    "JobID", "JobIDRaw", "JobName", "User", "Account", "Partition", "QOS", "State", "Reason", "NodeList", "NNodes",
    "NCPUS", "AllocTRES", "ReqTRES", "Priority", "ExitCode", "Submit", "Eligible", "Start", "End", "ElapsedRaw",
    "TimelimitRaw", "WorkDir", "Comment", "AdminComment", "Constraints", "Reservation",
)  # fmt: skip
MONTHS = timedelta(days=90)


def squeue(*job_ids: int, with_over: bool = False) -> Command[list[Job]]:
    """The jobs that slurmctld holds: those not over yet, or also those that it has not forgotten yet.

    `-O` with explicit fields, not `--json`: on 22.05 that is 12 times slower, ignores every filter, and its shape
    differs from version to version. A field with a suffix and no width is printed whole (squeue's `_print_str`).
    """
    mark = fresh_mark()
    only = ("-j", ",".join(map(str, job_ids))) if job_ids else ()
    states = ("-t", "all") if with_over else ()
    fields = ",".join(f"{field}:{mark}" for field in QUEUE_FIELDS)
    return Command(
        ("squeue", "-a", "-h", *states, *only, "-O", fields),
        read=lambda text: whole(_Queue(mark), text),
        reading=lambda: _Queue(mark),
    )


def show_job(job_id: int) -> Command[list[Job]]:
    """The job, also when it is over; of an array or a heterogeneous job all members."""
    return squeue(job_id, with_over=True)


def history(
    *, user: str | None = None, since: datetime | None = None, job_ids: Sequence[int] = (), duplicates: bool = False
) -> Command[list[Job]]:
    """The jobs that slurmdbd remembers, without their steps; with `duplicates` a row for each run of a requeued job.

    Without `since` sacct would only look at the last midnight, unless jobs are named: the last 90 days are asked for.
    `uts` before seconds since 1970 is the one date that needs no time zone (slurm's parse_time).
    """
    mark = fresh_mark()
    when = ("-S", f"uts{int(since.timestamp())}") if since else () if job_ids else ("-S", f"now-{MONTHS.days}days")
    argv = (
        *("sacct", "-X", "-n", "-p", "--delimiter", mark, *when),
        *(("-u", user) if user else ("-a",)),
        *(("-j", ",".join(map(str, job_ids))) if job_ids else ()),
        *(("-D",) if duplicates else ()),
        *("-o", ",".join(HISTORY_FIELDS)),
    )
    return Command(argv, read=lambda text: [_remembered(row) for row in rows(text, HISTORY_FIELDS, mark)])


class _Queue:
    """Reads the jobs that squeue prints, while it prints them."""

    def __init__(self, mark: str) -> None:
        self._table = Table(QUEUE_FIELDS, mark)
        self._read = {field: once(read) for field, read in _READS.items()}
        self._jobs: list[Job] = []

    def feed(self, text: str) -> None:
        if cells := self._table.feed(text):
            said: dict[str, list[Any]] = {field: list(map(self._read[field], cells[field])) for field in self._read}
            self._jobs += built(Job, _values(said), len(said["JobID"]))

    def end(self) -> list[Job]:
        self._table.end()
        return self._jobs


# How the cells of each field are read.
_READS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("JobID", "ArrayJobID", "NumNodes", "NumCPUs", "PriorityLong", "RestartCnt"), read_count),
    **dict.fromkeys(("HetJobID", "HetJobOffset"), read_count),
    **dict.fromkeys(("ArrayTaskID", "Account", "QOS", "Reason", "NodeList", "BatchHost", "Dependency"), bare),
    **dict.fromkeys(("Feature", "Prefer", "Reservation"), bare),
    **dict.fromkeys(("Name", "UserName", "Partition"), str),  # as they are, but one text for all that are equal
    **dict.fromkeys(("WorkDir", "STDOUT", "Comment", "admin_comment"), written),
    **dict.fromkeys(("SubmitTime", "EligibleTime", "StartTime", "EndTime"), read_time),
    **dict.fromkeys(("TimeUsed", "TimeLimit"), read_duration),
    "State": JobState.parse,
    "Nice": read_integer,
    "exit_code": read_exit_code,
    "tres-alloc": lambda text: read_tres(bare(text)),
}
_FIELD_OF: Mapping[str, str] = {
    "job_id": "JobID", "array_task": "ArrayTaskID", "name": "Name", "user": "UserName", "account": "Account",
    "partition": "Partition", "qos": "QOS", "state": "State", "reason": "Reason", "nodes": "NodeList",
    "node_count": "NumNodes", "cpus": "NumCPUs", "priority": "PriorityLong", "nice": "Nice",
    "restart_count": "RestartCnt", "exit_code": "exit_code", "submit_time": "SubmitTime",
    "eligible_time": "EligibleTime", "start_time": "StartTime", "end_time": "EndTime", "elapsed": "TimeUsed",
    "time_limit": "TimeLimit", "batch_host": "BatchHost", "work_dir": "WorkDir", "comment": "Comment",
    "admin_comment": "admin_comment", "het_offset": "HetJobOffset", "dependency": "Dependency", "features": "Feature",
    "prefer": "Prefer", "reservation": "Reservation",
}  # fmt: skip


def _values(said: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the values of each of `Job`'s fields."""
    pairs = zip(said["ArrayJobID"], said["ArrayTaskID"], strict=True)
    arrays = [array if task else None for array, task in pairs]
    return {name: said[field] for name, field in _FIELD_OF.items()} | {
        "array_job_id": arrays,
        "het_job_id": [het_job_id or None for het_job_id in said["HetJobID"]],
        "tres": [tres.copy() for tres in said["tres-alloc"]],  # each job its own
        "stdout": _stdouts(said, arrays),
    }


def _stdouts(said: Mapping[str, list[Any]], arrays: list[int | None]) -> list[str]:
    fields = ("STDOUT", "WorkDir", "JobID", "ArrayTaskID", "UserName", "Name", "BatchHost")
    several = zip(*(said[field] for field in fields), arrays, strict=True)
    return [
        output_path(
            template,
            work_dir=work_dir,
            job_id=job_id,
            array_job_id=array,
            array_task=task,
            user=user,
            name=name,
            node=node,
        )
        for template, work_dir, job_id, task, user, name, node, array in several
    ]


def _remembered(row: Row) -> Job:
    array, _, task = row["JobID"].partition("_")
    het, _, offset = row["JobID"].partition("+")
    return Job(
        job_id=read_count(row["JobIDRaw"]),
        array_job_id=read_count(array) if task else None,
        array_task=task,
        name=row["JobName"],
        user=row["User"],
        account=row["Account"],
        partition=row["Partition"],
        qos=row["QOS"],
        state=JobState.parse(row["State"]),
        reason=bare(row["Reason"]),
        nodes=bare(row["NodeList"]),
        node_count=read_count(row["NNodes"]),
        cpus=read_count(row["NCPUS"]),
        tres=read_tres(row["AllocTRES"] or row["ReqTRES"]),
        priority=read_count(row["Priority"]),
        exit_code=row["ExitCode"],
        submit_time=read_time(row["Submit"]),
        eligible_time=read_time(row["Eligible"]),
        start_time=read_time(row["Start"]),
        end_time=read_time(row["End"]),
        elapsed=timedelta(seconds=read_count(row["ElapsedRaw"])),
        time_limit=read_duration(row["TimelimitRaw"]),
        work_dir=row["WorkDir"],
        comment=row["Comment"],
        admin_comment=row["AdminComment"],
        het_job_id=read_count(het) if offset else None,
        het_offset=read_count(offset),
        features=row["Constraints"],
        reservation=row["Reservation"],
    )
