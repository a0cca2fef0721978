"""`aistation job logs`."""

from __future__ import annotations

import re

import click

from aistation_slurm.errors import UsageError


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is over, through every requeue.")
@click.option("--tail", "-n", type=click.IntRange(0), help="Begin with the last so many lines.")
@click.option("--since-restart", is_flag=True, help="Begin where the last run of a requeued job began.")
@click.option("--grep", metavar="PATTERN", help="Only lines with this in them (a regular expression).")
@click.option("--stderr", is_flag=True, help="Only what went to a stderr file of its own.")
@click.argument("job")
def logs(job: str, follow: bool, tail: int | None, since_restart: bool, grep: str | None, stderr: bool) -> None:
    """Print what a job has printed; of an array what each member has, behind its id.

    \b
    Examples:
      aistation job logs 1234
      aistation job logs -f -n 20 1234
      aistation job logs --since-restart --grep 'loss|Error' 1234
      aistation job logs -f 1234_5
    """
    from aistation_slurm.jobs.logs import Look, follow_log, read_log
    from aistation_slurm.jobs.named import read_job_name
    from aistation_slurm.slurm.connect import connect

    look = Look(tail=tail, since_restart=since_restart, pattern=_pattern(grep), only_stderr=stderr)
    for text in (follow_log if follow else read_log)(connect(), read_job_name(job), look):
        click.echo(text, nl=False)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text is not None else None
    except re.error as error:
        raise UsageError(f"--grep {text}: no regular expression: {error}") from error
