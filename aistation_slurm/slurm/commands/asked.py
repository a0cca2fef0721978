"""What a job asked for, word by word, as far as slurmctld still knows it: more than the sums that `squeue` tells."""

from __future__ import annotations

from aistation_slurm.slurm.commands.command import Command, Row, bare, fresh_mark, rows, written
from aistation_slurm.slurm.model import Asked
from aistation_slurm.slurm.tres import Gres, read_gres
from aistation_slurm.slurm.units import read_count, read_memory

FIELDS = (
    "JobID", "tres-per-job", "tres-per-node", "tres-per-socket", "tres-per-task", "cpus-per-tres", "mem-per-tres",
    "NumTasks", "cpus-per-task", "NTPerNode", "MinCpus", "MinMemory", "MaxNodes", "ReqNodes", "SchedNodes", "Licenses",
    "OverSubscribe", "STDERR",
)  # fmt: skip


def show_asked(*job_ids: int) -> Command[list[Asked]]:
    """What these jobs asked for; `squeue -O` again, since `scontrol show job` lets a job's name forge its keys."""
    mark = fresh_mark()
    fields = ",".join(f"{field}:{mark}" for field in FIELDS)
    return Command(
        ("squeue", "-a", "-h", "-t", "all", "-j", ",".join(map(str, job_ids)), "-O", fields),
        read=lambda text: [_asked(row) for row in rows(text, FIELDS, mark)],
    )


def batch_script(job_id: int) -> Command[str]:
    """The script of a job; slurmctld gives it to its owner and to administrators."""
    return Command(("scontrol", "write", "batch_script", str(job_id), "-"), read=str)


def _asked(row: Row) -> Asked:
    return Asked(
        job_id=read_count(row["JobID"]),
        tres_per_job=_gres(row["tres-per-job"]),
        tres_per_node=_gres(row["tres-per-node"]),
        tres_per_socket=_gres(row["tres-per-socket"]),
        tres_per_task=_gres(row["tres-per-task"]),
        cpus_per_gpu=_of_gpu(row["cpus-per-tres"]),
        memory_per_gpu=_of_gpu(row["mem-per-tres"]),
        tasks=read_count(bare(row["NumTasks"])),
        cpus_per_task=read_count(bare(row["cpus-per-task"])),
        tasks_per_node=read_count(bare(row["NTPerNode"])),
        cpus_per_node=read_count(bare(row["MinCpus"])),
        memory=read_memory(bare(row["MinMemory"]) or "0"),
        max_nodes=read_count(bare(row["MaxNodes"])),
        nodes=bare(row["ReqNodes"]),
        planned_nodes=bare(row["SchedNodes"]),
        licenses=bare(row["Licenses"]),
        is_exclusive=row["OverSubscribe"] in {"NO", "EXCLUSIVE"},
        stderr=written(row["STDERR"]),
    )


def _gres(text: str) -> tuple[Gres, ...]:
    """Return the GRES among them: from 23.11 on a text may also hold `cpu=2`, and tell `gres/gpu=2`."""
    parts = (part for part in bare(text).split(",") if part.startswith(("gres", "gpu", "shard")))
    return read_gres(",".join(parts))


def _of_gpu(text: str) -> int:
    """Return 4 of `gpu:4` or `gres/gpu:4`; 0 where nothing was asked for each GPU."""
    return next((each.count for each in _gres(text) if each.name == "gpu"), 0)
