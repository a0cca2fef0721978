"""slurmctld itself: `/slurm/.../diag` and `/slurm/.../ping`."""

from __future__ import annotations

from datetime import timedelta

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.model import Controller, Diag, RpcCount
from aistation_slurm.slurm.readers.rest.values import (
    Record,
    count,
    either,
    get,
    limit,
    microseconds,
    moment,
    record,
    records,
    text,
)


def read_diag(said: Record) -> Diag:
    """Return the counters of the answer."""
    counted = record(get(said, "statistics"))
    return Diag(
        since=moment(get(counted, "req_time_start")),
        threads=count(get(counted, "server_thread_count")),
        agent_queue=count(get(counted, "agent_queue_size")),
        dbd_agent_queue=count(get(counted, "dbd_agent_queue_size")),
        jobs_submitted=count(get(counted, "jobs_submitted")),
        jobs_started=count(get(counted, "jobs_started")),
        jobs_completed=count(get(counted, "jobs_completed")),
        jobs_canceled=count(get(counted, "jobs_canceled")),
        jobs_failed=count(get(counted, "jobs_failed")),
        jobs_pending=count(get(counted, "jobs_pending")),
        jobs_running=count(get(counted, "jobs_running")),
        schedule_cycle_last=microseconds(get(counted, "schedule_cycle_last")),
        schedule_cycle_max=microseconds(get(counted, "schedule_cycle_max")),
        schedule_cycle_mean=_mean(counted),
        backfill_cycle_last=microseconds(get(counted, "bf_cycle_last")),
        backfill_cycle_max=microseconds(get(counted, "bf_cycle_max")),
        backfilled_jobs=count(get(counted, "bf_backfilled_jobs")),
        rpcs=_rpcs(get(counted, "rpcs_by_message_type"), "message_type"),
        rpcs_of_users=_rpcs(get(counted, "rpcs_by_user"), "user"),
    )


def read_clock(said: Record) -> int:
    """Return the time on slurmctld's clock when it answered, in seconds since 1970.

    Raises:
        SlurmUnreadable: the answer tells none.
    """
    seconds = limit(get(said, "statistics", "req_time"))
    if not seconds:
        raise SlurmUnreadable("slurmctld told no time")
    return seconds


def read_controllers(said: Record) -> list[Controller]:
    """Return every slurmctld of slurm.conf, and whether it answered slurmrestd."""
    return [_controller(each) for each in records(get(said, "pings"))]


def _mean(counted: Record) -> timedelta | None:
    """Return the mean of the cycles; None before the first one."""
    return microseconds(get(counted, "schedule_cycle_mean")) if count(get(counted, "schedule_cycle_total")) else None


def _rpcs(value: object, name: str) -> tuple[RpcCount, ...]:
    """Return the counts, most often asked first."""
    counts = [
        RpcCount(
            name=text(get(each, name)),
            count=count(get(each, "count")),
            total_time=microseconds(get(each, "total_time")),
        )
        for each in records(value)
    ]
    return tuple(sorted(counts, key=lambda each: (-each.count, each.name)))


def _controller(ping: Record) -> Controller:
    """Return one slurmctld; `primary` and `responding` from v0.0.41 on, words before."""
    is_up = either(ping, "responding", "pinged", "ping")
    is_primary = either(ping, "primary", "mode")
    return Controller(
        host=text(get(ping, "hostname")),
        is_up=is_up if isinstance(is_up, bool) else is_up == "UP",
        is_primary=is_primary if isinstance(is_primary, bool) else is_primary == "primary",
    )
