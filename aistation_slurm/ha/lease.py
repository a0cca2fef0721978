"""A lease: one row with an expiry, so that of several daemons only one acts.

Each step is a single UPDATE or INSERT that succeeds for one caller only, on every database. `now` is the caller's: the
machines' clocks need to agree to well below the length of the lease.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import CursorResult, Engine, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from aistation_slurm.errors import NotLeader
from aistation_slurm.node.heartbeat import boot_id
from aistation_slurm.store.engine import session
from aistation_slurm.store.tables import Lease

LEADER = "leader"
LENGTH = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, and until when."""

    name: str
    expires_at: datetime
    term: int


def me() -> str:
    """Return this process as a holder: `host/boot-namespace:pid`."""
    return f"{_here()}:{os.getpid()}"


def is_gone(holder: str) -> bool:
    """True where the holder was a process of this very machine that is no more: its lease need not be waited for."""
    here, _, pid = holder.rpartition(":")
    if here != _here() or not pid.isdecimal():
        return False
    try:
        state = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in {"Z", "X"}  # it has ended, and its parent has not looked yet


def acquire(engine: Engine, *, holder: str, now: datetime, name: str = LEADER, length: timedelta = LENGTH) -> bool:
    """Take or renew the lease; True where it is the holder's until `now + length`.

    Raises:
        StoreError: the database failed; then nobody may think that it leads.
    """
    with session(engine) as work:
        if _renew(work, holder, now + length, now, name) or _take_over(work, holder, now + length, now, name):
            return True
        if work.get(Lease, name) is not None:
            return False
    try:
        with session(engine) as work, work.begin_nested():
            work.execute(insert(Lease).values(name=name, holder=holder, expires_at=now + length, term=1))
    except IntegrityError:
        return False
    return True


def release(engine: Engine, *, holder: str, now: datetime, name: str = LEADER) -> None:
    """Give the lease back, if it is the holder's, so that the next one need not wait."""
    mine = (col(Lease.name) == name, col(Lease.holder) == holder)
    with session(engine) as work:
        work.execute(update(Lease).where(*mine).values(expires_at=now))


def holder_of(engine: Engine, *, now: datetime, name: str = LEADER) -> Holder | None:
    """Return who holds the lease; None where nobody does, or no more."""
    with session(engine) as work:
        lease = work.execute(select(Lease).where(col(Lease.name) == name)).scalar_one_or_none()
    if lease is None or lease.expires_at <= now:
        return None
    return Holder(lease.holder, lease.expires_at, lease.term)


def require(engine: Engine, *, holder: str, now: datetime, name: str = LEADER) -> None:
    """Take or renew the lease.

    Raises:
        NotLeader: another holds it.
    """
    if acquire(engine, holder=holder, now=now, name=name):
        return
    other = holder_of(engine, now=now, name=name)
    raise NotLeader(
        f"{other.name if other else 'another process'} does the duties",
        hint="`aistation duty run NAME --dry-run` looks without acting",
    )


def _here() -> str:
    """Where process ids mean the same: machines and containers may share a host name."""
    with contextlib.suppress(OSError):
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
        return f"{socket.gethostname()}/{boot_id()[:8]}-{namespace}"
    return socket.gethostname()


def _renew(work: Session, holder: str, until: datetime, now: datetime, name: str) -> bool:
    """Renew what is the holder's own and has not run out."""
    mine = (col(Lease.name) == name, col(Lease.holder) == holder, col(Lease.expires_at) > now)
    return _one(work.execute(update(Lease).where(*mine).values(expires_at=until)))


def _take_over(work: Session, holder: str, until: datetime, now: datetime, name: str) -> bool:
    """Take what ran out, or what belonged to a process of this machine that is no more."""
    found = work.get(Lease, name)
    if found is None:
        return False
    gone = found.holder if is_gone(found.holder) else holder
    over = (col(Lease.name) == name, or_(col(Lease.expires_at) <= now, col(Lease.holder) == gone))
    fresh = {"holder": holder, "expires_at": until, "term": Lease.term + 1}
    return _one(work.execute(update(Lease).where(*over).values(**fresh)))


def _one(result: object) -> bool:
    return isinstance(result, CursorResult) and result.rowcount == 1
