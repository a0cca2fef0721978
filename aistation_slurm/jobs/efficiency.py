"""What a job used of what it was given, and one sentence of advice; pure, from accounting alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from aistation_slurm.slurm.model import Job, JobStep
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.units import write_memory

SHORTEST = timedelta(minutes=1)
"""A job that ran shorter tells nothing: Slurm looks at its processes every 30 s."""
_SPARE = 1.5
"""So much more than was used is advised."""
_GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What one run of a job used; None is what nobody measured."""

    wall: timedelta
    time_limit: timedelta | None = None
    nodes: int = 1
    cpus: int = 0
    cpu_time: timedelta | None = None
    memory: int = 0
    """MiB that it was given, on all nodes together."""
    memory_used: int | None = None
    """MiB, the most at any time."""
    gpus: int = 0
    gpu_busy: float | None = None
    """Percent of the time, over all its GPUs."""
    gpu_memory: int = 0
    """MiB of its GPUs together, where that is known."""
    gpu_memory_used: int | None = None

    @property
    def cpus_used(self) -> float | None:
        """How many CPUs were busy on average."""
        if self.cpu_time is None or not self.wall:
            return None
        return self.cpu_time / self.wall

    @property
    def cpu_share(self) -> float | None:
        """Percent of its CPUs' time that was used."""
        return 100 * self.cpus_used / self.cpus if self.cpus_used is not None and self.cpus else None

    @property
    def memory_share(self) -> float | None:
        """Percent of its memory that was used."""
        return 100 * self.memory_used / self.memory if self.memory_used is not None and self.memory else None

    @property
    def wall_share(self) -> float | None:
        """Percent of its time limit that it ran."""
        return 100 * (self.wall / self.time_limit) if self.time_limit else None


def efficiency_of(job: Job, steps: Sequence[JobStep]) -> Efficiency:
    """Return what the job used by its steps' accounting: those of its last run."""
    own = [each for each in steps if each.job_id == job.job_id]
    times = [each.usage.cpu_time for each in own if each.usage.cpu_time is not None]
    return Efficiency(
        wall=job.elapsed or timedelta(),
        time_limit=job.time_limit,
        nodes=max(1, job.node_count),
        cpus=job.cpus,
        cpu_time=sum(times, timedelta()) if times else None,
        memory=job.tres.get("mem", 0),
        memory_used=_memory(own),
        gpus=job.gpus,
        gpu_busy=_gpu_busy(own, job.gpus),
        gpu_memory_used=max((each.usage.tres_total["gres/gpumem"] for each in own if _has_gpu(each)), default=None),
    )


def advice(used: Efficiency, state: JobState) -> str:
    """Return one sentence that says what to ask for next time; nothing where there is nothing to say.

    The most wasteful first: a GPU, then what ended the job, CPUs, memory, time.
    """
    if state is JobState.OUT_OF_MEMORY:
        return f"ran out of memory at {write_memory(used.memory)}: ask for more (--mem)"
    if state is JobState.TIMEOUT:
        return "was ended by its time limit: ask for more, or save checkpoints and let it go on from them"
    if used.wall < SHORTEST:
        return ""
    found = (_about_gpus(used), _about_cpus(used), _about_memory(used), _about_time(used, state))
    return next(filter(None, found), "")


def _memory(steps: Sequence[JobStep]) -> int | None:
    """The batch script's and the largest step's together: steps mostly run one after the other, below the script."""
    amounts = {each.step_id: each.usage.tres_total.get("mem", each.usage.max_rss) for each in steps}
    known = {step: amount for step, amount in amounts.items() if amount is not None and step != "extern"}
    if not known:
        return None
    return known.get("batch", 0) + max((amount for step, amount in known.items() if step != "batch"), default=0)


def _has_gpu(step: JobStep) -> bool:
    return "gres/gpumem" in step.usage.tres_total


def _gpu_busy(steps: Sequence[JobStep], gpus: int) -> float | None:
    """Percent of all its GPUs; Slurm gathers it from 23.11 on, where it was built with NVML."""
    busy = [each.usage.tres_total["gres/gpuutil"] for each in steps if "gres/gpuutil" in each.usage.tres_total]
    return min(100.0, max(busy) / gpus) if busy and gpus else None


def _about_gpus(used: Efficiency) -> str:
    if used.gpu_busy is None or used.gpu_busy >= 15:
        return ""
    gpus = "its GPU was" if used.gpus == 1 else f"its {used.gpus} GPUs were"
    return f"{gpus} busy {used.gpu_busy:.0f} % of the time: look for what they wait for, or ask for fewer"


def _about_cpus(used: Efficiency) -> str:
    if used.cpus_used is None or not used.cpus:
        return ""
    needed = max(1, ceil(used.cpus_used * _SPARE / used.nodes)) * used.nodes
    if used.gpus:  # every GPU's process needs one
        needed = max(needed, used.gpus)
    if needed > used.cpus * 0.75:
        return ""
    return f"used {used.cpus_used:.1f} of {used.cpus} CPUs: ask for {_each(needed, used)}"


def _each(cpus: int, used: Efficiency) -> str:
    if used.gpus and cpus % used.gpus == 0:
        return f"{cpus} (--cpus-per-gpu={cpus // used.gpus})"
    return f"{cpus // used.nodes} on each node" if used.nodes > 1 else str(cpus)


def _about_memory(used: Efficiency) -> str:
    if used.memory_used is None or not used.memory:
        return ""
    share = used.memory_used / used.memory
    needed = max(1, ceil(used.memory_used * 1.25 / used.nodes / _GIB))
    if share > 0.95:
        return f"used {_gib(used.memory_used)} of {_gib(used.memory)} memory: ask for some more, or it may run out"
    if share < 0.5 and used.memory - needed * _GIB * used.nodes >= _GIB:
        return f"used {_gib(used.memory_used)} of {_gib(used.memory)} memory: ask for --mem={needed}G"
    return ""


def _about_time(used: Efficiency, state: JobState) -> str:
    if not used.time_limit or not state.is_success or used.wall > used.time_limit * 0.3:
        return ""
    if used.time_limit - used.wall < timedelta(hours=1):
        return ""
    minutes = max(10, ceil(used.wall * _SPARE / timedelta(minutes=10)) * 10)
    limit = f"{minutes // 60}:{minutes % 60:02}:00"
    return f"ran {_clock(used.wall)} of {_clock(used.time_limit)}: with --time={limit} it may start sooner"


def _gib(mib: int) -> str:
    return f"{mib / _GIB:.1f} GiB" if mib >= _GIB else f"{mib} MiB"


def _clock(time: timedelta) -> str:
    return str(timedelta(seconds=int(time.total_seconds())))
