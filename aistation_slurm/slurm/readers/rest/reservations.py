"""Reservations: `/slurm/.../reservations`."""

from __future__ import annotations

from datetime import datetime

from aistation_slurm.slurm.model import Reservation
from aistation_slurm.slurm.readers.rest.values import Record, bare, count, get, moment, records, text, tres, words


def read_reservations(said: Record, *, now: datetime) -> list[Reservation]:
    """Return the reservations of the answer; no version tells their comments, which are there from 23.02 on."""
    return [_reservation(each, now) for each in records(get(said, "reservations"))]


def _reservation(reservation: Record, now: datetime) -> Reservation:
    start, end = moment(get(reservation, "start_time")), moment(get(reservation, "end_time"))
    return Reservation(
        name=text(get(reservation, "name")),
        nodes=bare(get(reservation, "node_list")),
        node_count=count(get(reservation, "node_count")),
        partition=bare(get(reservation, "partition")),
        start_time=start,
        end_time=end,
        is_active=start is not None and end is not None and start <= now <= end,
        flags=tuple(sorted(words(get(reservation, "flags")))),
        users=words(get(reservation, "users")),
        accounts=words(get(reservation, "accounts")),
        features=bare(get(reservation, "features")),
        tres=tres(get(reservation, "tres")),
    )
