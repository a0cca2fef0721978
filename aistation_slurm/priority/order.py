"""The order of emergency jobs that wait: which SiteFactor makes it what somebody wants. Pure; changes nothing.

Slurm starts those of a higher priority first, of the same those of a lower number. SiteFactor is added to what the
site's weights make of a job. Jobs are only ever raised: with weights of zero, a factor below zero would be cut off at
priority 1, and change nothing (seen on 22.05.8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aistation_slurm.errors import InvalidRequest

LARGEST = 2**31 - 3
"""The largest SiteFactor: Slurm keeps it beside an offset of 2**31 (slurm.h, NICE_OFFSET)."""
MOVING = ("PriorityWeightAge", "PriorityWeightFairShare")
"""What changes in a job's priority by itself while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job that waits for its turn."""

    job_id: int
    priority: int
    site_factor: int = 0
    nice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSiteFactor:
    """A job whose place in the order is to change."""

    job_id: int
    old: int
    new: int
    why: str

    def __str__(self) -> str:
        return f"~ job {self.job_id}  SiteFactor {self.old} -> {self.new} ({self.why})"


def in_order(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Return the jobs in the order in which Slurm would start them."""
    return sorted(waiting, key=lambda job: (-job.priority, job.job_id))


def gap_of(config: Mapping[str, str]) -> int:
    """Return by how much two jobs must differ so that waiting, or their users' use, can't turn them round."""
    return 1 + sum(int(weight) for key in MOVING if (weight := config.get(key, "0")).isdigit())


def reorder(
    waiting: Sequence[Waiting], job_id: int, *, before: int | None, gap: int
) -> tuple[SetSiteFactor, ...]:  # fmt: skip
    """Return what must be set so that the job comes before the other one, or first of all where none is named.

    Nothing where it does so already. Else it goes right before the other one, and of those that were before that only
    those are raised that it would come too near to: their order stays, and nobody's priority falls.

    Raises:
        InvalidRequest: it would take a SiteFactor that Slurm can't hold.
    """
    line = in_order(waiting)
    ids = [job.job_id for job in line]
    place, target = ids.index(job_id), ids.index(before) if before is not None else 0
    if place <= target:
        return ()
    why = f"before job {before}" if before is not None else "first"
    ahead, needed = line[:target], line[target].priority + gap
    changes = [_raised(line[place], needed, why)]
    for job in reversed(ahead):
        needed += gap
        if job.priority >= needed:
            break
        changes.append(_raised(job, needed, f"stays before job {changes[-1].job_id}"))
    return tuple(changes)


def _raised(job: Waiting, needed: int, why: str) -> SetSiteFactor:
    # At priority 1 a job's nice may have been cut off: what it was before is not known, but no less than -nice.
    lacking = needed - job.priority if job.priority > 1 else needed + max(0, job.nice)
    if (factor := job.site_factor + lacking) > LARGEST:
        raise InvalidRequest(
            f"job {job.job_id} would need a SiteFactor of {factor}",
            hint=f"Slurm holds {LARGEST} at most: take back what was given to others",
        )
    return SetSiteFactor(job_id=job.job_id, old=job.site_factor, new=factor, why=why)
