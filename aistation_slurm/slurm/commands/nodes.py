"""Nodes, as slurmctld sees them."""

from __future__ import annotations

import re

from aistation_slurm.slurm.commands.command import Command, Row, bare, keyed, names, records
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import read_gres, read_tres
from aistation_slurm.slurm.units import read_count, read_load, read_memory, read_time

# In the order in which Slurm prints them, 22.05 to 26.05 (src/api/node_info.c). Also those that we do not use: each
# ends the value before it, such as `OS=Linux 6.1.0 #1 SMP` or a reason that somebody wrote.
KEYS = (
    "NodeName", "Arch", "CpuBind", "CoresPerSocket", "CPUAlloc", "CPUEfctv", "CPUTot", "CPULoad", "AvailableFeatures",
    "ActiveFeatures", "Gres", "GresDrain", "GresUsed", "NodeAddr", "NodeHostName", "BcastAddr", "Port", "Version",
    "OS", "RealMemory", "AllocMem", "FreeMem", "Sockets", "Boards", "CoreSpecCount", "CPUSpecList", "MemSpecLimit",
    "RestrictedCoresPerGPU", "State", "ThreadsPerCore", "TmpDisk", "Weight", "Owner", "MCS_label", "NextState",
    "Partitions", "BootTime", "SlurmdStartTime", "LastBusyTime", "ResumeAfterTime", "SuspendTime", "CfgTRES",
    "AllocTRES", "CapWatts", "CurrentWatts", "AveWatts", "ExtSensorsJoules", "ExtSensorsWatts", "ExtSensorsTemp",
    "Reason", "Comment", "Extra", "InstanceId", "InstanceType", "ReservationName", "TLSCertTokenSet",
    "TLSCertLastRenewal", "Topology", "Parameters",
)  # fmt: skip
NEEDED = ("NodeName", "State")
# From the reason on, in their order: what people wrote, and the few keys that may stand behind it.
WRITTEN = (
    "Reason", "Comment", "Extra", "InstanceId", "InstanceType", "ReservationName", "TLSCertTokenSet",
    "TLSCertLastRenewal", "Topology", "Parameters",
)  # fmt: skip
# A reason ends with who gave it and when, even where something in it looks like a key.
_SIGNED = re.compile(
    r"(?P<reason>.*?\[[^\[\]@\s]+@[^\[\]@\s]+\](?:\s{7}.*?)?)"
    rf"(?P<rest>(?:\s(?:{'|'.join(WRITTEN[1:])})=.*)?)",
    re.DOTALL,
)
# `disk full [root@1795471498]`; of a reason of several lines, the second and later ones follow the bracket.
_REASON = re.compile(
    r"(?P<first>.*?) ?\[(?P<user>[^\[\]@\s]+)@(?P<time>[^\[\]@\s]+)\](?:\s{7}(?P<rest>.*))?", re.DOTALL
)


def show_nodes(*node_names: str) -> Command[list[Node]]:
    """Every node, or those that are named; `-d` adds GresUsed, which tells what each GPU is given to."""
    only = (",".join(node_names),) if node_names else ()
    return Command(
        ("scontrol", "-a", "-d", "-o", "show", "node", *only),
        read=lambda text: [_node(_row(record)) for record in records(text, NEEDED[0])],
    )


def _row(record: str) -> Row:
    before, _, after = record.partition(" Reason=")
    signed = _SIGNED.fullmatch(after)
    if not signed or " Comment=" in before:
        return keyed(record, KEYS, needs=NEEDED, written=WRITTEN)
    row = keyed(before + signed["rest"], KEYS, needs=NEEDED, written=WRITTEN)
    return row | {"Reason": signed["reason"]}


def _node(row: Row) -> Node:
    reason, reason_user, reason_time = _reason(row.get("Reason", ""))
    free = bare(row.get("FreeMem", ""))
    return Node(
        name=row["NodeName"],
        address=row.get("NodeAddr", ""),
        hostname=row.get("NodeHostName", ""),
        port=read_count(row.get("Port", "0")),  # 22.05 leaves it out where it is SlurmdPort
        state=NodeState.parse(row["State"]),
        reason=reason,
        reason_user=reason_user,
        reason_time=read_time(reason_time),
        cpus=read_count(row.get("CPUTot", "")),
        cpus_allocated=read_count(row.get("CPUAlloc", "")),
        memory=read_memory(row.get("RealMemory", "0")),
        memory_allocated=read_memory(row.get("AllocMem", "0")),
        memory_free=read_memory(free) if free else None,
        load=read_load(row.get("CPULoad", "")),
        gres=read_gres(row.get("Gres", "")),
        gres_used=read_gres(row.get("GresUsed", "")),
        tres=read_tres(bare(row.get("CfgTRES", ""))),
        tres_allocated=read_tres(bare(row.get("AllocTRES", ""))),
        partitions=names(row.get("Partitions", "")),
        features=names(row.get("AvailableFeatures", "")),
        active_features=names(row.get("ActiveFeatures", "")),
        boot_time=read_time(row.get("BootTime", "")),
        slurmd_start_time=read_time(row.get("SlurmdStartTime", "")),
        last_busy_time=read_time(row.get("LastBusyTime", "")),
        version=row.get("Version", ""),
        comment=row.get("Comment", ""),
    )


def _reason(text: str) -> tuple[str, str, str]:
    """Return what was written, as one line, by whom, and when."""
    match = _REASON.fullmatch(text)
    if not match:
        return " ".join(text.split()), "", ""
    written = f"{match['first']} {match['rest'] or ''}"
    return " ".join(written.split()), match["user"], match["time"]
