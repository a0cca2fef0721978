"""Reservations, as slurmctld holds them."""

from __future__ import annotations

from aistation_slurm.slurm.commands.command import Command, Row, bare, keyed, names, records
from aistation_slurm.slurm.model import Reservation
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.slurm.units import read_count, read_time

# Slurm 22.05 to 26.05 (src/api/reservation_info.c); Comment, a person's own words, from 23.02 on and last.
# NodeName and CoreIDs: the cores of each node, where only some are kept.
KEYS = (
    "ReservationName", "StartTime", "EndTime", "Duration", "Nodes", "NodeCnt", "CoreCnt", "Features", "PartitionName",
    "Flags", "NodeName", "CoreIDs", "TRES", "Users", "Groups", "Accounts", "AllowedPartitions", "QOS", "Licenses",
    "State", "BurstBuffer", "Watts", "MaxStartDelay", "Comment",
)  # fmt: skip
NEEDED = ("ReservationName", "State")


def show_reservations() -> Command[list[Reservation]]:
    """Every reservation, before its start too; none is an answer."""
    return Command(
        ("scontrol", "-a", "-o", "show", "reservation"),
        read=lambda text: [
            _reservation(keyed(record, KEYS, needs=NEEDED, written=("Comment",))) for record in records(text, NEEDED[0])
        ],
    )


def _reservation(row: Row) -> Reservation:
    return Reservation(
        name=row["ReservationName"],
        nodes=bare(row.get("Nodes", "")),
        node_count=read_count(row.get("NodeCnt", "")),
        partition=bare(row.get("PartitionName", "")),
        start_time=read_time(row.get("StartTime", "")),
        end_time=read_time(row.get("EndTime", "")),
        is_active=row["State"] == "ACTIVE",
        flags=tuple(sorted(names(row.get("Flags", "")))),
        users=names(row.get("Users", "")),
        accounts=names(row.get("Accounts", "")),
        features=bare(row.get("Features", "")),
        tres=read_tres(bare(row.get("TRES", ""))),
        comment=row.get("Comment", ""),
    )
