"""`aistation job`: submit, list, watch and cancel trainings."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.listing import Training
    from aistation_slurm.jobs.submit import Draft, Submission
    from aistation_slurm.slurm.model import Job

COLUMNS = ("JOBID", "NAME", "USER", "GROUP", "ST", "TIME", "NODES", "GPUS", "RESTARTS", "STEP", "NODELIST(REASON)")


@click.group()
def job() -> None:
    """Submit, list, watch and cancel trainings.

    \b
    Examples:
      aistation job submit --template pytorch-ddp --group v100 --nodes 2 --gpus-per-node 8 train.py -- --epochs 90
      aistation job logs -f 1234
    """


@job.command(context_settings={"ignore_unknown_options": False})
@click.option("--template", default="pytorch-ddp", show_default=True, help="What makes a batch script of it.")
@click.option("--group", "-p", help="The GPU group; by default Slurm's default partition.")
@click.option("--nodes", "-N", type=click.IntRange(1), help="How many nodes.")
@click.option("--gpus-per-node", type=click.IntRange(0), help="How many GPUs on each node.")
@click.option("--cpus-per-gpu", type=click.IntRange(1), help="How many CPUs for each GPU.")
@click.option("--name", "-J", help="The job's name; by default the script's.")
@click.option("--time", "-t", help="The time limit, as sbatch takes it: 90 (minutes), 1-12:00:00.")
@click.option("--account", "-A", help="The team that it counts for.")
@click.option("--qos", "-q", help="The quality of service.")
@click.option("--checkpoint-dir", type=click.Path(file_okay=False, path_type=Path), help="Where checkpoints are kept.")
@click.option("--python", help="The Python that runs it; by default the active virtual environment's, or python3.")
@click.option("--output", "-o", help="The log; %x is the name, %j the job's id.  [default: %x-%j.log]")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="What only this template knows.")
@click.option("--dry-run", is_flag=True, help="Print the batch script and what was adjusted; submit nothing.")
@click.option("--parsable", is_flag=True, help="Print the job's id only.")
@json_option
@click.argument("script", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def submit(
    template: str,
    script: Path,
    args: tuple[str, ...],
    settings: tuple[str, ...],
    python: str | None,
    dry_run: bool,
    parsable: bool,
    as_json: bool,
    **wanted: object,
) -> None:
    """Submit a training, to run in this folder; its own arguments come after `--`.

    What can't run as it was asked for is adjusted, and said. The dry run's script works as it is with plain sbatch.

    \b
    Examples:
      aistation job submit --group v100 --nodes 2 --gpus-per-node 8 train.py -- --epochs 90
      aistation job submit --dry-run --time 12:00:00 train.py > train.sbatch
    """
    from aistation_slurm.jobs.catalogue import open_catalogue
    from aistation_slurm.jobs.request import training_request
    from aistation_slurm.jobs.submit import draft
    from aistation_slurm.jobs.submit import submit as hand_in
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    site = load_settings()
    slurm, catalogue = connect(site.slurm), open_catalogue(site.templates)
    request = training_request(
        template=template,
        script=script,
        args=args,
        settings=_pairs(settings),
        python=python or _python(),
        **wanted,
    )
    ready = draft(slurm, request, catalogue)
    for change in ready.adjustments:
        say(f"adjusted: {change}")
    if dry_run:
        _show_draft(ready, as_json=as_json)
        return
    _show_submission(hand_in(slurm, ready, folder=Path.cwd()), as_json=as_json, parsable=parsable)


@job.command("list")
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


@job.command()
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


@job.command()
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


@job.command()
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


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    if bad := next((text for text in texts if not text.partition("=")[0] or "=" not in text), None):
        raise UsageError(f"--set {bad}: write it as NAME=VALUE", hint="`aistation template show` names them")
    return pairs


def _python() -> str:
    """The Python of the active virtual environment, which is where the framework is; a bare name is looked up there."""
    active = os.environ.get("VIRTUAL_ENV")
    return f"{active}/bin/python" if active else "python3"


def _show_draft(ready: Draft, *, as_json: bool) -> None:
    if as_json:
        adjustments = [str(each) for each in ready.adjustments]
        request = ready.request.model_dump(mode="json")
        show_json({"request": request, "adjustments": adjustments, "script": ready.script})
    else:
        click.echo(ready.script, nl=False)


def _show_submission(made: Submission, *, as_json: bool, parsable: bool) -> None:
    if as_json:
        show_json({**_plain(made), "adjustments": [str(each) for each in made.adjustments]})
    elif parsable:
        click.echo(made.job_id)
    else:
        click.echo(f"submitted job {made.job_id} ({made.name})")
        say(f"its log: {made.log}\nfollow it: aistation job logs -f {made.job_id}")


def _plain(made: Submission) -> dict[str, object]:
    return {"job_id": made.job_id, "name": made.name, "log": made.log}


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
