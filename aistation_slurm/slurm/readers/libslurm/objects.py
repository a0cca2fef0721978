"""pyslurm's objects as our models, in the worker: the only file that imports it (GPL-2.0-only, an extra).

Only what comes out as the commands give it stands here. What pyslurm 25.11 loses on its way is in docs/decisions/012.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aistation_slurm.errors import SlurmError, SlurmMissing, SlurmUnreadable
from aistation_slurm.slurm.model import Diag, JobStep, RpcCount, TresKind
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import Tres

if TYPE_CHECKING:
    import pyslurm

_MADE_BY_SLURM = frozenset({"batch", "extern", "interactive"})


class PySlurm:
    """The questions that pyslurm answers whole."""

    def __init__(self) -> None:
        """Import pyslurm, which opens libslurm; without a usable slurm.conf this ends the process."""
        try:
            self._pyslurm = import_module("pyslurm")
        except ImportError as error:
            raise SlurmMissing(f"pyslurm can't be used: {error}", where="pyslurm") from error

    def steps(self) -> list[JobStep]:
        """Return the steps that run; pending ones have no number yet, and squeue leaves them out too."""
        jobs = self._asked(self._pyslurm.JobSteps.load_all)
        return [self._step(step) for steps in jobs.values() for step in steps.values() if _is_started(step)]

    def diag(self) -> Diag:
        """Return what slurmctld counts."""
        return _diag(self._asked(self._pyslurm.slurmctld.Statistics.load))

    def tres(self) -> list[TresKind]:
        """Return what slurmdbd counts, in the order of its numbers."""
        known = self._asked(self._pyslurm.db.TrackableResources.load)
        found = [
            TresKind(
                tres_id=each.id, type=each.type_and_name.partition("/")[0], name=each.type_and_name.partition("/")[2]
            )
            for each in _each_tres(known)
        ]
        return sorted(found, key=lambda kind: kind.tres_id)

    def _step(self, step: pyslurm.JobStep) -> JobStep:
        nodes = ",".join(step.allocated_nodes)
        return JobStep(
            job_id=step.job_id,
            step_id=str(step.id),
            name=_text(lambda: step.name) or "None",  # pyslurm takes this very word for none, and a step has a name
            state=JobState.parse(step.state or ""),
            nodes=nodes,
            node_count=len(self._pyslurm.utils.nodelist_from_range_str(nodes)) if nodes else 0,
            cpus=_step_cpus(step),
            tasks=step.ntasks,
            tres=_tres(step.tres),
            start_time=_time(step.start_time),
            elapsed=timedelta(seconds=step.run_time),
        )

    def _asked(self, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except self._pyslurm.RPCError as error:
            raise _refusal(error.msg or str(error)) from error


def _step_cpus(step: pyslurm.JobStep) -> int:
    """Return the step's CPUs; slurmctld counts none for the steps that it makes itself, which pyslurm takes for one."""
    return 0 if step.cpus == 1 and step.id in _MADE_BY_SLURM else step.cpus


def _is_started(step: pyslurm.JobStep) -> bool:
    return bool(step.id != "pending")


def _diag(counted: pyslurm.slurmctld.Statistics) -> Diag:
    return Diag(
        since=_time(counted.data_since),
        threads=counted.server_thread_count,
        agent_queue=counted.agent_queue_size,
        dbd_agent_queue=counted.dbd_agent_queue_size,
        jobs_submitted=counted.jobs_submitted,
        jobs_started=counted.jobs_started,
        jobs_completed=counted.jobs_completed,
        jobs_canceled=counted.jobs_canceled,
        jobs_failed=counted.jobs_failed,
        jobs_pending=counted.jobs_pending,
        jobs_running=counted.jobs_running,
        schedule_cycle_last=timedelta(microseconds=counted.schedule_cycle_last),
        schedule_cycle_max=timedelta(microseconds=counted.schedule_cycle_max),
        schedule_cycle_mean=_mean(counted.schedule_cycle_mean, counted.schedule_cycle_counter),
        backfill_cycle_last=timedelta(microseconds=counted.backfill_cycle_last),
        backfill_cycle_max=timedelta(microseconds=counted.backfill_cycle_max),
        backfilled_jobs=counted.backfilled_jobs,
        rpcs=_sorted(_of_message(each) for each in counted.rpcs_by_type.values()),
        rpcs_of_users=_sorted(_of_user(each) for each in counted.rpcs_by_user.values()),
    )


def _of_message(counted: pyslurm.slurmctld.RPCType) -> RpcCount:
    return RpcCount(name=counted.name, count=counted.count, total_time=timedelta(microseconds=counted.time))


def _of_user(counted: pyslurm.slurmctld.RPCUser) -> RpcCount:
    return RpcCount(name=counted.user_name, count=counted.count, total_time=timedelta(microseconds=counted.time))


def _sorted(counts: Iterator[RpcCount]) -> tuple[RpcCount, ...]:
    """Return them most often asked first, as our reader of sdiag does."""
    return tuple(sorted(counts, key=lambda each: (-each.count, each.name)))


def _mean(microseconds: int, cycles: int) -> timedelta | None:
    """Return the time; None before the first cycle, when sdiag prints none."""
    return timedelta(microseconds=microseconds) if cycles else None


def _each_tres(known: pyslurm.db.TrackableResources) -> Iterator[Any]:
    """Yield each resource: the built-in ones are attributes, the named ones stand in mappings."""
    single = (known.cpu, known.mem, known.energy, known.node, known.billing, known.vmem, known.pages)
    yield from (each for each in single if each)
    for named in (known.fs, known.gres, known.license, known.interconnect, known.other):
        yield from named.values()


def _tres(known: pyslurm.db.TrackableResources | None) -> Tres:
    return dict(_amount(each) for each in _each_tres(known)) if known else {}


def _amount(each: pyslurm.db.TrackableResource | pyslurm.db.GPU) -> tuple[str, int]:
    return each.type_and_name, each.count


def _kind(each: pyslurm.db.TrackableResource | pyslurm.db.GPU) -> TresKind:
    """A GPU's own `type` is that of the card: its kind is what stands before the bar."""
    kind, _, name = each.type_and_name.partition("/")
    return TresKind(tres_id=each.id, type=kind, name=name)


def _text(read: Callable[[], str | None]) -> str:
    """Return the text; nothing for none, and U+FFFD for what is not UTF-8, as our runner reads it."""
    try:
        return read() or ""
    except UnicodeDecodeError as error:
        return error.object.decode(errors="replace")


def _time(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _refusal(said: str) -> SlurmError:
    """Return the error that a command would have ended with, by Slurm's own words."""
    if not said:
        return SlurmUnreadable("no reason given", where="pyslurm")
    return refusal(("pyslurm",), Completed(1, "", said))
