"""Jobs, nodes and limits to look at, each with one interesting part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aistation_slurm.jobs.why.limits import Rules
from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.shape import Shape
from aistation_slurm.slurm.model import (
    Asked,
    Association,
    AssociationUse,
    Held,
    Job,
    Limits,
    LimitsInUse,
    Node,
    Partition,
    Qos,
    QosUse,
)
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import Gres

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
V100 = Partition(name="v100", nodes="v100-[01-03]", qos="group-v100", total_nodes=3, total_cpus=24)


def a_job(job_id: int = 7, **parts: Any) -> Job:
    """A job of ann that waits for one GPU."""
    gpus = parts.pop("gpus", 1)
    usual: dict[str, Any] = {
        "name": "train", "user": "ann", "account": "face", "partition": "v100", "qos": "normal",
        "state": JobState.PENDING, "reason": "Resources", "node_count": 1, "cpus": 1, "priority": 100,
        "tres": {"cpu": 1, "mem": 1024, "node": parts.get("node_count", 1), "gres/gpu": gpus}, "time_limit": HOUR,
    }  # fmt: skip
    return Job(job_id=job_id, **{**usual, **parts})


def running(job_id: int, *, node: str = "v100-01", gpus: int = 1, ends: timedelta | None = HOUR, **parts: Any) -> Job:
    """A job that runs until then."""
    usual: dict[str, Any] = {
        "state": JobState.RUNNING, "nodes": node, "reason": "", "start_time": NOON - HOUR,
        "end_time": NOON + ends if ends else None, "time_limit": ends and ends + HOUR,
        "tres": {"cpu": 4 * gpus, "mem": 2048 * gpus, "node": 1, "gres/gpu": gpus, "gres/gpu:v100": gpus},
    }  # fmt: skip
    return a_job(job_id, **{**usual, **parts})


def a_node(name: str = "v100-01", *, gpus: int = 2, state: str = "IDLE", **parts: Any) -> Node:
    """A node with two GPUs, eight CPUs and 16 GiB."""
    usual: dict[str, Any] = {
        "cpus": 8, "memory": 16384, "gres": (Gres(name="gpu", type="v100", count=gpus),), "partitions": ("v100",),
    }  # fmt: skip
    return Node(name=name, state=NodeState.parse(state), **{**usual, **parts})


def a_shape(**parts: Any) -> Shape:
    """What `a_job` asks for."""
    usual: dict[str, Any] = {
        "user": "ann", "account": "face", "partition": "v100", "qos": "normal", "time_limit": HOUR,
        "gres": (Gres(name="gpu", count=1),), "memory_per_cpu": 1024,
    }  # fmt: skip
    return Shape(**{**usual, **parts})


def rules(*, jobs: tuple[Job, ...] = (), per_user: int = 4, total: int = 6, team: int = 20, used: int = 0) -> Rules:
    """Quotas of GPUs: of a user in the group, of ann over all groups, of the team face."""
    held = Held(jobs=1, tres={"gres/gpu": used}) if used else Held()
    return Rules(
        partitions={"v100": V100},
        qos={
            "group-v100": Qos(name="group-v100", limits=Limits(max_tres_per_user={"gres/gpu": per_user})),
            "normal": Qos(name="normal"),
        },
        associations=(
            Association(cluster="c", account="root"),
            Association(cluster="c", account="face", parent="root", limits=Limits(grp_tres={"gres/gpu": team})),
            Association(
                cluster="c", account="face", user="ann", qos=("normal",), limits=Limits(grp_tres={"gres/gpu": total})
            ),
        ),
        in_use=LimitsInUse(
            associations=(
                AssociationUse(account="face", held=held),
                AssociationUse(account="face", user="ann", held=held),
            ),
            qos=(QosUse(name="group-v100", held=held, users={"ann": held}),),
        ),
        running=jobs,
    )  # fmt: skip


def a_look(job: Job | None = None, **parts: Any) -> Look:
    """Three nodes, and the job alone."""
    job = job or a_job()
    usual: dict[str, Any] = {
        "queue": (job,), "nodes": tuple(a_node(f"v100-0{number}") for number in (1, 2, 3)), "rules": rules(),
        "asked": {job.job_id: Asked(job_id=job.job_id, tres_per_job=(Gres(name="gpu", count=job.gpus),), tasks=1)},
    }  # fmt: skip
    return Look(now=NOON, job=job, **{**usual, **parts})
