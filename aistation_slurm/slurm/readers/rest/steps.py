"""Steps that slurmdbd remembers: `/slurmdb/.../jobs` with its steps, from v0.0.40 on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from aistation_slurm.slurm.model import JobStep, StepUsage
from aistation_slurm.slurm.readers.rest.jobs import job_state
from aistation_slurm.slurm.readers.rest.values import (
    Record,
    bare,
    count,
    exit_code,
    get,
    moment,
    records,
    seconds,
    text,
    tres,
)
from aistation_slurm.slurm.tres import Tres

_BYTES = frozenset({"mem", "vmem", "gres/gpumem"})
"""What a step used is counted in bytes, and in milliseconds of CPU (jobacct_gather)."""


def read_step_history(said: Record) -> list[JobStep]:
    """Return the steps of the answer's jobs."""
    return [step for job in records(get(said, "jobs")) for step in _steps(job)]


def _steps(job: Record) -> Iterator[JobStep]:
    for step in records(get(job, "steps")):
        allocated, end_time = tres(get(step, "tres", "allocated")), moment(get(step, "time", "end"))
        yield JobStep(
            job_id=count(get(job, "job_id")),
            step_id=text(get(step, "step", "id")).partition(".")[2],
            name=text(get(step, "step", "name")),
            state=job_state(get(step, "state")),
            nodes=bare(get(step, "nodes", "range")),
            node_count=count(get(step, "nodes", "count")),
            cpus=allocated.get("cpu", 0),
            tasks=count(get(step, "tasks", "count")),
            tres=allocated,
            start_time=moment(get(step, "time", "start")),
            end_time=end_time,
            elapsed=seconds(get(step, "time", "elapsed")),
            exit_code=exit_code(get(step, "exit_code")),
            usage=_usage(step, is_over=end_time is not None),
        )


def _usage(step: Record, *, is_over: bool) -> StepUsage:
    """Return what it used; `requested` is what the API calls sacct's TRESUsageIn."""
    most, total = _used(get(step, "tres", "requested", "max")), _used(get(step, "tres", "requested", "total"))
    milliseconds = count(get(step, "time", "total", "microseconds")) // 1000
    of_cpu = timedelta(seconds=count(get(step, "time", "total", "seconds")), milliseconds=milliseconds)
    return StepUsage(
        cpu_time=of_cpu if is_over else None,
        max_rss=most.get("mem"),
        tres_max=most,
        tres_total=total,
    )


def _used(value: object) -> Tres:
    return {name: _in_our_unit(name, amount) for name, amount in tres(value).items()}


def _in_our_unit(name: str, amount: int) -> int:
    return amount // 1000 if name == "cpu" else amount // 1024**2 if name in _BYTES else amount
