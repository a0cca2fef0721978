"""What we did, remembered: one row for each thing, in the line that said so."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine
from sqlmodel import col, select

from aistation_slurm.store.engine import session
from aistation_slurm.store.tables import AuditEntry


def audit(engine: Engine, what: str, *, actor: str, now: datetime) -> None:
    """Remember one thing that was done, in the line that said so, and who did it."""
    with session(engine) as work:
        work.add(AuditEntry(at=now, actor=actor[:255], what=what[:2048]))


def newest(engine: Engine, *, limit: int = 20) -> list[AuditEntry]:
    """Return what was done last, newest first."""
    with session(engine) as work:
        return list(work.exec(select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)))
