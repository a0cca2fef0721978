"""`aistation job events`."""

from __future__ import annotations

import click

from aistation_slurm.cli.show import json_option, show_json, show_table


@click.command()
@click.argument("job")
@json_option
def events(job: str, as_json: bool) -> None:
    """Show a job's life: when it was submitted, started, saved, was requeued and why, and how it ended.

    \b
    Examples:
      aistation job events 1234
      aistation job events --json 1234_5
    """
    from aistation_slurm.jobs.events import events_of
    from aistation_slurm.jobs.named import find_job, read_job_name
    from aistation_slurm.slurm.connect import connect

    slurm = connect()
    found = events_of(slurm, find_job(slurm, read_job_name(job)))
    if as_json:
        show_json([{"time": each.at, "what": each.what, "detail": each.detail} for each in found])
        return
    rows = []
    last = ""
    for each in found:
        local = each.at.astimezone()
        day = f"{local:%Y-%m-%d}"
        rows.append((day if day != last else "", f"{local:%H:%M:%S}", each.what, each.detail))
        last = day
    show_table(("DATE", "TIME", "WHAT", ""), rows)
