"""What nodes have free now and later, when running jobs end by their time limits. Pure, and changed only by `take`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache

from aistation_slurm.jobs.why.shape import Shape, is_in
from aistation_slurm.slurm.model import Job, Node, Reservation
from aistation_slurm.slurm.nodelist import expand

FOR_EVER = timedelta(days=3650)
"""How long a job without a time limit is taken to run."""
MOST_TRIES = 200_000
"""Looks at one node at one moment, after which a plan goes no further: two seconds or so."""
Free = tuple[int, int, int, int]
"""CPUs, MiB, whole GPUs, shares of GPUs."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a job has, or will have, of one node."""

    since: datetime
    until: datetime
    what: Free


@dataclass(frozen=True, slots=True)
class Place:
    """When and where a job fits."""

    start: datetime
    nodes: tuple[str, ...]


@dataclass(slots=True)
class Room:
    """All nodes that may be given to jobs, and who has what of them for how long."""

    now: datetime
    nodes: dict[str, Node]
    reservations: Sequence[Reservation] = ()
    taken: dict[str, list[Taken]] = field(default_factory=lambda: defaultdict(list))
    tries: int = 0

    @property
    def is_worn_out(self) -> bool:
        """True once so much was looked at that a plan would take too long."""
        return self.tries >= MOST_TRIES

    def place(self, shape: Shape, *, earliest: datetime | None = None) -> Place | None:
        """Return the first moment at which the job fits, and where; None where that never is, as far as can be seen."""
        shape = spread(shape, self.nodes.values())
        start, lasts = earliest or self.now, shape.time_limit or FOR_EVER
        able = [each for each in self.nodes.values() if could_run(each, shape)]
        if len(able) < shape.nodes:
            return None
        if shape.nodes == 1:
            return self._on_one(able, shape, start, lasts)
        for moment in self._moments(start, able):
            if self.is_worn_out:
                return None
            if fitting := self._fitting(able, shape, moment, moment + lasts):
                return Place(moment, fitting)
        return None

    def take(self, shape: Shape, place: Place) -> None:
        """Give the job its place."""
        until = place.start + (shape.time_limit or FOR_EVER)
        shape = replace(shape, nodes=len(place.nodes))
        for name in place.nodes:
            self.taken[name].append(Taken(place.start, until, of_one_node(shape)))

    def hole(self, shape: Shape) -> timedelta | None:
        """Return for how long the job would fit now, where that is not long enough for it; None where it does not."""
        shape = spread(shape, self.nodes.values())
        able = [each for each in self.nodes.values() if could_run(each, shape)]
        ends = sorted({each.since for node in able for each in self.taken[node.name] if each.since > self.now})
        ends += sorted(
            {each.start_time for each in self.reservations if each.start_time and each.start_time > self.now}
        )
        for end in sorted(ends, reverse=True):
            if self._fitting(able, shape, self.now, end):
                return end - self.now
        return None

    def _on_one(self, able: Sequence[Node], shape: Shape, start: datetime, lasts: timedelta) -> Place | None:
        """Return the first place on a single node: each node is looked at only when something ends on it."""
        best: Place | None = None
        for node in able:
            for moment in self._moments(start, (node,)):
                if self.is_worn_out or (best and moment >= best.start):
                    break
                if self._fitting((node,), shape, moment, moment + lasts):
                    best = Place(moment, (node.name,))
                    break
        return None if self.is_worn_out else best

    def _moments(self, start: datetime, able: Iterable[Node]) -> list[datetime]:
        """Return when something changes on these nodes: jobs end, reservations end."""
        ends = {each.until for node in able for each in self.taken[node.name]}
        ends |= {each.end_time for each in self.reservations if each.end_time}
        return [start, *sorted(end for end in ends if end > start)]

    def _fitting(self, able: Sequence[Node], shape: Shape, since: datetime, until: datetime) -> tuple[str, ...]:
        need, found = of_one_node(shape), list[str]()
        for node in able:
            self.tries += 1
            if self._is_kept(node, shape, since, until):
                continue
            if all(has >= wants for has, wants in zip(self._free(node, since, until), need, strict=True)):
                found.append(node.name)
            if len(found) == shape.nodes:
                return tuple(found)
        return ()

    def _is_kept(self, node: Node, shape: Shape, since: datetime, until: datetime) -> bool:
        """True where a reservation keeps the node from the job, or the job for its own reservation from the node."""
        if shape.reservation:
            mine = [each for each in self.reservations if each.name == shape.reservation]
            return not any(_within(each, node, since, until) for each in mine)
        return any(_overlaps(each, node, since, until) for each in self.reservations)

    def _free(self, node: Node, since: datetime, until: datetime) -> Free:
        """Return the least that is free on the node between two moments."""
        during = [each for each in self.taken[node.name] if each.since < until and each.until > since]
        most: Free = (0, 0, 0, 0)
        for moment in {since, *(each.since for each in during if each.since > since)}:
            now = [each.what for each in during if each.since <= moment < each.until]
            used = [sum(kinds) for kinds in zip(*now, strict=True)] if now else [0, 0, 0, 0]
            most = (max(most[0], used[0]), max(most[1], used[1]), max(most[2], used[2]), max(most[3], used[3]))
        return (
            node.cpus - most[0],
            node.memory - most[1],
            node.gpus - most[2] - _whole(node, most[3]),
            node.shards - most[3] - _as_shares(node, most[2]),
        )


def room_of(now: datetime, nodes: Iterable[Node], running: Iterable[Job], reservations: Sequence[Reservation]) -> Room:
    """Return the room that running jobs leave: what they have, evenly over their nodes, until their time limit.

    A job past its limit, which Slurm is about to end, is taken to end within a minute.
    """
    room = Room(now, {each.name: each for each in nodes}, reservations)
    for job in running:
        names = expand(job.nodes)
        ends = job.end_time or now + FOR_EVER
        for name in names:
            room.taken[name].append(Taken(now, max(ends, now + timedelta(minutes=1)), _share(job, len(names))))
    return room


def spread(shape: Shape, nodes: Iterable[Node]) -> Shape:
    """Return the shape on as many nodes as its GPUs need, where they were asked for the job as a whole.

    `--gpus=4` without `--nodes` is one node to squeue, and two where a node has two GPUs.
    """
    most = max((each.gpus for each in nodes if is_in(each, shape.partition)), default=0)
    if shape.gres_for != "job" or not most or shape.gpus <= most * shape.nodes:
        return shape
    needed = -(-shape.gpus // most)
    return replace(shape, nodes=needed, tasks=max(shape.tasks, needed))


def could_run(node: Node, shape: Shape) -> bool:
    """True where an empty node of this kind could run its part of the job, and may be given to it now."""
    cpus, memory, gpus, shards = of_one_node(shape)
    kinds = {each.type for each in node.gres if each.name == "gpu"}
    return (
        is_in(node, shape.partition)
        and node.state.is_usable
        and (node.cpus >= cpus and node.memory >= memory and node.gpus >= gpus and node.shards >= shards)
        and (not shape.gpu_type or shape.gpu_type in kinds)
        and (not shape.node_list or node.name in _names(shape.node_list))
        and _has_features(node, shape.features)
    )


def of_one_node(shape: Shape) -> Free:
    """Return what the job takes of each of its nodes, where it is spread evenly."""
    cpus, memory, gpus, shards = shape.cpus, shape.memory, shape.gpus, shape.shards
    nodes = shape.nodes
    return (-(-cpus // nodes), -(-memory // nodes), -(-gpus // nodes), -(-shards // nodes))


@lru_cache(maxsize=256)
def _names(text: str) -> frozenset[str]:
    return frozenset(expand(text))


def _has_features(node: Node, constraint: str) -> bool:
    """True where the node has what is asked for; what is more than `a&b` or `a|b` is left to Slurm."""
    if not constraint or any(sign in constraint for sign in "[]()*:"):
        return True
    has = set(node.active_features or node.features)
    return any(all(part in has for part in each.replace(",", "&").split("&")) for each in constraint.split("|"))


def _share(job: Job, nodes: int) -> Free:
    cpus, memory = job.tres.get("cpu", job.cpus), job.tres.get("mem", 0)
    return (-(-cpus // nodes), -(-memory // nodes), -(-job.gpus // nodes), -(-job.shards // nodes))


def _whole(node: Node, shards: int) -> int:
    """Return how many whole GPUs so many shares keep from being given away whole, packed as Slurm packs them."""
    return -(-shards * node.gpus // node.shards) if node.shards else 0


def _as_shares(node: Node, gpus: int) -> int:
    return gpus * node.shards // node.gpus if node.gpus else 0


def _overlaps(each: Reservation, node: Node, since: datetime, until: datetime) -> bool:
    starts_before = each.start_time is None or each.start_time < until
    ends_after = each.end_time is None or each.end_time > since
    return starts_before and ends_after and node.name in _names(each.nodes)


def _within(each: Reservation, node: Node, since: datetime, until: datetime) -> bool:
    starts_before = each.start_time is None or each.start_time <= since
    ends_after = each.end_time is None or each.end_time >= until or "FLEX" in each.flags
    return starts_before and ends_after and node.name in _names(each.nodes)
