"""Who is ahead in a partition, and what room is left once they have their places; worked out once for each."""

from __future__ import annotations

from collections.abc import Sequence

from aistation_slurm.jobs.why.ahead import Ahead, ahead_of, in_line
from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.room import Room, room_of
from aistation_slurm.jobs.why.shape import shape_of

MOST_PLANNED = 100
"""So many of those ahead are given a place before ours."""


class Plan:
    """A plan as the backfill scheduler makes one: each job that is ahead gets the first place that it fits."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self._ahead: dict[str, Sequence[Ahead]] = {}
        self._rooms: dict[str, Room] = {}

    def ahead(self, partition: str = "") -> Sequence[Ahead]:
        """Return who goes before the job, as if it stood in that partition; by default in its own."""
        name = partition or self.look.job.partition
        if name not in self._ahead:
            self._ahead[name] = ahead_of(self.look.job, self.look, partition=name)
        return self._ahead[name]

    def is_too_deep(self, partition: str = "") -> bool:
        """True where more are ahead than get a place: a start behind them can't be told."""
        return len(in_line(self.ahead(partition))) > MOST_PLANNED

    def room(self, partition: str = "") -> Room:
        """Return the room that is left behind those ahead."""
        name = partition or self.look.job.partition
        if name not in self._rooms:
            self._rooms[name] = self._planned(name)
        return self._rooms[name]

    def _planned(self, partition: str) -> Room:
        look = self.look
        room = room_of(look.now, look.nodes, look.rules.running, look.reservations)
        for job in in_line(self.ahead(partition))[:MOST_PLANNED]:
            shape = shape_of(job, look.asked.get(job.job_id))
            if place := room.place(shape):
                room.take(shape, place)
        return room
