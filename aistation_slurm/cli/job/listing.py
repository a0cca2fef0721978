"""`aistation job list`."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.listing import Line, Training, Wanted
    from aistation_slurm.slurm.states import JobState

COLUMNS = ("JOBID", "NAME", "GROUP", "STATE", "TIME", "NODES", "GPUS", "PROGRESS", "LAST", "NODELIST(REASON)")
_CODES = {"PD": "PENDING", "R": "RUNNING", "CG": "COMPLETING", "CD": "COMPLETED", "F": "FAILED", "CA": "CANCELLED",
          "TO": "TIMEOUT", "NF": "NODE_FAIL", "PR": "PREEMPTED", "OOM": "OUT_OF_MEMORY", "S": "SUSPENDED"}  # fmt: skip


@click.command("list")
@click.option("--all", "everyone", is_flag=True, help="Everybody's, not only mine.")
@click.option("--user", "-u", help="This user's, not mine.")
@click.option(
    "--state", "-t", "states", multiple=True, metavar="STATE", help="Only in this state: PENDING or PD, R, F..."
)
@click.option("--group", "-p", "groups", multiple=True, help="Only of this GPU group.")
@click.option("--name", "-n", "names", multiple=True, metavar="PATTERN", help="Only of this name: 'resnet-*'.")
@click.option("--since", metavar="WHEN", help="Also those that are long over: 12h, 3d, 2w ago, or a date.")
@click.option("--history", is_flag=True, help="Those of the last week: --since 7d.")
@click.option("--members", is_flag=True, help="A line for each member of an array.")
@click.option("--watch", type=click.FloatRange(1), metavar="SECONDS", help="Print it anew every so many seconds.")
@json_option
def list_(
    everyone: bool,
    user: str | None,
    states: tuple[str, ...],
    groups: tuple[str, ...],
    names: tuple[str, ...],
    since: str | None,
    history: bool,
    members: bool,
    watch: float | None,
    as_json: bool,
) -> None:
    """List the jobs that wait, run, or ended within the last minutes; an array is one line.

    \b
    Examples:
      aistation job list
      aistation job list --state pending --group v100 --all
      aistation job list --since 3d --name 'resnet-*' --json
      aistation job list --watch 5
    """
    from aistation_slurm.jobs.listing import Wanted, trainings
    from aistation_slurm.slurm.connect import connect

    slurm = connect()
    wanted = Wanted(
        user=None if everyone else user or getpass.getuser(),
        states=[_state(word) for text in states for word in text.split(",")],
        groups=groups,
        names=names,
        since=_since("7d" if history and not since else since),
    )
    while True:
        found = trainings(slurm, wanted)
        if as_json:
            show_json([as_plain(each) for each in found])
        else:
            _show(found, wanted, unfolded=members, is_watched=watch is not None)
        if watch is None:
            return
        time.sleep(watch)


def as_plain(each: Training) -> dict[str, object]:
    """Return the job, what its training says of itself, and where its files are, in JSON's own types."""
    from aistation_slurm.cli.show import plain
    from aistation_slurm.jobs.why.reasons import short

    job = each.job
    return {
        **plain(job),
        "reason_in_words": short(job.reason) if job.state.is_waiting else "",
        "progress": plain(each.progress),
        "log": plain(each.log),
        "run_dir": plain(each.run_dir),
    }


def _show(found: list[Training], wanted: Wanted, *, unfolded: bool, is_watched: bool) -> None:
    from aistation_slurm.cli.job.looks import is_terminal
    from aistation_slurm.jobs.listing import lines

    if is_watched and is_terminal():
        click.clear()
        click.echo(f"{datetime.now().astimezone():%H:%M:%S}")
    if not found:
        whose = f"of {wanted.user}" if wanted.user else "of anybody"
        say(f"no job {whose} is like that; --all shows everybody's, --since 3d what is long over")
        return
    with_user = wanted.user is None
    columns = (*COLUMNS[:2], "USER", *COLUMNS[2:]) if with_user else COLUMNS
    rows = [_row(each, with_user=with_user) for each in lines(found, unfolded=unfolded)]
    shown = [index for index, name in enumerate(columns) if name not in _SPARE or any(str(row[index]) for row in rows)]
    show_table([columns[index] for index in shown], ([row[index] for index in shown] for row in rows))


_SPARE = frozenset({"GPUS", "PROGRESS", "LAST"})
"""Columns that are left out where they would be empty."""


def _row(line: Line, *, with_user: bool) -> list[object]:
    from aistation_slurm.cli.job.looks import clock, is_terminal, progress_text, state_text
    from aistation_slurm.jobs.listing import headline

    each = line.first
    job = each.job
    row: list[object] = [
        line.shown_id,
        job.name,
        job.partition,
        state_text(line),
        clock(job.elapsed) or "00:00:00",
        sum(member.job.node_count for member in line.members if member.job.state.is_running) or job.node_count,
        line.gpus or (f"{job.shards} shares" if job.shards else ""),
        "" if line.is_array else progress_text(each, with_bar=is_terminal()),
        "" if line.is_array else headline(each.progress, most=1),
        "" if line.is_array and not job.state.is_waiting else each.where,
    ]
    return [*row[:2], job.user, *row[2:]] if with_user else row


def _state(word: str) -> JobState:
    from aistation_slurm.slurm.states import JobState

    name = word.strip().upper()
    state = JobState.parse(_CODES.get(name, name))
    if state is JobState.UNKNOWN:
        known = ", ".join(each.value.lower() for each in (JobState.PENDING, JobState.RUNNING, JobState.FAILED))
        raise UsageError(f"--state {word}: no such state of a job", hint=f"such as {known}, or Slurm's codes PD, R, F")
    return state


def _since(text: str | None) -> datetime | None:
    from aistation_slurm.jobs.listing import since_of

    try:
        return since_of(text, datetime.now(UTC)) if text else None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--since {text}: neither 12h, 3d nor 2w, nor a date", hint="such as 2026-11-26") from error
