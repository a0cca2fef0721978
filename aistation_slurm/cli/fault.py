"""`aistation fault`: what broke, what was done about it, and how long it took."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, plain, say, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.faults.incidents import IncidentReport, JobReport


@click.group()
def fault() -> None:
    """What broke, what was done about it, and how long it took.

    \b
    Examples:
      aistation fault list
      aistation fault list --json -n 1
    """


@fault.command("list")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="The newest so many.")
@json_option
def list_faults(limit: int, as_json: bool) -> None:
    """List the nodes that were lost, their jobs, and how long each phase took, newest first."""
    from aistation_slurm.faults.incidents import recent
    from aistation_slurm.settings import load_settings
    from aistation_slurm.store.engine import open_store

    engine = open_store(load_settings().database, create=False)
    found = recent(engine, limit=limit)
    engine.dispose()
    if as_json:
        show_json([_as_json(each) for each in found])
    elif found:
        columns = ("ID", "LOST", "NODE", "STATE", "DOWN", "JOB", "REQUEUED", "KICKED", "RUNNING", "ON", "NOTE")
        show_table(columns, [row for each in found for row in _rows(each)])
        say("durations are counted from the last heartbeat of the node")
    else:
        say("no node was ever lost")


def _rows(incident: IncidentReport) -> list[tuple[str, ...]]:
    began = incident.began_at
    head = (str(incident.id), _clock(began), incident.node, incident.state, _span(incident.to_down))
    if not incident.jobs:
        return [(*head, "-", "", "", "", "", incident.note)]
    rows = []
    for index, job in enumerate(incident.jobs):
        lead = head if index == 0 else ("",) * len(head)
        rows.append((*lead, *_job_cells(job, began), job.note or (incident.note if index == 0 else "")))
    return rows


def _job_cells(job: JobReport, began: datetime) -> tuple[str, ...]:
    times = (job.requeued_at, job.kicked_at, job.running_at)
    return (str(job.job_id), *(_span(each - began if each else None) for each in times), job.running_nodes)


def _as_json(incident: IncidentReport) -> object:
    spans = {"to_down": incident.to_down, "to_requeued": incident.to_requeued, "to_running": incident.to_running}
    return {**plain(incident), "state": incident.state, **plain(spans)}


def _span(span: timedelta | None) -> str:
    return f"{span.total_seconds():.1f} s" if span is not None else ""


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
