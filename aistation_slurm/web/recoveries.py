"""Recent incidents, out of our tables: read only, and never in the way of the page."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlmodel import col, select

from aistation_slurm.errors import StoreError
from aistation_slurm.slurm.marks import REASON_MARK
from aistation_slurm.store.engine import open_store, session
from aistation_slurm.store.tables import Incident, LostJob
from aistation_slurm.web.snapshots import Recovery

log = logging.getLogger(__name__)

NEWEST = 6


class StoreRecoveries:
    """Reads the newest incidents; none where the tables can't be used, which is said once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._said = ""

    def __call__(self) -> tuple[Recovery, ...]:
        """Return the newest incidents, newest first."""
        try:
            if self._engine is None:
                self._engine = open_store(self._url, create=False)
            found = self._read(self._engine)
        except StoreError as error:
            self.close()
            self._say(f"incidents are not shown: {error}")
            return ()
        self._said = ""
        return found

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _read(self, engine: Engine) -> tuple[Recovery, ...]:
        with session(engine) as work:
            newest = select(Incident).where(col(Incident.down_at).is_not(None))
            incidents = work.exec(newest.order_by(col(Incident.noticed_at).desc()).limit(NEWEST)).all()
            ids = [each.id for each in incidents]
            lost = work.exec(select(LostJob).where(col(LostJob.incident_id).in_(ids))).all()
        jobs: dict[int, list[LostJob]] = defaultdict(list)
        for job in lost:
            jobs[job.incident_id].append(job)
        return tuple(recovery(each, jobs[each.id or 0]) for each in incidents)

    def _say(self, text: str) -> None:
        if text != self._said:
            log.warning("%s", text)
            self._said = text


def recovery(incident: Incident, jobs: Sequence[LostJob]) -> Recovery:
    """Return the incident and its jobs as the page tells them."""
    return Recovery(
        node=incident.node,
        what=_what(incident),
        at=incident.noticed_at,
        job_ids=tuple(sorted(job.job_id for job in jobs)),
        steps=tuple(sorted(_steps(incident, jobs), key=lambda step: step[1])),
        recovered_in=_recovered_in(incident, jobs),
    )


def _what(incident: Incident) -> str:
    """Return what was seen, without the node's name and the jobs, which stand beside it."""
    seen = incident.why.removeprefix(f"down {incident.node}: ").partition("; job")[0]
    return seen.removeprefix(REASON_MARK).strip() or "lost"


def _steps(incident: Incident, jobs: Sequence[LostJob]) -> Iterable[tuple[str, datetime]]:
    moments = {
        "last heartbeat": incident.last_beat_at,
        "marked down": incident.down_at,
        "jobs requeued": _last(job.requeued_at for job in jobs),
        "start lifted": _last(job.kicked_at for job in jobs),
        "running again": _last(job.running_at for job in jobs),
        "node back": incident.back_at,
    }
    return ((words, at) for words, at in moments.items() if at is not None)


def _recovered_in(incident: Incident, jobs: Sequence[LostJob]) -> timedelta | None:
    """From the last sign of life to the last job running; None while one is still on its way."""
    running = _last(job.running_at for job in jobs)
    if running is None or any(job.running_at is None and job.ended_at is None for job in jobs):
        return None
    return running - (incident.last_beat_at or incident.noticed_at)


def _last(moments: Iterable[datetime | None]) -> datetime | None:
    return max((each for each in moments if each), default=None)
