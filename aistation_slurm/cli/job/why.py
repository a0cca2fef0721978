"""`aistation job why`."""

from __future__ import annotations

import getpass
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.why.answer import Answer
    from aistation_slurm.jobs.why.changes import Change
    from aistation_slurm.jobs.why.look import Look
    from aistation_slurm.jobs.why.tries import Tried
    from aistation_slurm.slurm.connect import Slurm
    from aistation_slurm.slurm.model import Job

_JOB = re.compile(r"(?P<job_id>\d{1,10})(?:_(?P<task>\d{1,9}))?")
_COLOURS = {"why": "bright_white", "never": "red", "limit": "yellow", "start": "green"}


@click.command()
@click.argument("job")
@click.option("--no-try", is_flag=True, help="Don't ask Slurm about changes; they are reckoned only.")
@json_option
def why(job: str, no_try: bool, as_json: bool) -> None:
    """Tell why a job waits, when it may start, and what would start it sooner.

    Of one's own job each change is tried by `sbatch --test-only`, at most ten a minute. Nothing is changed: the line
    behind a change is what makes it.

    \b
    Examples:
      aistation job why 1234
      aistation job why 1234_7
      aistation job why --json 1234
    """
    from aistation_slurm.jobs.why.answer import answer
    from aistation_slurm.jobs.why.look import look
    from aistation_slurm.jobs.why.tell import as_json as in_json
    from aistation_slurm.slurm.connect import connect

    slurm, now = connect(), datetime.now(UTC)
    mine = getpass.getuser()
    seen = look(slurm, _job_id(slurm, job), now, mine=mine)
    if not seen.job.state.is_waiting:
        _tell_of_no_wait(seen.job, as_json=as_json)
        return
    attempts = _Attempts(slurm, seen, is_asking=not no_try and seen.job.user == mine)
    found = answer(seen, attempts)
    if as_json:
        show_json(in_json(found))
    else:
        _tell(found, now)
        _tell_what_was_not_tried(attempts, is_mine=seen.job.user == mine, no_try=no_try)


class _Attempts:
    """Asks Slurm about changes, as often as this user may."""

    def __init__(self, slurm: Slurm, seen: Look, *, is_asking: bool) -> None:
        from aistation_slurm.jobs.why.tries import Tries, tries_file

        self._slurm, self._look, self._is_asking = slurm, seen, is_asking
        self._tries = Tries(tries_file(os.environ))
        self.denied = 0

    def __call__(self, change: Change) -> Tried | None:
        from aistation_slurm.jobs.why.room import spread
        from aistation_slurm.jobs.why.tries import delays_of, try_shape

        if not self._is_asking:
            return None
        if not self._tries.allowed(datetime.now(UTC)):
            self.denied += 1
            return None
        partition = self._look.partitions.get(change.shape.partition)
        delays = delays_of(partition, self._look.queue, self._look.job.priority) if partition else []
        shape = spread(change.shape, self._look.nodes)
        return try_shape(self._slurm.write, shape, self._look.script, delays=delays)


def _job_id(slurm: Slurm, text: str) -> int:
    """Return the id of `1234`, or of the array's member `1234_7`, whose own id another is."""
    match = _JOB.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} is no job", hint="a job is named by its number, such as 1234 or 1234_7")
    if match["task"] is None:
        return int(match["job_id"])
    members = [each for each in slurm.read.jobs() if each.array_job_id == int(match["job_id"])]
    named = (each for each in members if each.array_task == match["task"])
    waiting = (each for each in members if each.array_task.startswith("["))
    found = next(named, None) or next(waiting, None)
    return found.job_id if found else int(match["job_id"])


def _tell(found: Answer, now: datetime) -> None:
    from aistation_slurm.jobs.why.tell import lines, start_of

    job = found.job
    name = f"{job.array_job_id}_{job.array_task}" if job.array_job_id else str(job.job_id)
    click.echo(f"{name} {job.name} of {job.user} waits in {job.partition}")
    for label, text in lines(found, now):
        click.echo(f"{_styled(label)}  {text}")
    if not found.better:
        click.echo(f"{_styled('sooner')}  no single change that was looked at gets it started sooner")
        return
    table = [(each.change.what, start_of(each, now), each.change.line) for each in found.better]
    widths = [max(len(row[column]) for row in table) for column in (0, 1)]
    for number, (what, start, line) in enumerate(table):
        label = _styled("" if number else "sooner")
        click.echo(f"{label}  {what:{widths[0]}}  {start:{widths[1]}}  {line}")


def _styled(label: str) -> str:
    """Return the label in its column; in colour on a terminal, unless NO_COLOR says not to."""
    text = f"{label:>8}"
    colour = None if os.environ.get("NO_COLOR") else _COLOURS.get(label)
    return click.style(text, fg=colour) if colour else text


def _tell_of_no_wait(job: Job, *, as_json: bool) -> None:
    if as_json:
        show_json({"job_id": job.job_id, "state": job.state, "reason": None})
        return
    since = job.end_time if job.state.is_over else job.start_time
    when = f" since {since.astimezone():%Y-%m-%d %H:%M}" if since else ""
    where = f" on {job.nodes}" if job.nodes else ""
    click.echo(f"{job.job_id} {job.name} of {job.user} does not wait: it is {job.state.value}{when}{where}")


def _tell_what_was_not_tried(attempts: _Attempts, *, is_mine: bool, no_try: bool) -> None:
    if no_try:
        return
    if not is_mine:
        say("only one's own jobs are tried with Slurm; what would help is reckoned here")
    elif attempts.denied:
        say(
            f"{attempts.denied} changes were not tried: ten a minute are all that slurmctld is asked; again in a minute"
        )
