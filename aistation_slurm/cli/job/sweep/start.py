"""`aistation job sweep start`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aistation_slurm.cli.job.submit import SPLIT, SubmitCommand, submit
from aistation_slurm.cli.show import say, show_json
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.cli.job.ordering import Asked
    from aistation_slurm.jobs.passthrough import Split
    from aistation_slurm.jobs.site import Site
    from aistation_slurm.jobs.sweep.start import Ready, Started
    from aistation_slurm.jobs.sweep.values import Params

FILE = click.Path(dir_okay=False, path_type=Path)
_NOT_OF_A_SWEEP = frozenset({"again", "as_batch", "submission", "wait", "chdir"})
TRAINING_OPTIONS = [each for each in submit.params if each.name not in _NOT_OF_A_SWEEP]
"""The options of one training, as `aistation job submit` has them."""
_WAYS = ("grid", "listed", "csv_", "draws")


@click.command(cls=SubmitCommand, params=list(TRAINING_OPTIONS))
@click.option("--grid", multiple=True, metavar="NAME=A,B", help="Every combination of these values; 0..9 is a range.")
@click.option("--list", "listed", type=FILE, help="One member a line of JSON, or a list in JSON or YAML.")
@click.option("--csv", "csv_", type=FILE, help="One member a row; the first row names the parameters.")
@click.option("--random", "draws", type=click.IntRange(1), metavar="N", help="So many members of values --draw draws.")
@click.option("--draw", multiple=True, metavar="NAME=HOW", help="log:1e-4..1e-1, float:0..1, int:2..8, choice:a,b.")
@click.option("--seed", type=int, help="Draw the same again; without it one is chosen, and said.")
@click.option("--at-once", type=click.IntRange(1), metavar="N", help="How many members run at once, at most.")
@click.option("--after", multiple=True, metavar="ID[:HOW]", help="Wait for a job or sweep: ok, any, notok or corr.")
@click.pass_context
def start(ctx: click.Context, /, dry_run: bool, parsable: bool, as_json: bool, **given: Any) -> int | None:
    """Submit a training over many sets of parameters, as one array of jobs; {lr} in its arguments is a member's value.

    Each member also finds its values in AISTATION_PARAM_LR and so on, and as JSON in the file AISTATION_PARAMS. All
    options of `aistation job submit` hold for each member; any other option of sbatch is handed on.

    \b
    Examples:
      aistation job sweep --grid lr=0.1,0.01 --grid seed=0..4 --at-once 4 train.py --lr {lr} --seed {seed}
      aistation job sweep --random 50 --draw lr=log:1e-4..1e-1 --draw opt=choice:sgd,adam train.py --lr {lr}
      aistation job sweep --csv params.csv --nodes 2 --gpus-per-node 8 train.py
      aistation job sweep --list params.jsonl --after 1234 --dry-run train.py
    """
    from aistation_slurm.cli.job import submitted
    from aistation_slurm.cli.job.ordering import order_from
    from aistation_slurm.jobs.site import open_site
    from aistation_slurm.jobs.sweep.arguments import for_script
    from aistation_slurm.jobs.sweep.start import start as hand_in

    found: Split = ctx.meta[SPLIT]
    ours = {name: given.pop(name) for name in (*_WAYS, "draw", "seed", "at_once", "after")}
    for name in ("script", "args"):
        given.pop(name)
    members, source = _members(**{name: ours[name] for name in (*_WAYS, "draw", "seed")})
    for_script(found.args, members)  # before anybody is asked: a slip of the pen is the most likely one
    if given.get("template") is None and not (found.script or "").endswith((".py", ".yaml", ".yml")):
        given["template"] = "plain"
    site, now = open_site(), datetime.now(UTC)
    asked = order_from(found, given, site, folder=Path.cwd(), make_folders=not dry_run)
    submitted.say_first(asked, site)
    ready = _prepare(asked, members, source, ours, site, now)
    _say(ready)
    if dry_run:
        return _show_draft(asked, ready, site, as_json=as_json)
    _show(hand_in(ready, site, now=now), as_json=as_json, parsable=parsable)
    return None


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


def _prepare(
    asked: Asked, members: list[Params], source: dict[str, object], ours: Mapping[str, Any], site: Site, now: datetime
) -> Ready:
    from aistation_slurm.jobs.sweep.start import array_limit, prepare

    waits = after_of(ours["after"], now=now) if ours["after"] else ""
    return prepare(
        asked.order, members, site.catalogue, at_once=ours["at_once"], after=waits, source=source,
        most=array_limit(site),
    )  # fmt: skip


def after_of(texts: tuple[str, ...], *, now: datetime) -> str:
    """Return what is waited for, as sbatch's `--dependency` takes it."""
    import getpass

    from aistation_slurm.jobs.sweep.after import dependency
    from aistation_slurm.slurm.connect import connect

    return dependency(texts, connect(), here=Path.cwd(), user=getpass.getuser(), now=now)


def say_answers(made: Started) -> None:
    """Say what Slurm had to say to the arrays, each thing once."""
    lines = [f"adjusted: {each}" for one in made.arrays for each in one.adjustments]
    lines += [f"note: {each}" for one in made.arrays for each in one.notes]
    for line in dict.fromkeys(lines):
        say(line)


def _say(ready: Ready) -> None:
    """Say what a person should know before it is submitted."""
    from aistation_slurm.jobs.sweep.members import repeated

    if "seed" in ready.sweep.source:
        say(f"drawn with --seed {ready.sweep.source['seed']}")
    if twice := repeated(ready.members):
        say(f"note: {twice} of {ready.sweep.count} members try what another one tries")
    if len(ready.parts) > 1:
        chained = "; each waits for the one before, so that --at-once holds over all" if ready.sweep.at_once else ""
        say(f"note: {len(ready.parts)} arrays, since Slurm takes {ready.parts[0].count} members in one{chained}")


def _show_draft(asked: Asked, ready: Ready, site: Site, *, as_json: bool) -> int:
    from aistation_slurm.cli.job import submitted
    from aistation_slurm.jobs.sweep.arguments import for_member

    members = [
        {"member": number, "params": params, "args": list(for_member(ready.sweep.args, params))}
        for number, params in enumerate(ready.members)
    ]
    if as_json:
        scripts = [order.batch.text for order in ready.orders]
        adjustments = [str(each) for each in asked.adjustments]
        show_json({"members": members, "adjustments": adjustments, "notes": asked.notes, "scripts": scripts})
        return 0
    for each in members:
        say(f"member {each['member']}: {each['params']}")
    first = ready.orders[0]
    return submitted.show_dry_run(replace(asked, order=first, script=first.batch.text), site, as_json=False)


def _show(made: Started, *, as_json: bool, parsable: bool) -> None:
    from aistation_slurm.jobs.sweep.tasks import counted

    sweep = made.sweep
    say_answers(made)
    if as_json:
        show_json(sweep)
    elif parsable:
        click.echo(sweep.submission)
    else:
        ids = ", ".join(str(array.job_id) for array in sweep.arrays)
        click.echo(f"submitted sweep {sweep.submission}: {counted(sweep.count)}, as job {ids} ({sweep.name})")
        say(f"its folder: {sweep.path}\nlook at it: aistation job sweep show {sweep.submission}")
