"""Storage quotas as a part of the plan: looked at with Slurm, decided with the rest, set before files are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from aistation_slurm.cluster.changes import Change, Refusal, some
from aistation_slurm.data.quota import QuotaChange, Seen, SetQuota, Tools, decide, look_at_all, wanted_storage
from aistation_slurm.errors import StorageUnusable, UnsafePlan
from aistation_slurm.slurm.model import Job
from aistation_slurm.spec import ClusterSpec


@dataclass(frozen=True, slots=True)
class ChangeStorage(Change):
    """Limits on a file system, or a team's folder that becomes a project; Slurm hears nothing of it.

    It is made by `carry_out`: no command of Slurm's does it.
    """

    rank: ClassVar[int] = 36

    change: QuotaChange

    def __str__(self) -> str:
        return str(self.change)

    @property
    def count(self) -> int:
        """How many things it changes."""
        return self.change.count

    def carry_out(self, tools: Tools | None = None) -> None:
        """Make the change.

        Raises:
            StorageError: the file system refused, or its tool is missing.
        """
        self.change.carry_out(tools or Tools())


def look_at_storage(spec: ClusterSpec, tools: Tools | None = None, *, everybody: bool = False) -> tuple[Seen, ...]:
    """Return what each file system says that has a quota in the cluster file; with `everybody`, all that it names.

    A file system that can't be asked is seen as such: it stops neither the others nor the plan.
    """
    tools = tools or Tools()
    wanted = [each for each in wanted_storage(spec) if each or everybody]
    return tuple(_without_twins(look_at_all(wanted, tools, everybody=everybody)))


def _without_twins(seen: Iterable[Seen]) -> Iterator[Seen]:
    """Yield each look, but of two names for one file system with quotas of users the second as a problem."""
    first: dict[str, str] = {}
    for each in seen:
        if each.mount is not None and any(each.wanted.users.values()):
            name = first.setdefault(each.mount.point, each.wanted.name)
            if name != each.wanted.name:
                text = f"is the file system that {name!r} is on: a user has one quota there"
                hint = "leave one of them out of per_user"
                each = replace(each, mount=None, problem=StorageUnusable(text, where=each.wanted.path, hint=hint))  # noqa: PLW2901
        yield each


def storage_changes(seen: Iterable[Seen], jobs: Sequence[Job] = ()) -> tuple[list[Change], list[str]]:
    """Return what must change on the file systems, and what a person should know of them.

    A change touches the running jobs of users who have stored more than they are to have: they can write no more.
    """
    decisions = [decide(each) for each in seen]
    changes: list[Change] = [
        ChangeStorage(each, jobs=_jobs_of(each, jobs)) for decision in decisions for each in decision.changes
    ]
    return changes, [note for decision in decisions for note in decision.notes]


def storage_refusals(changes: Iterable[Change]) -> Iterator[Refusal]:
    """Yield why a quota must not be set now: a job that runs would find its disk full."""
    for change in changes:
        if isinstance(change, ChangeStorage) and change.jobs:
            who = ", ".join(change.change.over)
            text = f"{who} has stored more than the new quota, and jobs could write no more: {some(change.jobs)}"
            yield Refusal(
                text=text,
                safe_way="let some of it be deleted, or the jobs end; or give a larger quota",
                jobs=change.jobs,
            )


def raise_if_over(changes: Iterable[Change]) -> None:
    """Do nothing where nobody has stored more than the new quota: whose jobs run, nobody can say without Slurm.

    Raises:
        UnsafePlan: somebody has.
    """
    over = [name for change in changes if isinstance(change, ChangeStorage) for name in change.change.over]
    if over:
        text = f"{', '.join(over)} has stored more than the new quota, and could write no more"
        raise UnsafePlan(text, hint="let some of it be deleted, give a larger quota, or say --force")


def carry_out(changes: Iterable[Change]) -> Iterator[str]:
    """Make the changes of file systems, and yield each once it is made.

    Raises:
        StorageError: a file system refused; what was done before stays, and the next plan begins there.
    """
    tools = Tools()
    for change in changes:
        if isinstance(change, ChangeStorage):
            change.carry_out(tools)
            yield str(change)


def _jobs_of(change: QuotaChange, jobs: Iterable[Job]) -> tuple[int, ...]:
    if not isinstance(change, SetQuota) or not change.over:
        return ()
    over = set(change.over)
    return tuple(
        job.job_id
        for job in jobs
        if job.state.is_running and (job.user if change.kind == "user" else job.account) in over
    )
