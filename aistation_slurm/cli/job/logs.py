"""`aistation job logs`."""

from __future__ import annotations

import click


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on until the job is over, through every requeue.")
@click.option("--tail", "-n", type=click.IntRange(0), help="Begin with the last so many lines.")
@click.argument("job_id", type=click.IntRange(1))
def logs(job_id: int, follow: bool, tail: int | None) -> None:
    """Print what a job has printed.

    \b
    Examples:
      aistation job logs 1234
      aistation job logs -f -n 20 1234
    """
    from aistation_slurm.jobs.logs import follow_log, read_log
    from aistation_slurm.slurm.connect import connect

    for text in (follow_log if follow else read_log)(connect(), job_id, tail=tail):
        click.echo(text, nl=False)
