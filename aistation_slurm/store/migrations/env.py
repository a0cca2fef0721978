"""Alembic runs this for each migration; the connection comes from `store.engine`."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from aistation_slurm.store import tables

assert tables.Lease.metadata is SQLModel.metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
