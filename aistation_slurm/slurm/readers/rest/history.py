"""Jobs that slurmdbd remembers: `/slurmdb/.../jobs`, from v0.0.40 on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.readers.rest.arrays import spell_tasks
from aistation_slurm.slurm.readers.rest.client import Query
from aistation_slurm.slurm.readers.rest.jobs import job_state
from aistation_slurm.slurm.readers.rest.values import (
    Record,
    bare,
    count,
    exit_code,
    get,
    limit,
    minutes,
    moment,
    records,
    seconds,
    text,
    tres,
)

MONTHS = timedelta(days=90)
"""How far a question without a beginning goes back, as with sacct."""


UNCUT = ("disable_truncate_usage_time", "true")
"""Without it what runs is told to end now."""


def history_query(
    *, user: str | None, since: datetime | None, job_ids: Sequence[int], duplicates: bool, now: datetime
) -> Query:
    """Return the query for these jobs, without their steps, the times of those that run as they are.

    `uts` before seconds since 1970 is the one date that every version takes: up to v0.0.41 a bare number is none.
    """
    begin = since or (None if job_ids else now - MONTHS)
    return (
        ("skip_steps", "true"),
        UNCUT,
        *((("start_time", f"uts{int(begin.timestamp())}"),) if begin else ()),
        *((("users", user),) if user else ()),
        *(("step", str(job_id)) for job_id in job_ids),
        *((("show_duplicates", "true"),) if duplicates else ()),
    )


def read_history(said: Record) -> list[Job]:
    """Return the jobs of the answer."""
    return [_job(each) for each in records(get(said, "jobs"))]


def _job(job: Record) -> Job:
    array_job_id, array_task = _array(job)
    allocated, requested = tres(get(job, "tres", "allocated")), tres(get(job, "tres", "requested"))
    het_job_id = count(get(job, "het", "job_id"))
    return Job(
        job_id=count(get(job, "job_id")),
        array_job_id=array_job_id,
        array_task=array_task,
        name=text(get(job, "name")),
        user=text(get(job, "user")),
        account=text(get(job, "account")),
        partition=text(get(job, "partition")),
        qos=text(get(job, "qos")),
        state=job_state(get(job, "state", "current")),
        reason=bare(get(job, "state", "reason")),
        nodes=bare(get(job, "nodes")),
        node_count=count(get(job, "allocation_nodes")) or (allocated or requested).get("node", 0),
        cpus=allocated.get("cpu", 0),
        tres=allocated or requested,
        priority=count(get(job, "priority")),
        exit_code=exit_code(get(job, "exit_code")),
        submit_time=moment(get(job, "time", "submission")),
        eligible_time=moment(get(job, "time", "eligible")),
        start_time=moment(get(job, "time", "start")),
        end_time=moment(get(job, "time", "end")),
        elapsed=seconds(get(job, "time", "elapsed")),
        time_limit=minutes(get(job, "time", "limit")),
        work_dir=text(get(job, "working_directory")),
        comment=text(get(job, "comment", "job")),
        admin_comment=text(get(job, "comment", "administrator")),
        het_job_id=het_job_id or None,
        het_offset=count(get(job, "het", "job_offset")) if het_job_id else 0,
        features=text(get(job, "constraints")),
        reservation=text(get(job, "reservation", "name")),
    )


def _array(job: Record) -> tuple[int | None, str]:
    """Return the array's id and the member's number, or `[1-9%2]` of those that wait together; of no array None."""
    at_once = count(get(job, "array", "limits", "max", "running", "tasks"))
    waiting, one = spell_tasks(text(get(job, "array", "task")), at_once=at_once), limit(get(job, "array", "task_id"))
    if not waiting and one is None:
        return None, ""
    return count(get(job, "array", "job_id")), f"[{waiting}]" if waiting else str(one)
