"""Jobs: what slurmctld still holds (squeue), and what slurmdbd remembers (sacct)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

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
        read=lambda text: [_queued(row) for row in rows(text, QUEUE_FIELDS, mark)],
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


def _queued(row: Row) -> Job:
    job_id, array_task = read_count(row["JobID"]), bare(row["ArrayTaskID"])
    array_job_id = read_count(row["ArrayJobID"]) if array_task else None
    work_dir, batch_host = written(row["WorkDir"]), bare(row["BatchHost"])
    het_job_id = read_count(row["HetJobID"]) or None
    return Job(
        job_id=job_id,
        array_job_id=array_job_id,
        array_task=array_task,
        name=row["Name"],
        user=row["UserName"],
        account=bare(row["Account"]),
        partition=row["Partition"],
        qos=bare(row["QOS"]),
        state=JobState.parse(row["State"]),
        reason=bare(row["Reason"]),
        nodes=bare(row["NodeList"]),
        node_count=read_count(row["NumNodes"]),
        cpus=read_count(row["NumCPUs"]),
        tres=read_tres(bare(row["tres-alloc"])),
        priority=read_count(row["PriorityLong"]),
        nice=read_integer(row["Nice"]),
        restart_count=read_count(row["RestartCnt"]),
        exit_code=read_exit_code(row["exit_code"]),
        submit_time=read_time(row["SubmitTime"]),
        eligible_time=read_time(row["EligibleTime"]),
        start_time=read_time(row["StartTime"]),
        end_time=read_time(row["EndTime"]),
        elapsed=read_duration(row["TimeUsed"]),
        time_limit=read_duration(row["TimeLimit"]),
        batch_host=batch_host,
        work_dir=work_dir,
        stdout=output_path(
            written(row["STDOUT"]),
            work_dir=work_dir,
            job_id=job_id,
            array_job_id=array_job_id,
            array_task=array_task,
            user=row["UserName"],
            name=row["Name"],
            node=batch_host,
        ),
        comment=written(row["Comment"]),
        admin_comment=written(row["admin_comment"]),
        het_job_id=het_job_id,
        het_offset=read_count(row["HetJobOffset"]),
        dependency=bare(row["Dependency"]),
        features=bare(row["Feature"]),
        prefer=bare(row["Prefer"]),
        reservation=bare(row["Reservation"]),
    )


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
