"""Which trainings are started again, and what was decided about each of their runs.

Revision: 0002
Follows: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel import AutoString

from aistation_slurm.store.tables import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "watchedjob",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("submission", AutoString(length=64), nullable=False),
        sa.Column("array_job_id", sa.Integer()),
        sa.Column("array_task", AutoString(length=64), nullable=False),
        sa.Column("name", AutoString(length=1024), nullable=False),
        sa.Column("user", AutoString(length=255), nullable=False),
        sa.Column("comment", AutoString(length=4096), nullable=False),
        sa.Column("work_dir", AutoString(length=4096), nullable=False),
        sa.Column("stdout", AutoString(length=4096), nullable=False),
        sa.Column("restart_count", sa.Integer(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("over", sa.Boolean(), nullable=False, index=True),
        sa.UniqueConstraint("job_id", "submission"),
    )
    op.create_table(
        "resumption",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("submission", AutoString(length=64), nullable=False),
        sa.Column("restart_count", sa.Integer(), nullable=False),
        sa.Column("name", AutoString(length=1024), nullable=False),
        sa.Column("user", AutoString(length=255), nullable=False),
        sa.Column("nodes", AutoString(length=4096), nullable=False),
        sa.Column("action", AutoString(length=16), nullable=False),
        sa.Column("whose", AutoString(length=16), nullable=False),
        sa.Column("rule", AutoString(length=64), nullable=False),
        sa.Column("why", AutoString(length=1024), nullable=False),
        sa.Column("step", sa.Integer()),
        sa.Column("progressed", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False, index=True),
        sa.Column("done_at", UtcDateTime()),
        sa.Column("told_at", UtcDateTime()),
        sa.Column("note", AutoString(length=1024), nullable=False),
        sa.UniqueConstraint("job_id", "submission", "restart_count"),
    )
