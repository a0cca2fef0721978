"""Jobs and their steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import Gres, Tres


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as slurmctld or slurmdbd remembers it."""

    job_id: int
    array_job_id: int | None = None
    array_task: str = ""
    """`7`, or `[1-9%2]` while the members wait together."""
    name: str
    user: str
    account: str = ""
    partition: str = ""
    qos: str = ""
    state: JobState
    reason: str = ""
    nodes: str = ""
    node_count: int = 0
    cpus: int = 0
    tres: Tres = field(default_factory=dict)
    """What it was given; what it asks for while it waits."""
    priority: int = 0
    nice: int = 0
    restart_count: int = 0
    """How often it was requeued; slurmdbd tells only from 23.11 on, so it is 0 in a history."""
    exit_code: str = ""
    """`1:0`: what it exited with, and the signal that ended it."""
    submit_time: datetime | None = None
    eligible_time: datetime | None = None
    """Before it the job may not start: `--begin`, or the wait after a requeue."""
    start_time: datetime | None = None
    """The expected start while it waits, if slurmctld has one."""
    end_time: datetime | None = None
    elapsed: timedelta | None = None
    time_limit: timedelta | None = None
    batch_host: str = ""
    """The node that runs its script."""
    work_dir: str = ""
    stdout: str = ""
    """The file that its script prints to, patterns filled in; a history does not tell."""
    comment: str = ""
    admin_comment: str = ""
    """What the site's tools keep with a job, such as jobstats' `JS1:`."""
    het_job_id: int | None = None
    """The first job's id where it is a part of a heterogeneous job."""
    het_offset: int = 0
    dependency: str = ""
    """As Slurm prints what is not yet fulfilled of it: `afterok:12(unfulfilled)`; a history does not tell."""
    features: str = ""
    """What nodes must have (`--constraint`), as it was given."""
    prefer: str = ""
    """What nodes had better have (`--prefer`), as it was given; a history does not tell."""
    reservation: str = ""

    @property
    def gpus(self) -> int:
        """How many whole GPUs it has or asks for."""
        return self.tres.get("gres/gpu", 0)

    @property
    def shards(self) -> int:
        """How many shares of GPUs it has or asks for."""
        return self.tres.get("gres/shard", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUsage:
    """What a step used, as slurmdbd keeps it; None and an empty mapping where it was not gathered."""

    cpu_time: timedelta | None = None
    """Of all its tasks together, user and system."""
    max_rss: int | None = None
    """MiB of the task that had most."""
    tres_max: Tres = field(default_factory=dict)
    """TRESUsageInMax: the most of any task; memory in MiB."""
    tres_total: Tres = field(default_factory=dict)
    """TRESUsageInTot: of all tasks; memory in MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStep:
    """One step of a job, as slurmctld (while it runs) or slurmdbd remembers it."""

    job_id: int
    step_id: str
    """`0`, `1`, ..., or `batch`, `extern`, `interactive`."""
    name: str
    state: JobState
    nodes: str = ""
    node_count: int = 0
    cpus: int = 0
    tasks: int = 0
    tres: Tres = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None
    elapsed: timedelta | None = None
    exit_code: str = ""
    usage: StepUsage = field(default_factory=StepUsage)
    """Only a history tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a job asked for, word by word; 0 and nothing where it did not say."""

    job_id: int
    tres_per_job: tuple[Gres, ...] = ()
    tres_per_node: tuple[Gres, ...] = ()
    tres_per_socket: tuple[Gres, ...] = ()
    tres_per_task: tuple[Gres, ...] = ()
    cpus_per_gpu: int = 0
    memory_per_gpu: int = 0
    tasks: int = 0
    cpus_per_task: int = 0
    tasks_per_node: int = 0
    cpus_per_node: int = 0
    memory: int = 0
    """MiB, for each CPU or for each node: squeue does not say which."""
    max_nodes: int = 0
    nodes: str = ""
    """Those that it must have (`--nodelist`)."""
    planned_nodes: str = ""
    """Where the backfill scheduler means to start it."""
    licenses: str = ""
    is_exclusive: bool = False
    stderr: str = ""
    """Where its script complains, patterns such as %j not filled in; the file of its output where it named none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityFactors:
    """What makes up the priority of a job that waits for its turn in one partition: each factor with its weight."""

    job_id: int
    partition: str
    age: int = 0
    association: int = 0
    fair_share: int = 0
    job_size: int = 0
    partition_factor: int = 0
    qos: int = 0
    site: int = 0
    nice: int = 0
    """Taken off the others."""
    tres: int = 0
