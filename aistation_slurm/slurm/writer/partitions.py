"""Orders about partitions, which hold until the next reconfigure, and about reservations of our own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, Unpack

from aistation_slurm.errors import InvalidRequest, SlurmUnreadable
from aistation_slurm.slurm.marks import RESERVATION_MARK, is_our_reservation
from aistation_slurm.slurm.runner import Completed, shown
from aistation_slurm.slurm.tres import write_tres
from aistation_slurm.slurm.units import write_duration, write_time
from aistation_slurm.slurm.writer.orders import Orders, listed, one_name

_MADE = re.compile(r"^Reservation created: (?P<name>\S+)$", re.MULTILINE)
_NOT_THERE = re.compile(r"requested reservation is invalid", re.IGNORECASE)

Names = tuple[str, ...]


class PartitionChanges(TypedDict, total=False):
    """What can be changed about a partition; what is not named stays as it is."""

    state: Literal["UP", "DOWN", "DRAIN", "INACTIVE"]
    max_time: timedelta | None
    """None is no limit."""
    default_time: timedelta | None
    nodes: str
    max_nodes: int | None
    priority_tier: int
    allow_accounts: Names
    """Nobody named: every account may."""
    allow_qos: Names
    is_hidden: bool


class ReservationChanges(TypedDict, total=False):
    """What a reservation is made of; what is not named stays as it is, or as Slurm makes it."""

    start_time: datetime
    end_time: datetime
    duration: timedelta | None
    """None is without end."""
    nodes: str
    node_count: int
    partition: str
    users: Names
    accounts: Names
    flags: Names
    """Slurm's words: `MAINT`, `FLEX`, `MAGNETIC`, `DAILY`, ..."""
    features: str
    tres: Mapping[str, int]


_Words = Mapping[str, tuple[str, Callable[[Any], str]]]
_PARTITION: _Words = {
    "state": ("State", str),
    "max_time": ("MaxTime", write_duration),
    "default_time": ("DefaultTime", write_duration),
    "nodes": ("Nodes", str),
    "max_nodes": ("MaxNodes", lambda count: "UNLIMITED" if count is None else str(count)),
    "priority_tier": ("PriorityTier", str),
    "allow_accounts": ("AllowAccounts", lambda names: listed("account", names) or "ALL"),
    "allow_qos": ("AllowQos", lambda names: listed("QOS", names) or "ALL"),
    "is_hidden": ("Hidden", lambda hidden: "YES" if hidden else "NO"),
}
_RESERVATION: _Words = {
    "start_time": ("StartTime", write_time),
    "end_time": ("EndTime", write_time),
    "duration": ("Duration", write_duration),
    "nodes": ("Nodes", str),
    "node_count": ("NodeCnt", str),
    "partition": ("PartitionName", str),
    "users": ("Users", lambda names: listed("user", names)),
    "accounts": ("Accounts", lambda names: listed("account", names)),
    "flags": ("Flags", ",".join),
    "features": ("Features", str),
    "tres": ("TRES", write_tres),
}


class PartitionOrders(Orders):
    """Opens and closes partitions, and keeps nodes in reservations."""

    def update_partition(self, name: str, **changes: Unpack[PartitionChanges]) -> None:
        """Change a partition until the next reconfigure.

        Raises:
            ValueError: no change is named.
        """
        words = _words(_PARTITION, changes)
        self._order(("scontrol", "update", f"PartitionName={one_name('partition', name)}", *words))

    def create_reservation(self, name: str, **wishes: Unpack[ReservationChanges]) -> str:
        """Return the name of the reservation that was made; it begins now where no start is named.

        The mark stands in its name, since up to 22.05 a reservation has no comment.

        Raises:
            ValueError: the name does not begin with our mark.
            InUse: there is one of that name already, or another holds the nodes.
        """
        start = () if "start_time" in wishes else ("StartTime=now",)
        argv = ("scontrol", "create", "reservation", _ours(name), *start, *_words(_RESERVATION, wishes))
        match = _MADE.search(self._order(argv).stdout)
        if not match:
            raise SlurmUnreadable("no reservation in the answer", where=shown(argv))
        return match["name"]

    def update_reservation(self, name: str, **changes: Unpack[ReservationChanges]) -> None:
        """Change a reservation of ours.

        Raises:
            ValueError: the name does not begin with our mark, or no change is named.
        """
        self._order(("scontrol", "update", _ours(name), *_words(_RESERVATION, changes)))

    def delete_reservation(self, name: str) -> bool:
        """Take a reservation of ours away; False where there was none.

        Raises:
            ValueError: the name does not begin with our mark.
            InUse: a job runs in it.
        """
        return not self._order(("scontrol", "delete", _ours(name)), is_done=_is_not_there).returncode


def _ours(name: str) -> str:
    if not is_our_reservation(name):
        raise ValueError(f"the reservation {name!r} does not begin with {RESERVATION_MARK!r}")
    return f"ReservationName={one_name('reservation', name)}"


def _words(words: _Words, changes: Mapping[str, Any]) -> tuple[str, ...]:
    if not changes:
        raise ValueError("nothing is to be changed")
    if torn := [key for key, value in changes.items() if isinstance(value, str) and not value.isprintable()]:
        raise InvalidRequest(f"{', '.join(torn)} can't hold a control character")
    return tuple(f"{word}={write(changes[key])}" for key, (word, write) in words.items() if key in changes)


def _is_not_there(done: Completed) -> bool:
    return bool(_NOT_THERE.search(done.stderr))
