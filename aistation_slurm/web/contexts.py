"""What the templates of `webui/pages/` get: frozen, every field said; built by `overview`, drawn by nobody else.

Times are moments, never texts: the template writes them relative to `now`, the browser keeps them running.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.web.words import JobTone, NodeTone


def _says(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The row of figures on top."""

    gpus: int = field(metadata=_says("GPUs of all nodes, each node counted once."))
    gpus_used: int = field(metadata=_says("GPUs that somebody has, whole or in shares."))
    gpus_lost: int = field(metadata=_says("GPUs that nobody can get: their node is down, set aside or away."))
    nodes: int = field(metadata=_says("All nodes."))
    nodes_usable: int = field(metadata=_says("Nodes that may be given to a job."))
    running: int = field(metadata=_says("Jobs that hold resources."))
    waiting: int = field(metadata=_says("Jobs that wait, each member of an array that Slurm has told apart."))
    waiting_gpus: int = field(metadata=_says("GPUs that the waiting jobs ask for."))
    waiting_since: datetime | None = field(metadata=_says("When the longest-waiting job was submitted."))
    users: int = field(metadata=_says("Users who have a running job."))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTile:
    """One node, as a tile."""

    key: str = field(metadata=_says("Unique on the page: a node stands in each of its groups."))
    name: str = field(metadata=_says("The node's name in Slurm."))
    label: str = field(metadata=_says("What is left of the name without the group's common beginning."))
    tone: NodeTone = field(metadata=_says("Which kind of state; decides colour and mark."))
    words: str = field(metadata=_says("The state in words, with Slurm's own where they say more."))
    reason: str = field(metadata=_says("Why it is down or set aside, as Slurm keeps it, without our mark."))
    is_ours: bool = field(metadata=_says("True where our recovery set it aside (`aistation:` reasons)."))
    gpus: int = field(metadata=_says("GPUs of the node."))
    gpus_used: int = field(metadata=_says("GPUs that somebody has, whole or in shares."))
    details: tuple[str, ...] = field(metadata=_says("Lines of the tooltip, after the state."))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCard:
    """One GPU group: a partition."""

    name: str = field(metadata=_says("The partition's name."))
    is_open: bool = field(metadata=_says("False where the partition takes or starts no jobs."))
    closed_words: str = field(metadata=_says("Why it is not open; empty where it is."))
    is_default: bool = field(metadata=_says("True where a job without a group goes."))
    gpu_types: str = field(metadata=_says("The GPU models in it, such as `v100`."))
    gpus: int = field(metadata=_says("GPUs of its nodes."))
    gpus_used: int = field(metadata=_says("GPUs that somebody has, whole or in shares."))
    gpus_lost: int = field(metadata=_says("GPUs on nodes that can't be used, and that nobody has."))
    shares: int = field(metadata=_says("Shares of GPUs; 0 where GPUs are not shared."))
    shares_used: int = field(metadata=_says("Shares that somebody has."))
    cpus: int = field(metadata=_says("CPUs of its nodes."))
    cpus_used: int = field(metadata=_says("CPUs that somebody has."))
    nodes_usable: int = field(metadata=_says("Nodes that may be given to a job."))
    running: int = field(metadata=_says("Jobs that run in it."))
    waiting: int = field(metadata=_says("Jobs that wait for it."))
    waiting_gpus: int = field(metadata=_says("GPUs that those ask for."))
    facts: tuple[str, ...] = field(metadata=_says("Quota, longest time and who may use it, one short text each."))
    prefix: str = field(metadata=_says("What its nodes' names begin with, where tiles leave it out."))
    tiles: tuple[NodeTile, ...] = field(metadata=_says("Its nodes, in Slurm's order."))

    @property
    def is_wide(self) -> bool:
        """True where it has so many nodes that it takes two columns."""
        return len(self.tiles) > 24

    @property
    def troubles(self) -> tuple[NodeTile, ...]:
        """The nodes that can't be used, or are on their way out."""
        return tuple(tile for tile in self.tiles if tile.tone in {"down", "drained", "away"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRow:
    """One team that has jobs now."""

    name: str = field(metadata=_says("The Slurm account."))
    gpus: int = field(metadata=_says("GPUs that its running jobs have."))
    shares: int = field(metadata=_says("Shares of GPUs that its running jobs have."))
    running: int = field(metadata=_says("Its running jobs."))
    waiting: int = field(metadata=_says("Its waiting jobs."))
    users: int = field(metadata=_says("Its users who have a running job."))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One job, as a row of the table."""

    key: str = field(metadata=_says("The id, as squeue prints it: `17`, `17_4`, `17_[5-9]`."))
    name: str = field(metadata=_says("Its name."))
    user: str = field(metadata=_says("Who submitted it."))
    team: str = field(metadata=_says("The Slurm account."))
    group: str = field(metadata=_says("The partition."))
    is_emergency: bool = field(metadata=_says("True for an emergency task."))
    gpus: str = field(metadata=_says("`8`, `1 share`, or empty."))
    tone: JobTone = field(metadata=_says("Which kind of state; decides colour and mark."))
    state: str = field(metadata=_says("The state in words."))
    why: str = field(metadata=_says("Why it waits, in words; empty where it does not."))
    reason: str = field(metadata=_says("Slurm's own token for that, for who knows it."))
    nodes: str = field(metadata=_says("Where it runs; empty while it waits."))
    since: datetime | None = field(metadata=_says("When it started; while it waits, when it was submitted."))
    until: datetime | None = field(metadata=_says("When it ended, where it is over: its clock stands."))
    expected: datetime | None = field(metadata=_says("When Slurm expects to start it, if it has looked that far."))
    limit: timedelta | None = field(metadata=_says("How long it may run; None is no limit."))
    restarts: int = field(metadata=_says("How often it was started again."))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMark:
    """One step of a recovery."""

    words: str = field(metadata=_says("What was done, such as `marked down`."))
    after: str = field(metadata=_says("How long after the last sign of life, such as `+3.1 s`."))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCard:
    """One incident: what broke, which jobs it held, what was done, and how long it took."""

    key: str = field(metadata=_says("Unique on the page."))
    node: str = field(metadata=_says("The node that failed."))
    what: str = field(metadata=_says("What was seen."))
    at: datetime = field(metadata=_says("When it was noticed."))
    jobs: str = field(metadata=_says("The jobs it held: `job 17`, `jobs 17, 18 and 4 more`, `no job`."))
    result: str = field(metadata=_says("`running again in 3.9 s`, `under way`, ..."))
    is_over: bool = field(metadata=_says("True once nothing is left to do."))
    steps: tuple[StepMark, ...] = field(metadata=_says("What was done, in order."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Context of `webui/pages/_station.html`: the whole page at one moment."""

    now: datetime = field(compare=False, metadata=_says("The moment that relative times are written for."))
    taken_at: datetime | None = field(compare=False, metadata=_says("When Slurm said this; None if it never did."))
    cluster: str = field(metadata=_says("The cluster's name."))
    version: str = field(metadata=_says("Slurm's version."))
    simulated: bool = field(metadata=_says("True on a one-machine cluster: its GPUs are simulated."))
    controllers: str = field(metadata=_says("Which slurmctld answers, in words."))
    is_stale: bool = field(metadata=_says("True where this may not be the present any more."))
    problem: str = field(metadata=_says("Why Slurm could not be asked; empty where it could."))
    totals: Totals = field(metadata=_says("The row of figures on top."))
    groups: tuple[GroupCard, ...] = field(metadata=_says("The GPU groups, in Slurm's order."))
    teams: tuple[TeamRow, ...] = field(metadata=_says("Teams with jobs, most GPUs first."))
    jobs: tuple[JobRow, ...] = field(metadata=_says("Running first (newest on top), then waiting (next on top)."))
    jobs_left_out: int = field(metadata=_says("How many jobs the table does not show."))
    recoveries: tuple[RecoveryCard, ...] = field(metadata=_says("Recent incidents, newest first."))
