"""The same snapshot for programs: Slurm's words, seconds and UTC, typed."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, Field

from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.web.contexts import GroupCard, Overview
from aistation_slurm.web.overview import job_key
from aistation_slurm.web.snapshots import Recovery, Snapshot
from aistation_slurm.web.words import gpus_in_use, job_words, node_tone, why_it_waits


class NodeOut(BaseModel):
    """One node."""

    name: str
    state: str = Field(description="Slurm's own words, such as `mixed` or `down*`.")
    kind: str = Field(description="What the page makes of it: idle, mixed, full, drained, down, away.")
    reason: str
    groups: list[str]
    gpus: int
    gpus_used: int = Field(description="GPUs that somebody has, whole or in shares.")
    gpu_shares: int
    gpu_shares_used: int
    cpus: int
    cpus_used: int
    memory: int = Field(description="MiB.")
    memory_used: int = Field(description="MiB.")
    load: float | None


class JobOut(BaseModel):
    """One job."""

    id: str = Field(description="As squeue prints it: `17`, `17_4`, `17_[5-9]`.")
    name: str
    user: str
    team: str
    group: str
    qos: str
    state: str = Field(description="Slurm's own word.")
    state_words: str
    reason: str = Field(description="Slurm's own token.")
    why: str = Field(description="The reason in words, while it waits.")
    gpus: int
    gpu_shares: int
    nodes: str
    restarts: int
    submitted_at: datetime | None
    started_at: datetime | None = Field(description="The expected start while it waits, if Slurm has one.")
    time_limit: float | None = Field(description="Seconds; null is no limit.")


class GroupOut(BaseModel):
    """One GPU group."""

    name: str
    is_open: bool
    gpu_types: str
    nodes: int
    nodes_usable: int
    gpus: int
    gpus_used: int
    gpus_lost: int
    gpu_shares: int
    gpu_shares_used: int
    running: int
    waiting: int


class RecoveryOut(BaseModel):
    """One incident."""

    node: str
    what: str
    at: datetime
    jobs: list[int]
    recovered_in: float | None = Field(description="Seconds; null while it is not over.")


class TotalsOut(BaseModel):
    """The figures on top of the page."""

    gpus: int
    gpus_used: int
    gpus_lost: int
    nodes: int
    nodes_usable: int
    running: int
    waiting: int


class SnapshotOut(BaseModel):
    """What Slurm said at one moment."""

    cluster: str
    slurm_version: str
    simulated: bool = Field(description="True on a one-machine cluster: its GPUs are simulated.")
    taken_at: datetime | None = Field(description="null where Slurm has never answered.")
    is_stale: bool = Field(description="True where this may not be the present any more.")
    problem: str = Field(description="Why Slurm could not be asked; empty where it could.")
    totals: TotalsOut
    groups: list[GroupOut]
    nodes: list[NodeOut]
    jobs: list[JobOut]
    recoveries: list[RecoveryOut]


def snapshot_out(snapshot: Snapshot, shown: Overview) -> SnapshotOut:
    """Return the snapshot for programs; `shown` is the page that was made of it."""
    return SnapshotOut(
        cluster=snapshot.cluster,
        slurm_version=snapshot.version,
        simulated=shown.simulated,
        taken_at=snapshot.taken_at,
        is_stale=shown.is_stale,
        problem=snapshot.problem,
        totals=TotalsOut.model_validate(shown.totals, from_attributes=True),
        groups=[_group_out(card) for card in shown.groups],
        nodes=[_node_out(node) for node in snapshot.nodes],
        jobs=[_job_out(job) for job in snapshot.jobs],
        recoveries=[_recovery_out(each) for each in snapshot.recoveries],
    )


def _group_out(card: GroupCard) -> GroupOut:
    return GroupOut(
        name=card.name,
        is_open=card.is_open,
        gpu_types=card.gpu_types,
        nodes=len(card.tiles),
        nodes_usable=card.nodes_usable,
        gpus=card.gpus,
        gpus_used=card.gpus_used,
        gpus_lost=card.gpus_lost,
        gpu_shares=card.shares,
        gpu_shares_used=card.shares_used,
        running=card.running,
        waiting=card.waiting,
    )


def _node_out(node: Node) -> NodeOut:
    return NodeOut(
        name=node.name,
        state=str(node.state),
        kind=node_tone(node),
        reason=node.reason,
        groups=list(node.partitions),
        gpus=node.gpus,
        gpus_used=gpus_in_use(node),
        gpu_shares=node.shards,
        gpu_shares_used=node.shards_allocated,
        cpus=node.cpus,
        cpus_used=node.cpus_allocated,
        memory=node.memory,
        memory_used=node.memory_allocated,
        load=node.load,
    )


def _job_out(job: Job) -> JobOut:
    return JobOut(
        id=job_key(job),
        name=job.name,
        user=job.user,
        team=job.account,
        group=job.partition,
        qos=job.qos,
        state=job.state.value,
        state_words=job_words(job.state),
        reason=job.reason,
        why=why_it_waits(job),
        gpus=job.gpus,
        gpu_shares=job.shards,
        nodes=job.nodes,
        restarts=job.restart_count,
        submitted_at=job.submit_time,
        started_at=job.start_time,
        time_limit=_seconds(job.time_limit),
    )


def _recovery_out(recovery: Recovery) -> RecoveryOut:
    return RecoveryOut(
        node=recovery.node,
        what=recovery.what,
        at=recovery.at,
        jobs=list(recovery.job_ids),
        recovered_in=_seconds(recovery.recovered_in),
    )


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()
