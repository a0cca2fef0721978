"""What recurs: one list, run by the daemon, by `aistation duty run NAME` from cron, and by tests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from aistation_slurm.errors import UsageError
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.connect import Slurm

if TYPE_CHECKING:
    from aistation_slurm.faults.tools import Tools

Round = Callable[[], list[str]]
"""Does a duty once; returns a line for each thing that was done, or left and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What the duties work with."""

    settings: Settings
    slurm: Slurm
    engine: Engine
    actor: str
    dry_run: bool = False
    learn: Callable[[Collection[str]], None] | None = None
    """Told the nodes' names at each look, where a receiver of heartbeats is in this process."""

    @property
    def run_dir(self) -> Path:
        """The folder of what may be lost."""
        return self.settings.run_dir


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that recurs."""

    name: str
    every: timedelta
    help: str
    begin: Callable[[Station], Round]
    """Makes what the duty keeps between its rounds, and returns the round."""
    alone: bool = True
    """False where it may run beside the daemon's, as from root's cron: it keeps itself from doing a thing twice."""


def _begin_watch(station: Station) -> Round:
    from aistation_slurm.faults.watch import Watch  # noqa: PLC0415  (a duty that is not run is not imported)

    tools = _tools(station)
    return (Watch(tools, learn=station.learn) if station.learn else Watch(tools)).round


def _begin_recover(station: Station) -> Round:
    from aistation_slurm.faults.recover import Recovery  # noqa: PLC0415

    return Recovery(_tools(station)).round


def _begin_preempted(station: Station) -> Round:
    from aistation_slurm.faults.preempted import Preempted  # noqa: PLC0415

    return Preempted(_tools(station)).round


def _begin_requeue(station: Station) -> Round:
    from aistation_slurm.faults.resume_duty import Requeue, resume_policy  # noqa: PLC0415
    from aistation_slurm.jobs.judge import load_table, site_table  # noqa: PLC0415

    settings = station.settings
    return Requeue(
        _tools(station),
        table=lambda: load_table(site_table(settings.source)),
        policy=lambda: resume_policy(settings.cluster_file),
    ).round


def _begin_nights(station: Station) -> Round:
    from aistation_slurm.priority import nights  # noqa: PLC0415
    from aistation_slurm.store.audit import audit  # noqa: PLC0415

    def round_once() -> list[str]:
        now = datetime.now(UTC)
        step = nights.turn(station.settings.cluster_file, station.slurm, now=now, dry_run=station.dry_run)
        if step and not station.dry_run:
            audit(station.engine, str(step), actor=station.actor, now=now)
        return [str(step)] if step else []

    return round_once


def _begin_summaries(station: Station) -> Round:
    from aistation_slurm.jobs.summaries import Summaries  # noqa: PLC0415

    if not station.settings.daemon.summaries:
        return list
    summaries = Summaries(station.slurm, bin=station.settings.slurm.bin, dry_run=station.dry_run)
    return lambda: summaries.round(datetime.now(UTC))


def _tools(station: Station) -> Tools:
    from aistation_slurm.faults.policy import policy_of  # noqa: PLC0415
    from aistation_slurm.faults.tools import Tools  # noqa: PLC0415

    return Tools(
        slurm=station.slurm,
        engine=station.engine,
        run_dir=station.run_dir,
        policy=policy_of(station.settings.daemon, dry_run=station.dry_run),
        actor=station.actor,
    )


DUTIES: tuple[Duty, ...] = (
    Duty(
        "watch",
        timedelta(seconds=0.25),
        "Mark down the nodes that are lost, give back those that are well again.",
        _begin_watch,
    ),
    Duty(
        "recover",
        timedelta(seconds=0.2),
        "Follow the jobs of lost nodes until they run again.",
        _begin_recover,
    ),
    Duty(
        "preempted",
        timedelta(seconds=1),
        "Lift the wait of jobs that an emergency took the place of.",
        _begin_preempted,
    ),
    Duty(
        "requeue",
        timedelta(seconds=60),
        "Start again the trainings that ended too soon, from their checkpoints.",
        _begin_requeue,
        alone=False,
    ),
    Duty(
        "nights",
        timedelta(seconds=20),
        "Open QOS night when people are away, and close it when they are back.",
        _begin_nights,
    ),
    Duty(
        "summaries",
        timedelta(minutes=1),
        "Keep in its AdminComment what each job that ended used, as jobstats does.",
        _begin_summaries,
    ),
)


def duty(name: str) -> Duty:
    """Return the duty of this name.

    Raises:
        UsageError: there is none.
    """
    for each in DUTIES:
        if each.name == name:
            return each
    raise UsageError(f"no duty called {name!r}", hint=f"there are: {', '.join(each.name for each in DUTIES)}")
