"""`aistation job list` and `aistation job show`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.jobs.listing import Training

COLUMNS = ("JOBID", "NAME", "USER", "GROUP", "ST", "TIME", "NODES", "GPUS", "RESTARTS", "STEP", "NODELIST(REASON)")


@click.command("list")
@click.option("--all", "everyone", is_flag=True, help="Everybody's, not only mine.")
@click.option("--history", is_flag=True, help="Those of the last week, from accounting.")
@json_option
def list_(everyone: bool, history: bool, as_json: bool) -> None:
    """List the jobs that wait, run, or ended within the last minutes.

    \b
    Examples:
      aistation job list
      aistation job list --all --json
    """
    from aistation_slurm.jobs.listing import past_trainings, trainings
    from aistation_slurm.slurm.connect import connect

    user = None if everyone else getpass.getuser()
    found = past_trainings(connect(), user=user) if history else trainings(connect(), user=user)
    if as_json:
        show_json([_as_json(each) for each in found])
    else:
        show_table(COLUMNS, (_row(each) for each in found))


@click.command()
@click.argument("job_id", type=click.IntRange(1))
@json_option
def show(job_id: int, as_json: bool) -> None:
    """Show a job: its state, how far it is, and where its files are.

    \b
    Examples:
      aistation job show 1234
      aistation job show --json 1234
    """
    from aistation_slurm.jobs.listing import training_of
    from aistation_slurm.slurm.connect import connect

    found = training_of(connect().read.job(job_id))
    if as_json:
        show_json(_as_json(found))
        return
    for label, value in _details(found):
        if value not in {"", "None"}:
            click.echo(f"{label:>12}  {value}")


def _row(each: Training) -> tuple[object, ...]:
    job = each.job
    return (
        f"{job.array_job_id}_{job.array_task}" if job.array_job_id else job.job_id,
        job.name,
        job.user,
        job.partition,
        job.state.value,
        str(job.elapsed or "0:00:00").split(".", maxsplit=1)[0],
        job.node_count,
        job.gpus or "",
        job.restart_count or "",
        each.done,
        each.where,
    )


def _as_json(each: Training) -> dict[str, object]:
    from aistation_slurm.cli.show import plain

    return {**plain(each.job), "progress": plain(each.progress), "log": plain(each.log), "run_dir": plain(each.run_dir)}


def _details(each: Training) -> list[tuple[str, str]]:
    job, told = each.job, each.progress
    metrics = " ".join(f"{name}={value:.6g}" for name, value in told.metrics.items()) if told else ""
    return [
        ("job", f"{job.job_id} {job.name}"),
        ("user", f"{job.user} ({job.account})" if job.account else job.user),
        ("group", job.partition),
        ("qos", job.qos),
        ("state", f"{job.state.value} {each.where}"),
        ("gpus", f"{job.gpus} on {job.node_count} nodes" if job.gpus else ""),
        ("restarts", str(job.restart_count or "")),
        ("started", str(job.start_time)),
        ("ended", str(job.end_time) if job.state.is_over else ""),
        ("elapsed", str(job.elapsed)),
        ("limit", str(job.time_limit)),
        ("exit code", job.exit_code if job.state.is_over else ""),
        ("progress", f"step {each.done} {metrics}" if told else ""),
        ("log", str(each.log)),
        ("run folder", str(each.run_dir)),
    ]
