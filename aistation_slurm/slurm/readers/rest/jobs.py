"""Jobs that slurmctld holds: `/slurm/.../jobs`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.output_path import output_path
from aistation_slurm.slurm.readers.rest.values import (
    Record,
    bare,
    count,
    exit_code,
    get,
    is_infinite,
    limit,
    minutes,
    moment,
    number,
    records,
    text,
    tres,
    words,
)
from aistation_slurm.slurm.states import JobState

# The word that Slurm prints for a job is that of the first flag in this order (job_state_string, 22.05 to 26.05).
_FLAGS = (
    "COMPLETING", "STAGE_OUT", "CONFIGURING", "EXPEDITING", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "SPECIAL_EXIT", "STOPPED", "REVOKED", "RESV_DEL_HOLD", "SIGNALING",
)  # fmt: skip


def read_jobs(said: Record, *, now: datetime) -> list[Job]:
    """Return the jobs of the answer, those that are over too."""
    return [_job(each, now) for each in records(get(said, "jobs"))]


def job_state(value: object) -> JobState:
    """Return the one state of `RUNNING`, or of `["RUNNING", "COMPLETING"]`, that Slurm's commands print."""
    said = words(value)
    first = next((flag for flag in _FLAGS if flag in said), said[0] if said else "")
    return JobState.parse(first)


def _job(job: Record, now: datetime) -> Job:
    array_job_id, array_task = _array(job)
    given = tres(get(job, "tres_alloc_str")) or tres(get(job, "tres_req_str"))
    state, het_job_id = job_state(get(job, "job_state")), count(get(job, "het_job_id"))
    return Job(
        job_id=count(get(job, "job_id")),
        array_job_id=array_job_id,
        array_task=array_task,
        name=text(get(job, "name")),
        user=text(get(job, "user_name")),
        account=bare(get(job, "account")),
        partition=text(get(job, "partition")),
        qos=bare(get(job, "qos")),
        state=state,
        reason=bare(get(job, "state_description")) or bare(get(job, "state_reason")),
        nodes=bare(get(job, "nodes")),
        node_count=count(get(job, "node_count")),
        cpus=count(get(job, "cpus")) or given.get("cpu", 0),  # v0.0.38 leaves it out with the number of tasks
        tres=given,
        priority=count(get(job, "priority")),
        nice=_nice(get(job, "nice")),
        restart_count=count(get(job, "restart_cnt")),
        exit_code=exit_code(get(job, "exit_code")),
        submit_time=moment(get(job, "submit_time")),
        eligible_time=moment(get(job, "eligible_time")),
        start_time=moment(get(job, "start_time")),
        end_time=_end_time(job, now),
        elapsed=_elapsed(job, state, now),
        time_limit=minutes(get(job, "time_limit")),
        batch_host=bare(get(job, "batch_host")) if get(job, "batch_flag") else "",
        work_dir=text(get(job, "current_working_directory")),
        stdout=_stdout(job, array_job_id, array_task),
        comment=text(get(job, "comment")),
        admin_comment=text(get(job, "admin_comment")),
        het_job_id=het_job_id or None,
        het_offset=count(get(job, "het_job_offset")) if het_job_id else 0,
        dependency=bare(get(job, "dependency")),
        features=bare(get(job, "features")),
        prefer=bare(get(job, "prefer")),
        reservation=bare(get(job, "resv_name")),
    )


def _array(job: Record) -> tuple[int | None, str]:
    """Return the array's id and the member's number, or those that wait together; of no array None."""
    waiting, one = text(get(job, "array_task_string")), limit(get(job, "array_task_id"))
    if not waiting and one is None:
        return None, ""
    return count(get(job, "array_job_id")), waiting or str(one)


def _nice(value: object) -> int:
    """Return the nice value; below zero v0.0.38 tells it as a 32-bit number without a sign."""
    nice = number(value) or 0
    return nice - 2**32 if nice >= 2**31 else nice


def _end_time(job: Record, now: datetime) -> datetime | None:
    """Return the end, real or expected; None where there is no time limit, as squeue has it."""
    end = moment(get(job, "end_time"))
    return None if end and end > now and is_infinite(get(job, "time_limit")) else end


def _elapsed(job: Record, state: JobState, now: datetime) -> timedelta:
    """Return how long it ran, without the time that it was suspended (squeue's `job_time_used`)."""
    start, end = moment(get(job, "start_time")), moment(get(job, "end_time"))
    before = timedelta(seconds=count(get(job, "pre_sus_time")))
    if start is None or state.is_waiting:
        return timedelta()
    if state is JobState.SUSPENDED:
        return before
    until = now if state.is_running or end is None else end
    resumed = moment(get(job, "suspend_time"))
    return max((until - resumed) + before if resumed else until - start, timedelta()) // _SECOND * _SECOND


def _stdout(job: Record, array_job_id: int | None, array_task: str) -> str:
    """Return the file that its script prints to; v0.0.38 has nothing for the default, v0.0.40 to 42 fill in."""
    work_dir, job_id = text(get(job, "current_working_directory")), count(get(job, "job_id"))
    given = text(get(job, "standard_output")) or f"{work_dir}/slurm-{job_id}.out"
    return output_path(
        given if get(job, "batch_flag") else "",
        work_dir=work_dir,
        job_id=job_id,
        array_job_id=array_job_id,
        array_task=array_task,
        user=text(get(job, "user_name")),
        name=text(get(job, "name")),
        node=bare(get(job, "batch_host")),
    )


def now_utc() -> datetime:
    """Return now, as Slurm counts: in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


_SECOND = timedelta(seconds=1)
