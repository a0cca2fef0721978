"""Partitions, as slurmctld holds them now."""

from __future__ import annotations

from aistation_slurm.slurm.commands.command import Command, Row, bare, keyed, names, records
from aistation_slurm.slurm.model import Partition
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.slurm.units import read_count, read_duration, read_limit

# Slurm 22.05 to 26.05 (src/api/partition_info.c).
KEYS = (
    "PartitionName", "AllowGroups", "AllowAccounts", "DenyAccounts", "AllowQos", "DenyQos", "AllocNodes", "Alternate",
    "Default", "QoS", "CpuBind", "DefaultTime", "DisableRootJobs", "ExclusiveUser", "ExclusiveTopo", "GraceTime",
    "Hidden", "MaxNodes", "MaxTime", "MinNodes", "LLN", "MaxCPUsPerNode", "MaxCPUsPerSocket", "NodeSets", "Nodes",
    "PriorityJobFactor", "PriorityTier", "RootOnly", "ReqResv", "OverSubscribe", "OverTimeLimit", "PreemptMode",
    "State", "TotalCPUs", "TotalNodes", "SelectTypeParameters", "JobDefaults", "DefMemPerCPU", "DefMemPerNode",
    "MaxMemPerCPU", "MaxMemPerNode", "ResumeTimeout", "SuspendTimeout", "SuspendTime", "PowerDownOnIdle", "TRES",
    "TRESBillingWeights", "Topology",
)  # fmt: skip
NEEDED = ("PartitionName", "State")


def show_partitions() -> Command[list[Partition]]:
    """Every partition, hidden ones too (`-a`)."""
    return Command(
        ("scontrol", "-a", "-o", "show", "partition"),
        read=lambda text: [
            _partition(keyed(record, KEYS, needs=("PartitionName", "State")))
            for record in records(text, "PartitionName")
        ],
    )


def _partition(row: Row) -> Partition:
    return Partition(
        name=row["PartitionName"],
        nodes=bare(row.get("Nodes", "")),
        state=row["State"],
        is_default=row.get("Default") == "YES",
        is_hidden=row.get("Hidden") == "YES",
        total_nodes=read_count(row.get("TotalNodes", "")),
        total_cpus=read_count(row.get("TotalCPUs", "")),
        tres=read_tres(bare(row.get("TRES", ""))),
        max_time=read_duration(row.get("MaxTime", "")),
        default_time=read_duration(row.get("DefaultTime", "")),
        max_nodes=read_limit(row.get("MaxNodes", "")),
        allow_accounts=names(row.get("AllowAccounts", "")),
        deny_accounts=names(row.get("DenyAccounts", "")),
        allow_qos=names(row.get("AllowQos", "")),
        allow_groups=names(row.get("AllowGroups", "")),
        qos=bare(row.get("QoS", "")),
        priority_tier=read_count(row.get("PriorityTier", "1")),
        preempt_mode=row.get("PreemptMode", ""),
    )
