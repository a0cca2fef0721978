"""`aistation job sweep search`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aistation_slurm.cli.job.submit import SPLIT, SubmitCommand
from aistation_slurm.cli.job.sweep.start import TRAINING_OPTIONS, say_answers
from aistation_slurm.cli.show import say, show_json
from aistation_slurm.errors import RequestError, UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.passthrough import Split
    from aistation_slurm.jobs.site import Site
    from aistation_slurm.jobs.sweep.folder import Sweep
    from aistation_slurm.jobs.sweep.search import Standing
    from aistation_slurm.jobs.sweep.table import Member
    from aistation_slurm.slurm.connect import Slurm

LOOK_SECONDS = 2.0
_OURS = ("draw", "trials", "at_once", "by", "is_max", "seed")


@click.command(cls=SubmitCommand, params=[each for each in TRAINING_OPTIONS if each.name != "dry_run"])
@click.option("--draw", multiple=True, metavar="NAME=HOW", help="log:1e-4..1e-1, float:0..1, int:2..8, choice:a,b.")
@click.option("--trials", type=click.IntRange(1), metavar="N", help="How many members in all.  [default: 20]")
@click.option("--at-once", type=click.IntRange(1), metavar="N", help="How many in a round.  [default: 4]")
@click.option("--by", metavar="METRIC", help="What is to become small, or large.  [default: loss]")
@click.option("--max/--min", "is_max", default=None, help="Which is best; by default what the metric's name says.")
@click.option("--seed", type=int, help="What Optuna begins with.")
@click.option("--resume", metavar="ID", help="Take up a search again, whose command was ended; needs nothing else.")
@click.pass_context
def search(ctx: click.Context, /, parsable: bool, as_json: bool, resume: str | None, **given: Any) -> None:
    """Search for the best values in rounds: Optuna chooses the next members by what those before have measured.

    The command stays until the search is over. Ended by Ctrl-C, the round that runs goes on, and --resume goes on from
    there. The search is a sweep like any other: show, best, retry, limit and cancel work on it.

    \b
    Examples:
      aistation job sweep search --trials 40 --at-once 8 --draw lr=log:1e-4..1e-1 train.py --lr {lr}
      aistation job sweep search --by accuracy --draw layers=int:2..8 --draw opt=choice:sgd,adam train.py --opt {opt}
      aistation job sweep search --resume 9f2c01d7a3be
    """
    from aistation_slurm.jobs.site import open_site

    site = open_site()
    if resume:
        from aistation_slurm.cli.job.sweep.show import find_here
        from aistation_slurm.slurm.connect import connect

        sweep = find_here(connect(), resume)
    else:
        if not given["draw"]:
            raise UsageError("say what to search, such as --draw lr=log:1e-4..1e-1")
        sweep = _begin(ctx.meta[SPLIT], given, site)
    try:
        found = _rounds(sweep, site)
    except KeyboardInterrupt:
        say(f"\nwhat was submitted goes on; go on from there: aistation job sweep search --resume {sweep.submission}")
        raise click.exceptions.Abort from None
    _show(sweep, found, as_json=as_json, parsable=parsable)


def _begin(found: Split, given: dict[str, Any], site: Site) -> Sweep:
    """Return a sweep without members, in a folder of its own."""
    from aistation_slurm.cli.job import submitted
    from aistation_slurm.cli.job.ordering import order_from
    from aistation_slurm.jobs.sweep.arguments import for_script
    from aistation_slurm.jobs.sweep.members import read_draws
    from aistation_slurm.jobs.sweep.search import optuna_here
    from aistation_slurm.jobs.sweep.start import prepare, start

    aim = _aim(given)
    for_script(found.args, [dict.fromkeys(read_draws(aim["draw"]))])
    optuna_here()
    given = {name: value for name, value in given.items() if name not in {*_OURS, "script", "args"}}
    if given.get("template") is None and not (found.script or "").endswith((".py", ".yaml", ".yml")):
        given["template"] = "plain"
    asked = order_from(found, given, site, folder=Path.cwd(), make_folders=True)
    submitted.say_first(asked, site)
    ready = prepare(asked.order, [], site.catalogue, at_once=aim["round"], source={"search": aim})
    return start(ready, site, now=datetime.now(UTC)).sweep


def _aim(given: dict[str, Any]) -> dict[str, Any]:
    """Return what is searched for, as it is kept in `sweep.json`."""
    from aistation_slurm.jobs.sweep.table import better_if_more

    by = given["by"] or "loss"
    return {
        "draw": list(given["draw"]),
        "trials": given["trials"] or 20,
        "by": by,
        "max": better_if_more(by) if given["is_max"] is None else given["is_max"],
        "round": given["at_once"] or 4,
        "seed": given["seed"],
    }


def _rounds(sweep: Sweep, site: Site) -> Standing:
    """Submit a round, wait until it is over, tell Optuna, until all trials are told; return how it stands then."""
    from aistation_slurm.jobs.sweep.folder import read_sweep
    from aistation_slurm.jobs.sweep.search import Aim, next_round, open_study, settle
    from aistation_slurm.jobs.sweep.tasks import counted
    from aistation_slurm.slurm.connect import connect

    aim, slurm = Aim.of(sweep), connect()
    study = open_study(sweep, aim)
    while True:
        sweep = read_sweep(sweep.path)
        standing = settle(study, _members(sweep, slurm), aim.by)
        if standing.open:
            time.sleep(LOOK_SECONDS)
            continue
        if standing.best is not None and standing.told:
            say(f"{counted(standing.told)} over; best {aim.by} {standing.best.value:.6g} of {standing.best.params}")
        count = min(aim.a_round, aim.trials - standing.told)
        if count <= 0:
            return standing
        made = next_round(study, sweep, aim, count, site, now=datetime.now(UTC))
        say_answers(made)
        say(f"sweep {sweep.submission}: {counted(count)} more, as job {made.arrays[-1].job_id}")


def _members(sweep: Sweep, slurm: Slurm) -> Sequence[Member]:
    from aistation_slurm.jobs.sweep.look import look
    from aistation_slurm.jobs.sweep.table import table_of

    return table_of(sweep, look(sweep, slurm)).members


def _show(sweep: Sweep, found: Standing, *, as_json: bool, parsable: bool) -> None:
    from aistation_slurm.jobs.sweep.values import write_value

    best = found.best
    if as_json:
        show_json({"sweep": sweep.submission, "folder": sweep.path, "trials": found.told,
                   "best": {"params": best.params, "value": best.value} if best else None})  # fmt: skip
    elif parsable:
        click.echo(sweep.submission)
    elif best is None:
        raise RequestError("no member measured it", hint=f"aistation job sweep show {sweep.submission}")
    else:
        for name, value in best.params.items():
            click.echo(f"{name}={write_value(value)}")
