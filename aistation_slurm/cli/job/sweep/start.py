"""`aistation job sweep start`."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.sweep.folder import Sweep
    from aistation_slurm.jobs.sweep.start import Ready
    from aistation_slurm.jobs.sweep.values import Params

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--grid", multiple=True, metavar="NAME=A,B", help="Every combination of these values; 0..9 is a range.")
@click.option("--list", "listed", type=FILE, help="One member a line of JSON, or a list in JSON or YAML.")
@click.option("--csv", "csv_", type=FILE, help="One member a row; the first row names the parameters.")
@click.option("--random", "draws", type=click.IntRange(1), metavar="N", help="So many members of values --draw draws.")
@click.option(
    "--draw", multiple=True, metavar="NAME=KIND:RANGE", help="log:1e-4..1e-1, float:0..1, int:2..8, choice:a,b."
)
@click.option("--seed", type=int, help="Draw the same again; without it one is chosen, and said.")
@click.option("--at-once", type=click.IntRange(1), help="How many members run at once, at most.")
@click.option("--after", multiple=True, metavar="ID[:HOW]", help="Wait for a job or sweep: ok, any, notok or corr.")
@click.option("--template", default="plain", show_default=True, help="What makes a batch script of it.")
@click.option("--group", "-p", help="The GPU group; by default Slurm's default partition.")
@click.option("--nodes", "-N", type=click.IntRange(1), help="How many nodes for each member.")
@click.option("--gpus-per-node", type=click.IntRange(0), help="How many GPUs on each node.")
@click.option("--cpus-per-gpu", type=click.IntRange(1), help="How many CPUs for each GPU.")
@click.option("--name", "-J", help="The jobs' name; by default the script's.")
@click.option("--time", "-t", help="The time limit of each member, as sbatch takes it: 90 (minutes), 1-12:00:00.")
@click.option("--account", "-A", help="The team that it counts for.")
@click.option("--qos", "-q", help="The quality of service.")
@click.option(
    "--checkpoint-dir", type=click.Path(file_okay=False, path_type=Path), help="Holds a folder for each member."
)
@click.option("--python", help="The Python that runs it; by default the active virtual environment's, or python3.")
@click.option("--output", "-o", help="The logs; %A is the array, %a the member.  [default: in the sweep's folder]")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="What only this template knows.")
@click.option("--comment", default="", help="A comment of your own on the jobs.")
@click.option("--dry-run", is_flag=True, help="Print the members and the batch script; submit nothing.")
@click.option("--parsable", is_flag=True, help="Print the sweep's id only.")
@json_option
@click.argument("script", type=FILE)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def start(
    grid: tuple[str, ...],
    listed: Path | None,
    csv_: Path | None,
    draws: int | None,
    draw: tuple[str, ...],
    seed: int | None,
    at_once: int | None,
    after: tuple[str, ...],
    settings: tuple[str, ...],
    comment: str,
    python: str | None,
    dry_run: bool,
    parsable: bool,
    as_json: bool,
    **wanted: object,
) -> None:
    """Submit a training over many sets of parameters, as one array of jobs; {lr} in its arguments is a member's value.

    Each member also finds its values in AISTATION_PARAM_LR and so on, and as JSON in the file AISTATION_PARAMS.

    \b
    Examples:
      aistation job sweep --grid lr=0.1,0.01 --grid seed=0..4 --at-once 4 train.py -- --lr {lr} --seed {seed}
      aistation job sweep --random 50 --draw lr=log:1e-4..1e-1 --draw opt=choice:sgd,adam train.py -- --lr {lr}
      aistation job sweep --csv params.csv --template pytorch-ddp --nodes 2 --gpus-per-node 8 train.py
      aistation job sweep --list params.jsonl --after 1234 --dry-run train.py
    """
    from aistation_slurm.jobs.catalogue import open_catalogue
    from aistation_slurm.jobs.request import training_request
    from aistation_slurm.jobs.sweep.after import dependency
    from aistation_slurm.jobs.sweep.start import Order, array_limit, prepare
    from aistation_slurm.jobs.sweep.start import start as hand_in
    from aistation_slurm.jobs.tag import new_submission
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    here, now = Path.cwd(), datetime.now(UTC)
    members, source = _members(grid, listed, csv_, draws, draw, seed)
    site = load_settings()
    slurm = connect(site.slurm)
    request = training_request(settings=_pairs(settings), python=python or _python(), **wanted)
    order = Order(
        request=request,
        members=members,
        work_dir=here,
        submission=new_submission(),
        at_once=at_once,
        comment=comment,
        after=dependency(after, slurm, here=here, user=getpass.getuser(), now=now),
        source=source,
    )
    ready = prepare(slurm, order, open_catalogue(site.templates), most=array_limit(slurm))
    _say(ready)
    if dry_run:
        _show_draft(ready, as_json=as_json)
        return
    _show(hand_in(slurm, ready, now=now), as_json=as_json, parsable=parsable)


def _members(
    grid: tuple[str, ...],
    listed: Path | None,
    csv_: Path | None,
    draws: int | None,
    draw: tuple[str, ...],
    seed: int | None,
) -> tuple[list[Params], dict[str, object]]:
    """Return the members, and how they came about."""
    from random import SystemRandom

    from aistation_slurm.jobs.sweep import members

    if sum(map(bool, (grid, listed, csv_, draws))) != 1:
        raise UsageError("say what to try, in one way: --grid, --list, --csv or --random")
    if (draw or seed is not None) and not draws:
        raise UsageError("--draw and --seed go with --random", hint="--random 20 --draw lr=log:1e-4..1e-1")
    if grid:
        return members.grid(grid), {"grid": list(grid)}
    if listed:
        return members.listed(listed), {"list": str(listed)}
    if csv_:
        return members.tabled(csv_), {"csv": str(csv_)}
    seed = SystemRandom().randrange(2**31) if seed is None else seed
    return members.drawn(draws or 0, draw, seed=seed), {"random": draws, "draw": list(draw), "seed": seed}


def _say(ready: Ready) -> None:
    """Say what was adjusted, and what a person should know before it is submitted."""
    from aistation_slurm.jobs.sweep.members import repeated

    for change in ready.adjustments:
        say(f"adjusted: {change}")
    if seed := ready.order.source.get("seed"):
        say(f"drawn with --seed {seed}")
    if twice := repeated(ready.order.members):
        say(f"{twice} of {ready.sweep.count} members try what another one tries")
    if len(ready.parts) > 1:
        largest = max(part.count for part in ready.parts)
        chained = "; each waits for the one before, so that --at-once holds over all" if ready.order.at_once else ""
        say(f"{len(ready.parts)} arrays, since Slurm takes {largest} members in one (MaxArraySize){chained}")


def _show_draft(ready: Ready, *, as_json: bool) -> None:
    from aistation_slurm.jobs.sweep.arguments import for_member

    members = [
        {"member": number, "params": params, "args": list(for_member(ready.order.request.args, params))}
        for number, params in enumerate(ready.order.members)
    ]
    if as_json:
        adjustments = [str(each) for each in ready.adjustments]
        show_json({"members": members, "adjustments": adjustments, "scripts": list(ready.scripts)})
        return
    for each in members:
        say(f"member {each['member']}: {each['params']}")
    click.echo(ready.scripts[0], nl=False)


def _show(sweep: Sweep, *, as_json: bool, parsable: bool) -> None:
    from aistation_slurm.jobs.sweep.tasks import counted

    if as_json:
        show_json(sweep)
    elif parsable:
        click.echo(sweep.submission)
    else:
        ids = ", ".join(str(array.job_id) for array in sweep.arrays)
        click.echo(f"submitted sweep {sweep.submission}: {counted(sweep.count)}, as job {ids} ({sweep.name})")
        say(f"its folder: {sweep.path}\nlook at it: aistation job sweep show {sweep.submission}")


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    if bad := next((text for text in texts if not text.partition("=")[0] or "=" not in text), None):
        raise UsageError(f"--set {bad}: write it as NAME=VALUE", hint="`aistation template show` names them")
    return dict(text.partition("=")[::2] for text in texts)


def _python() -> str:
    """The Python of the active virtual environment, which is where the framework is."""
    active = os.environ.get("VIRTUAL_ENV")
    return f"{active}/bin/python" if active else "python3"
