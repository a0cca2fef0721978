"""`aistation job sweep show`, `best` and `list`."""

from __future__ import annotations

import csv
import getpass
import sys
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.errors import RequestError

if TYPE_CHECKING:
    from aistation_slurm.jobs.sweep.folder import Sweep
    from aistation_slurm.jobs.sweep.table import Member, Table
    from aistation_slurm.slurm.connect import Slurm

sweep_argument = click.argument("sweep_id", metavar="[ID]", required=False)
by_option = click.option("--by", metavar="METRIC", help="The metric to sort by; by default the loss, or the only one.")
max_option = click.option("--max/--min", "is_max", default=None, help="Which is best; by default what its name says.")


@click.command()
@sweep_argument
@by_option
@max_option
@click.option("--top", "-n", type=click.IntRange(1), help="Only the best so many.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
def show(
    sweep_id: str | None, by: str | None, is_max: bool | None, top: int | None, as_json: bool, as_csv: bool
) -> None:
    """Show each member of a sweep: its parameters, state and last metrics, best first.

    ID is the sweep's id, the id of one of its arrays, or its folder; without it, the last sweep of this folder.

    \b
    Examples:
      aistation job sweep show
      aistation job sweep show 1234 --by accuracy --max --top 10
      aistation job sweep show 1234 --csv > sweep.csv
    """
    table = _table(sweep_id, by, is_max)
    members = table.members[:top]
    if as_json:
        show_json({**_head(table.sweep), "by": table.by, "best": "max" if table.is_max else "min",
                   "counts": table.counts, "members": [_plain(each) for each in members]})  # fmt: skip
    elif as_csv:
        write = csv.writer(sys.stdout, lineterminator="\n")
        write.writerow(_columns(table))
        write.writerows(_row(table, each, full=True) for each in members)
    else:
        show_table(_columns(table, full=False), (_row(table, each, full=False) for each in members))
        say(f"sweep {table.sweep.submission}: {_counts(table)}{_order(table)}")


@click.command()
@sweep_argument
@by_option
@max_option
@json_option
def best(sweep_id: str | None, by: str | None, is_max: bool | None, as_json: bool) -> None:
    """Print the parameters of the best member of a sweep.

    \b
    Examples:
      aistation job sweep best
      aistation job sweep best 1234 --by accuracy --json
    """
    from aistation_slurm.jobs.sweep.values import write_value

    table = _table(sweep_id, by, is_max)
    if table.best is None:
        raise RequestError("no member has reported a metric yet", hint="a training reports by aistation_slurm.progress")
    if as_json:
        show_json(_plain(table.best))
        return
    for name, value in table.best.params.items():
        click.echo(f"{name}={write_value(value)}")
    folder = table.sweep.run_folder(table.best.attempt.array, table.best.number) if table.best.attempt.array else None
    say(f"member {table.best.number}, {table.by} {table.best.metrics[table.by]:.6g}, {table.best.state.value}"
        + (f"\nits checkpoints: {folder.checkpoints.resolve()}" if folder and folder.exists else ""))  # fmt: skip


@click.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List your sweeps of the last week, and those of this folder, newest first.

    \b
    Examples:
      aistation job sweep list
      aistation job sweep list --json
    """
    from aistation_slurm.jobs.sweep.find import recent
    from aistation_slurm.slurm.connect import connect

    found = recent(connect(), here=Path.cwd(), user=getpass.getuser(), now=datetime.now(UTC))
    if as_json:
        show_json([_head(each) for each in found])
        return
    show_table(("ID", "NAME", "MEMBERS", "JOBS", "SUBMITTED", "FOLDER"), (
        (each.submission, each.name, each.count, ",".join(str(array.job_id) for array in each.arrays),
         _when(each), each.work_dir) for each in found))  # fmt: skip


def find_here(slurm: Slurm, sweep_id: str | None) -> Sweep:
    """Return the sweep that is meant, by this user in this folder."""
    from aistation_slurm.jobs.sweep.find import find

    return find(sweep_id, slurm, here=Path.cwd(), user=getpass.getuser(), now=datetime.now(UTC))


def _table(sweep_id: str | None, by: str | None, is_max: bool | None) -> Table:
    from aistation_slurm.jobs.sweep.look import look
    from aistation_slurm.jobs.sweep.table import table_of
    from aistation_slurm.slurm.connect import connect

    slurm = connect()
    sweep = find_here(slurm, sweep_id)
    return table_of(sweep, look(sweep, slurm), by=by, is_max=is_max)


def _columns(table: Table, *, full: bool = True) -> list[str]:
    words = ["MEMBER", "JOBID", "STATE", "TRIES", "STEP"]
    names = [*table.param_names, *table.metric_names]
    return [
        *(each.lower() if full else each for each in words),
        *names,
        *(["reason"] if full else ["NODELIST(REASON)"]),
    ]


def _row(table: Table, member: Member, *, full: bool) -> list[object]:
    from aistation_slurm.jobs.sweep.values import write_value

    attempt, told = member.attempt, member.progress
    step = "" if told is None else f"{told.step}/{told.total}" if told.total and not full else str(told.step)
    params = (write_value(member.params[name]) if name in member.params else "" for name in table.param_names)
    values = (member.metrics.get(name) for name in table.metric_names)
    metrics = ("" if value is None else repr(value) if full else f"{value:.6g}" for value in values)
    tries = attempt.tries if attempt.tries > 1 or full else ""
    return [member.number, attempt.job_name, member.state.value, tries, step, *params, *metrics, _where(member)]


def _where(member: Member) -> str:
    job = member.attempt.job
    if job is None or job.state.is_success:
        return ""
    if job.nodes and job.state.is_running:
        return job.nodes
    if job.state.is_over:
        return "" if job.exit_code == "0:0" else f"exit {job.exit_code}"
    return f"({job.reason})"


def _plain(member: Member) -> dict[str, object]:
    attempt, job = member.attempt, member.attempt.job
    return {
        "member": member.number,
        "job": attempt.job_name,
        "state": member.state.value,
        "reason": job.reason if job else "",
        "exit_code": job.exit_code if job else "",
        "restarts": job.restart_count if job else 0,
        "tries": attempt.tries,
        "params": member.params,
        "step": member.progress.step if member.progress else None,
        "total": member.progress.total if member.progress else None,
        "metrics": {name: value if isfinite(value) else None for name, value in member.metrics.items()},
    }


def _head(sweep: Sweep) -> dict[str, object]:
    return {
        "sweep": sweep.submission,
        "name": sweep.name,
        "count": sweep.count,
        "jobs": [array.job_id for array in sweep.arrays],
        "submitted": _when(sweep),
        "folder": sweep.path,
        "source": sweep.source,
    }


def _when(sweep: Sweep) -> str:
    return sweep.arrays[0].submitted if sweep.arrays else "never"


def _counts(table: Table) -> str:
    return ", ".join(f"{count} {state}" for state, count in table.counts.items())


def _order(table: Table) -> str:
    return f"; best first by {table.by}, the {'largest' if table.is_max else 'smallest'}" if table.by else ""
