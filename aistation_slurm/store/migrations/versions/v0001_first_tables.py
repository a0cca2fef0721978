"""The first tables: lease, incidents and their jobs, audit.

Revision: 0001
Follows: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel import AutoString

from aistation_slurm.store.tables import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "lease",
        sa.Column("name", AutoString(length=64), primary_key=True),
        sa.Column("holder", AutoString(length=255), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
    )
    op.create_table(
        "auditentry",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("at", UtcDateTime(), nullable=False, index=True),
        sa.Column("actor", AutoString(length=255), nullable=False),
        sa.Column("what", AutoString(length=2048), nullable=False),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("node", AutoString(length=128), nullable=False, index=True),
        sa.Column("why", AutoString(length=1024), nullable=False),
        sa.Column("last_beat_at", UtcDateTime()),
        sa.Column("noticed_at", UtcDateTime(), nullable=False),
        sa.Column("down_at", UtcDateTime(), index=True),
        sa.Column("back_at", UtcDateTime()),
        sa.Column("closed_at", UtcDateTime(), index=True),
        sa.Column("note", AutoString(length=1024), nullable=False),
    )
    op.create_table(
        "lostjob",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("incident_id", sa.Integer(), sa.ForeignKey("incident.id"), nullable=False, index=True),
        sa.Column("job_id", sa.Integer(), nullable=False, index=True),
        sa.Column("name", AutoString(length=1024), nullable=False),
        sa.Column("user", AutoString(length=255), nullable=False),
        sa.Column("nodes", AutoString(length=4096), nullable=False),
        sa.Column("restart_count", sa.Integer(), nullable=False),
        sa.Column("phase", AutoString(length=16), nullable=False, index=True),
        sa.Column("requeued_at", UtcDateTime()),
        sa.Column("kicked_at", UtcDateTime()),
        sa.Column("kicks", sa.Integer(), nullable=False),
        sa.Column("running_at", UtcDateTime()),
        sa.Column("running_nodes", AutoString(length=4096), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("note", AutoString(length=1024), nullable=False),
    )
