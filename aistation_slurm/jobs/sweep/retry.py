"""Which members are started again: those that failed, and no other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep.tasks import fold
from aistation_slurm.slurm.states import JobState

if TYPE_CHECKING:
    from aistation_slurm.jobs.sweep.look import Attempt


def to_retry(
    attempts: Sequence[Attempt], *, cancelled: bool = False, members: Collection[int] | None = None
) -> list[Attempt]:
    """Return the members whose last attempt failed, with `cancelled` also those that somebody cancelled.

    With `members` these and no others, whatever became of them.

    Raises:
        RequestError: one that was named still waits or runs.
    """
    if members is None:
        return [each for each in attempts if is_failed(each, cancelled=cancelled)]
    alive = [each.member for each in attempts if each.member in members and is_alive(each)]
    if alive:
        raise RequestError(f"not over yet: {fold(alive)}", where="--members", hint="cancel them first")
    return [each for each in attempts if each.member in members]


def is_failed(attempt: Attempt, *, cancelled: bool) -> bool:
    """True where the member is over and did not end as it should, or was never submitted at all."""
    if attempt.array is None:
        return True
    if attempt.state is JobState.CANCELLED:
        return cancelled
    return attempt.state.is_over and not attempt.state.is_success


def is_alive(attempt: Attempt) -> bool:
    """True while Slurm may still run it."""
    return attempt.job is not None and not attempt.state.is_over


def by_script(attempts: Sequence[Attempt], firsts: Sequence[int]) -> Mapping[int, str]:
    """Return first member of a script -> the tasks of an array of it: a member keeps its script and its task."""
    found: dict[int, list[int]] = {}
    for each in attempts:
        first = max(first for first in firsts if first <= each.member)
        found.setdefault(first, []).append(each.member - first)
    return {first: fold(tasks) for first, tasks in found.items()}
