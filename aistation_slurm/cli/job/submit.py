"""`aistation job submit`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.submit import Draft, Submission


@click.command(context_settings={"ignore_unknown_options": False})
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
    from aistation_slurm.jobs.request import request_json

    if as_json:
        adjustments = [str(each) for each in ready.adjustments]
        request = request_json(ready.request)
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
