"""A plan is carried out: QOS and accounts first, then files, one reconfigure or restart, rules, deletions last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress

from aistation_slurm.cluster.applying.execution import Execution
from aistation_slurm.cluster.applying.lock import alone
from aistation_slurm.cluster.changes import WriteFile
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.errors import SlurmError
from aistation_slurm.slurm.connect import Slurm


def apply(plan: Plan, slurm: Slurm, *, force: bool = False) -> Iterator[str]:
    """Carry the plan out, and yield each change once it is done.

    Where slurmctld refuses the new files, or one can't be written, the old ones are put back. What was done before a
    failure stays: the next plan begins there. This is the core; `carry_out` adds what a live cluster is owed: the
    history, the look before and after, and the way back.

    Raises:
        UnsafePlan: it would kill a job or, without `force`, take away too much; nothing was done.
        SlurmError: Slurm refused a change.
    """
    plan.raise_if_unsafe(force=force)
    files = [change for change in plan.changes if isinstance(change, WriteFile)]
    execution = Execution(plan, slurm)
    with alone(files[0].path.parent) if files else nullcontext():
        try:
            for change in execution.run():
                yield str(change)
        except SlurmError:
            if execution.has_touched and not execution.is_told:
                with suppress(SlurmError):
                    execution.put_back()
            raise
