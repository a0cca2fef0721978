"""`aistation job cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import say

if TYPE_CHECKING:
    from aistation_slurm.slurm.model import Job


@click.command()
@click.argument("job_ids", type=click.IntRange(1), nargs=-1, required=True)
def cancel(job_ids: tuple[int, ...]) -> None:
    """Cancel jobs; their checkpoints and logs stay.

    \b
    Examples:
      aistation job cancel 1234
      aistation job cancel 1234 1235
    """
    from aistation_slurm.slurm.connect import connect

    slurm = connect()
    queue = slurm.read.jobs()
    found = {job_id: _named(queue, job_id) or [slurm.read.job(job_id)] for job_id in job_ids}
    alive = {each.job_id: each for jobs in found.values() for each in jobs if not each.state.is_over}
    if alive:
        slurm.write.scancel(*alive.values())
    for job_id, jobs in found.items():
        is_cancelled = any(each.job_id in alive for each in jobs)
        say(f"{job_id} {'cancelled' if is_cancelled else f'was over already ({jobs[0].state.value})'}")


def _named(queue: list[Job], job_id: int) -> list[Job]:
    """Return the job of this id, or all members of the array of this id."""
    return [each for each in queue if job_id in {each.job_id, each.array_job_id}]
