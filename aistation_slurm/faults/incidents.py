"""What broke, remembered: from the last heartbeat of a node until it is back, and how each of its jobs went on.

The state of a recovery stands here and in Slurm, nowhere else: a daemon that was killed in the middle goes on from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlmodel import col, select

from aistation_slurm.slurm.model import Job
from aistation_slurm.store.engine import session
from aistation_slurm.store.tables import Incident, LostJob

_SOON = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class JobReport:
    """How one job went on after its node was lost."""

    job_id: int
    name: str
    user: str
    nodes: str
    phase: str
    running_nodes: str
    requeued_at: datetime | None
    kicked_at: datetime | None
    running_at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class IncidentReport:
    """One lost node, with its jobs and how long each phase took."""

    id: int
    node: str
    why: str
    last_beat_at: datetime | None
    noticed_at: datetime
    down_at: datetime | None
    back_at: datetime | None
    closed_at: datetime | None
    note: str
    jobs: tuple[JobReport, ...]

    @property
    def began_at(self) -> datetime:
        """When the node was last heard: the best that is known of when it was lost."""
        return self.last_beat_at or self.noticed_at

    @property
    def to_down(self) -> timedelta | None:
        """From the last heartbeat until Slurm gave up its jobs."""
        return self.down_at - self.began_at if self.down_at else None

    @property
    def to_requeued(self) -> timedelta | None:
        """From there until the last of its jobs had left its other nodes."""
        return self._last(each.requeued_at for each in self.jobs)

    @property
    def to_running(self) -> timedelta | None:
        """From the last heartbeat until the last of its jobs that ran again was running again."""
        last = self._last(each.running_at for each in self.jobs)
        return last + (self.to_down or timedelta()) if last is not None else None

    @property
    def state(self) -> str:
        """`recovering`, `away` (its jobs are seen to, the node is not back) or `closed`."""
        if self.closed_at:
            return "closed"
        return "recovering" if any(each.phase != "over" for each in self.jobs) else "away"

    def _last(self, times: Iterable[datetime | None]) -> timedelta | None:
        known = [each for each in times if each is not None]
        return max(known) - self.down_at if known and self.down_at else None


def open_incident(
    engine: Engine, node: str, *, why: str, last_beat: datetime | None, jobs: Iterable[Job], now: datetime
) -> int:
    """Return the node's incident, opened before anything is done; one begun and not carried out is used again."""
    with session(engine) as work:
        begun = select(Incident).where(Incident.node == node, col(Incident.closed_at).is_(None))
        incident = work.exec(begun.order_by(col(Incident.id).desc())).first()
        if incident is None or incident.down_at is not None:
            if incident is not None:
                incident.closed_at, incident.note = now, "lost again before it was given back"
            incident = Incident(node=node, why=why, last_beat_at=last_beat, noticed_at=now)
            work.add(incident)
            work.flush()
        assert incident.id is not None
        known = set(work.exec(select(LostJob.job_id).where(LostJob.incident_id == incident.id)))
        work.add_all(_lost(job, incident.id) for job in jobs if job.job_id not in known)
        return incident.id


def _lost(job: Job, incident_id: int) -> LostJob:
    return LostJob(
        incident_id=incident_id,
        job_id=job.job_id,
        name=job.name[:1024],
        user=job.user,
        nodes=job.nodes[:4096],
        restart_count=job.restart_count,
    )


def marked_down(engine: Engine, incident_id: int, *, now: datetime) -> None:
    """Remember that Slurm has given up the node's jobs."""
    with session(engine) as work:
        incident = work.get_one(Incident, incident_id)
        incident.down_at = incident.down_at or now


def given_back(engine: Engine, node: str, *, now: datetime, note: str = "") -> None:
    """Remember that the node is Slurm's again."""
    with session(engine) as work:
        for incident in work.exec(select(Incident).where(Incident.node == node, col(Incident.closed_at).is_(None))):
            incident.back_at = incident.closed_at = now
            incident.note = note or incident.note


def open_incidents(engine: Engine) -> list[Incident]:
    """Return the incidents whose node is not back, oldest first."""
    with session(engine) as work:
        return list(work.exec(select(Incident).where(col(Incident.closed_at).is_(None)).order_by(col(Incident.id))))


def lost_since(engine: Engine, since: datetime) -> set[str]:
    """Return the nodes that were marked down since then: what the breaker counts."""
    with session(engine) as work:
        return set(work.exec(select(Incident.node).where(col(Incident.down_at) >= since)))


def jobs_to_follow(engine: Engine) -> list[tuple[LostJob, Incident]]:
    """Return the jobs of nodes that are marked down which are not yet seen to."""
    wanted = (
        select(LostJob, Incident)
        .join(Incident, col(LostJob.incident_id) == col(Incident.id))
        .where(col(LostJob.ended_at).is_(None), col(Incident.down_at).is_not(None))
        .order_by(col(LostJob.id))
    )
    with session(engine) as work:
        return [(lost, incident) for lost, incident in work.exec(wanted)]


def save(engine: Engine, lost: LostJob) -> None:
    """Remember how far the job is."""
    with session(engine) as work:
        work.merge(lost)


def recent(engine: Engine, *, limit: int = 20) -> list[IncidentReport]:
    """Return the newest incidents with their jobs, newest first."""
    with session(engine) as work:
        incidents = work.exec(select(Incident).order_by(col(Incident.id).desc()).limit(limit)).all()
        ids = [each.id for each in incidents]
        jobs = work.exec(select(LostJob).where(col(LostJob.incident_id).in_(ids)).order_by(col(LostJob.id))).all()
    return [_report(each, [job for job in jobs if job.incident_id == each.id]) for each in incidents]


def _report(incident: Incident, jobs: Sequence[LostJob]) -> IncidentReport:
    return IncidentReport(
        id=incident.id or 0,
        node=incident.node,
        why=incident.why,
        last_beat_at=incident.last_beat_at,
        noticed_at=incident.noticed_at,
        down_at=incident.down_at,
        back_at=incident.back_at,
        closed_at=incident.closed_at,
        note=incident.note,
        jobs=tuple(
            JobReport(
                each.job_id, each.name, each.user, each.nodes, each.phase, each.running_nodes,
                each.requeued_at, each.kicked_at, each.running_at, each.note,
            )
            for each in jobs
        ),
    )  # fmt: skip
