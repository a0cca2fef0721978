"""`aistation duty`: what recurs, once, by hand or from cron."""

from __future__ import annotations

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table


@click.group()
def duty() -> None:
    """Run what recurs, once: the same functions that the daemon runs.

    \b
    Examples:
      aistation duty list
      aistation duty run watch --dry-run
    """


@duty.command("list")
@json_option
def list_duties(as_json: bool) -> None:
    """List the duties and how often the daemon runs each."""
    from aistation_slurm.duties import DUTIES

    if as_json:
        show_json([{"name": each.name, "every": each.every, "help": each.help} for each in DUTIES])
        return
    rows = [(each.name, f"{each.every.total_seconds():g} s", each.help) for each in DUTIES]
    show_table(("DUTY", "EVERY", "WHAT"), rows)


@duty.command("run")
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def run_duty(name: str, dry_run: bool) -> None:
    """Run the duty NAME once; refused while a daemon does it, unless it is a dry run or may run beside (`requeue`)."""
    from datetime import UTC, datetime

    from aistation_slurm.duties import Station
    from aistation_slurm.duties import duty as find_duty
    from aistation_slurm.ha import lease
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect
    from aistation_slurm.store.engine import open_store

    found, settings = find_duty(name), load_settings()
    engine = open_store(settings.database)
    leads = found.alone and not dry_run
    if leads:
        lease.require(engine, holder=lease.me(), now=datetime.now(UTC))
    station = Station(
        settings=settings, slurm=connect(settings.slurm), engine=engine, actor=lease.me(), dry_run=dry_run
    )
    try:
        lines = found.begin(station)()
    finally:
        if leads:
            lease.release(engine, holder=lease.me(), now=datetime.now(UTC))
        engine.dispose()
    for line in lines:
        click.echo(line)
    if not lines:
        say(f"{name}: nothing to do")
