"""The safe way to a plan that is refused for jobs in its way: set aside what they are on, wait for them, then apply.

Decided here, carried out elsewhere. Every step says itself in one line, and how it is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aistation_slurm.cluster.changes import Refusal, some
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.errors import UnsafePlan
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.nodelist import expand, fold

REASON = "aistation: apply --staged waits for its jobs"
"""Why nodes are drained; by it those that we drained are told from others."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way."""

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes it; nothing where it is to wait, or to apply."""
        return ()

    def back(self) -> tuple[str, ...]:
        """Return the command that takes it back, for an apply that is given up; nothing where there is nothing to."""
        return ()


@dataclass(frozen=True, slots=True)
class DrainNodes(Step):
    """Nodes take no new job; those on them run on."""

    nodes: str

    def __str__(self) -> str:
        return f"drain {self.nodes}: no new job starts there"

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes it."""
        return ("scontrol", "update", f"nodename={self.nodes}", "state=DRAIN", f"reason={REASON}")

    def back(self) -> tuple[str, ...]:
        """Return the command that takes it back."""
        return ("scontrol", "update", f"nodename={self.nodes}", "state=RESUME")


@dataclass(frozen=True, slots=True)
class CloseGroup(Step):
    """A partition takes no new job; those that wait in it still run."""

    group: str

    def __str__(self) -> str:
        return f"close group {self.group}: it takes no new job, those that wait still run"

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes it."""
        return ("scontrol", "update", f"partitionname={self.group}", "state=DRAIN")

    def back(self) -> tuple[str, ...]:
        """Return the command that takes it back."""
        return ("scontrol", "update", f"partitionname={self.group}", "state=UP")


@dataclass(frozen=True, slots=True)
class CloseAccount(Step):
    """Users who are about to leave a team submit nothing more there.

    Taken back by the plan itself, which sees the limit as one that the cluster file doesn't have.
    """

    cluster: str
    account: str
    users: tuple[str, ...]

    def __str__(self) -> str:
        return f"{','.join(self.users)} in {self.account}: no new job"

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes it."""
        return self._modify("0")

    def back(self) -> tuple[str, ...]:
        """Return the command that takes it back."""
        return self._modify("-1")

    def _modify(self, jobs: str) -> tuple[str, ...]:
        where = (f"name={','.join(self.users)}", f"account={self.account}", f"cluster={self.cluster}")
        return ("sacctmgr", "modify", "user", "where", *where, "set", f"GrpSubmitJobs={jobs}")


@dataclass(frozen=True, slots=True)
class WaitForJobs(Step):
    """Nothing is done until none of these is in the way any more."""

    nodes: str = ""
    groups: tuple[str, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    """(account, user)."""
    jobs: tuple[int, ...] = ()
    """Those that were there when the plan was made."""

    def __str__(self) -> str:
        return f"wait for job {some(self.jobs)}"

    def left(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs that are still in the way."""
        nodes = frozenset(expand(self.nodes))
        return [job for job in jobs if not job.state.is_over and self._is_in_the_way(job, nodes)]

    def _is_in_the_way(self, job: Job, nodes: frozenset[str]) -> bool:
        return (
            (job.account, job.user) in self.members
            or not set(self.groups).isdisjoint(job.partition.split(","))
            or bool(nodes and job.nodes and not nodes.isdisjoint(expand(job.nodes)))
        )


@dataclass(frozen=True, slots=True)
class CarryOut(Step):
    """The plan itself, made anew and carried out."""

    checksum: str

    def __str__(self) -> str:
        return f"apply plan {self.checksum}"


@dataclass(frozen=True, slots=True)
class ResumeNodes(Step):
    """Nodes that we drained take jobs again."""

    nodes: str

    def __str__(self) -> str:
        return f"resume {self.nodes}"

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes it."""
        return ("scontrol", "update", f"nodename={self.nodes}", "state=RESUME")


def stages(plan: Plan, *, cluster: str, drained: Iterable[str] = ()) -> tuple[Step, ...]:
    """Return the steps to a plan that is refused; of one that isn't, the plan alone.

    `drained` are nodes that somebody has set aside already: they are waited for, and left as they are.

    Raises:
        UnsafePlan: a refusal has no safe way that we can go.
    """
    for refusal in plan.refusals:
        if not refusal.can_be_staged:
            raise UnsafePlan(refusal.text, hint=refusal.safe_way)
    apply = CarryOut(plan.checksum)
    if not plan.refusals:
        return (apply,)
    nodes = {name for refusal in plan.refusals for name in expand(refusal.nodes)}
    ours = fold(nodes - set(drained))
    closing = tuple(_closing(plan.refusals, cluster))
    drains = (DrainNodes(ours),) if ours else ()
    resumes = (ResumeNodes(ours),) if ours else ()
    return (*closing, *drains, _wait(plan.refusals, fold(nodes)), apply, *resumes)


def _closing(refusals: Iterable[Refusal], cluster: str) -> Iterator[Step]:
    members: dict[str, list[str]] = {}
    for refusal in refusals:
        if refusal.group:
            yield CloseGroup(refusal.group)
        if refusal.users:
            members.setdefault(refusal.account, []).extend(refusal.users)
    for account, users in members.items():
        yield CloseAccount(cluster, account, tuple(users))


def _wait(refusals: Iterable[Refusal], nodes: str) -> WaitForJobs:
    found = list(refusals)
    return WaitForJobs(
        nodes=nodes,
        groups=tuple(each.group for each in found if each.group),
        members=tuple((each.account, user) for each in found for user in each.users),
        jobs=tuple(sorted({job for each in found for job in each.jobs})),
    )
