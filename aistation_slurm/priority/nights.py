"""QOS `night` is opened when people are away, and closed when they are back: look, decide, act.

By day its GrpJobs is 0, so that what is submitted under it waits (QOSGrpJobsLimit). What runs when the night ends goes
on: no job is ended by the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from aistation_slurm.priority.calendar import is_open, next_change
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Qos
from aistation_slurm.spec import NIGHT, Calendar, ClusterSpec, load_spec

CLOSED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnNight:
    """QOS `night` is to be opened or closed."""

    qos: Qos
    opens: bool
    until: datetime | None
    """When that changes next, in the cluster's own time."""

    def __str__(self) -> str:
        old = "none" if self.qos.limits.grp_jobs is None else self.qos.limits.grp_jobs
        until = f" until {self.until:%Y-%m-%d %H:%M %Z}" if self.until else ""
        return f"~ qos {self.qos.name}  GrpJobs {old} -> {'none' if self.opens else CLOSED} ({self.word}{until})"

    @property
    def word(self) -> str:
        """What it is from now on."""
        return "open" if self.opens else "closed"


def decide(calendar: Calendar, timezone: str, qos: Qos, now: datetime) -> TurnNight | None:
    """Return what is to be done with the QOS now, or None; a limit other than 0 that somebody set stays by night."""
    opens = is_open(calendar, timezone, now)
    if opens is (qos.limits.grp_jobs != CLOSED):
        return None
    until = next_change(calendar, timezone, now)
    return TurnNight(qos=qos, opens=opens, until=until.astimezone(ZoneInfo(timezone)) if until else None)


def look(spec: ClusterSpec, slurm: Slurm) -> Qos | None:
    """Return the QOS, or None where there is none of ours; one that the file no longer wants is left to `apply`."""
    if not spec.calendar.has_nights:
        return None
    return next((qos for qos in slurm.read.qos() if qos.name == NIGHT and qos.description == MARK), None)


def carry_out(step: TurnNight, slurm: Slurm) -> None:
    """Open or close the QOS; slurmctld hears of it from slurmdbd at once."""
    limits = replace(step.qos.limits, grp_jobs=None if step.opens else CLOSED)
    slurm.write.modify_qos(step.qos, limits=limits)


def turn(cluster_file: Path, slurm: Slurm, *, now: datetime, dry_run: bool = False) -> TurnNight | None:
    """Do what is to be done now, and return it; nothing where there is no cluster file.

    Raises:
        SpecError: the cluster file is wrong.
        SettingsError: its holidays are not known.
        SlurmError: Slurm can't be asked, or refused.
    """
    if not cluster_file.is_file():
        return None
    spec = load_spec(cluster_file)
    qos = look(spec, slurm)
    step = decide(spec.calendar, spec.timezone, qos, now) if qos else None
    if step and not dry_run:
        carry_out(step, slurm)
    return step
