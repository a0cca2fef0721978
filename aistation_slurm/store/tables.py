"""The tables: who leads, what broke and what came of it, which trainings are started again, and what we did.

Times are aware and in UTC, in Python and in every database.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.types import DateTime, TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time; kept as UTC without a zone, since neither SQLite nor MariaDB keeps one."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Return the column's type; MariaDB's own would drop what is below a second."""
        kind = mysql.DATETIME(fsp=6) if dialect.name in {"mysql", "mariadb"} else DateTime()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what the database keeps."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return what it kept, aware again."""
        return None if value is None else value.replace(tzinfo=UTC)


class Lease(SQLModel, table=True):
    """Who does a thing that only one may do, and until when."""

    name: str = Field(primary_key=True, max_length=64)
    holder: str = Field(max_length=255)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    term: int = Field(default=1, description="Rises with each new holder.")


class Incident(SQLModel, table=True):
    """A node that was lost: from its last heartbeat until it is back."""

    id: int | None = Field(default=None, primary_key=True)
    node: str = Field(index=True, max_length=128)
    why: str = Field(default="", max_length=1024)
    last_beat_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    noticed_at: datetime = Field(sa_type=UtcDateTime)
    down_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)
    back_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="When it was given back to Slurm.")
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)
    note: str = Field(default="", max_length=1024)


class LostJob(SQLModel, table=True):
    """A job that an incident took a node from, and how it went on."""

    id: int | None = Field(default=None, primary_key=True)
    incident_id: int = Field(foreign_key="incident.id", index=True)
    job_id: int = Field(index=True)
    name: str = Field(default="", max_length=1024)
    user: str = Field(default="", max_length=255)
    nodes: str = Field(default="", max_length=4096, description="Where it ran when the node was lost.")
    restart_count: int = Field(default=0, description="Its restart count then.")
    phase: str = Field(default="leaving", max_length=16, index=True)
    requeued_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="When it waited again.")
    kicked_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="When its start was set to now.")
    kicks: int = Field(default=0)
    running_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    running_nodes: str = Field(default="", max_length=4096)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="When it needed us no more.")
    note: str = Field(default="", max_length=1024)


class WatchedJob(SQLModel, table=True):
    """A job whose owner wants it started again: what slurmctld knows of it, and forgets soon after its end."""

    __table_args__ = (UniqueConstraint("job_id", "submission"),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: int
    submission: str = Field(max_length=64, description="The id in its Comment: Slurm gives out a number anew.")
    array_job_id: int | None = Field(default=None)
    array_task: str = Field(default="", max_length=64)
    name: str = Field(default="", max_length=1024)
    user: str = Field(default="", max_length=255)
    comment: str = Field(default="", max_length=4096)
    work_dir: str = Field(default="", max_length=4096)
    stdout: str = Field(default="", max_length=4096)
    restart_count: int = Field(default=0, description="Its restart count when it was last seen.")
    seen_at: datetime = Field(sa_type=UtcDateTime)
    over: bool = Field(default=False, index=True, description="True once nothing is left to do for it.")


class Resumption(SQLModel, table=True):
    """What was decided about one run of a job that ended, and what came of it. One row for each run, and no more."""

    __table_args__ = (UniqueConstraint("job_id", "submission", "restart_count"),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: int
    submission: str = Field(max_length=64)
    restart_count: int = Field(description="Which run of it ended.")
    name: str = Field(default="", max_length=1024)
    user: str = Field(default="", max_length=255)
    nodes: str = Field(default="", max_length=4096, description="Where that run was.")
    action: str = Field(max_length=16, description="`restart`, or `stop`.")
    whose: str = Field(default="", max_length=16)
    rule: str = Field(default="", max_length=64, description="The rule of the judge.")
    why: str = Field(default="", max_length=1024)
    step: int | None = Field(default=None, description="Its newest checkpoint then.")
    progressed: bool = Field(default=False, description="Whether that run had come further than the one before.")
    tries: int = Field(default=1)
    decided_at: datetime = Field(sa_type=UtcDateTime, index=True)
    done_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="When Slurm had taken it back.")
    told_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="When its owner was told.")
    note: str = Field(default="", max_length=1024)


class AuditEntry(SQLModel, table=True):
    """One thing that we did, in the line that said so."""

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    actor: str = Field(max_length=255)
    what: str = Field(max_length=2048)
