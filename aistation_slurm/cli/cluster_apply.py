"""`aistation cluster apply` and `rollback`: a plan is shown, asked for, and carried out."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import file_argument, json_option, say, show_json
from aistation_slurm.errors import AistationError

if TYPE_CHECKING:
    from aistation_slurm.cluster import Plan
    from aistation_slurm.cluster.applying.carry_out import Outcome, Wish
    from aistation_slurm.cluster.applying.target import Target
    from aistation_slurm.cluster.changes import Change

checksum_option = click.option(
    "--checksum", metavar="C", default="", help="Only if the plan is still this one, as `plan` named it."
)
yes_option = click.option("--yes", "-y", is_flag=True, help="Don't ask.")
force_option = click.option("--force", is_flag=True, help="Even if much would be deleted. Never kills a job.")
canary_option = click.option("--no-canary", is_flag=True, help="Submit no test job, and ask no group for one.")


@click.command()
@file_argument
@json_option
@checksum_option
@yes_option
@force_option
@canary_option
@click.option("--staged", is_flag=True, help="Where jobs are in the way: drain, wait for them, apply, resume.")
def apply(
    file: Path | None, as_json: bool, checksum: str, yes: bool, force: bool, no_canary: bool, staged: bool
) -> None:
    """Make Slurm what the cluster file says.

    An apply that was interrupted is finished first. Where Slurm is worse off afterwards (a node is down, a job was
    lost), all is taken back, and the exit code is 1.

    \b
    Examples:
      aistation cluster apply --checksum 58f9ffe07e29
      aistation cluster apply --staged            waits for jobs that are in the way
    """
    from aistation_slurm.cluster.applying.carry_out import Wish
    from aistation_slurm.spec.edit import read_text

    target = _target(file)
    spec = target.load()
    wish = Wish(spec=spec, text=read_text(target.cluster_file), checksum=checksum, force=force, canary=not no_canary)
    if staged:
        _in_stages(target, wish, yes=yes, as_json=as_json)
    else:
        _carry_out(target, wish, yes=yes, as_json=as_json)


@click.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@json_option
@checksum_option
@yes_option
@force_option
@canary_option
def rollback(number: int | None, as_json: bool, checksum: str, yes: bool, force: bool, no_canary: bool) -> None:
    """Go back to before an apply: the last one, or NUMBER as `history` lists it.

    A plan like any other, made of the cluster file that was applied before; that file is put back too, the present one
    stays beside it as `.old`. Before the first apply is: nothing of ours is left in Slurm.

    \b
    Examples:
      aistation cluster rollback                  shows the plan, and asks
      aistation cluster rollback 7 --yes
    """
    from aistation_slurm.cluster.applying.carry_out import Wish
    from aistation_slurm.cluster.history.rollback import way_back

    target = _target(None)
    way = way_back(target.history, number)
    target = _target(way.cluster_file)
    say(str(way))
    wish = Wish(
        spec=way.spec,
        text=way.text,
        checksum=checksum,
        force=force,
        canary=not no_canary,
        kind="rollback",
        undoes=way.entry.number,
    )
    _carry_out(target, wish, yes=yes, as_json=as_json)
    if way.text is None:
        say(f"{way.cluster_file} was left as it is; nothing of it is in Slurm any more")


def _target(file: Path | None) -> Target:
    from aistation_slurm.cluster.applying.target import Target
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    settings = load_settings()
    return Target(
        settings=settings, slurm=connect(settings.slurm), cluster_file=(file or settings.cluster_file).absolute()
    )


def _carry_out(target: Target, wish: Wish, *, yes: bool, as_json: bool) -> None:
    from dataclasses import replace

    from aistation_slurm.cli.cluster_check import raise_if_refused
    from aistation_slurm.cluster.applying.carry_out import carry_out

    _take_up(target)
    made = target.plan(wish.spec)
    _raise_if_other(made, wish.checksum)
    made.raise_if_unsafe(force=wish.force)
    raise_if_refused(made, target.slurm)
    if made and not (yes or wish.checksum):
        _ask(made)
    progress = Progress(as_json)
    try:
        outcome = carry_out(target, replace(wish, checksum=made.checksum), watcher=progress)
    except KeyboardInterrupt:
        say("\ninterrupted: the next `aistation cluster apply` finishes it, `aistation cluster rollback` takes it back")
        raise
    _show(outcome, progress, as_json=as_json)


def _in_stages(target: Target, wish: Wish, *, yes: bool, as_json: bool) -> None:
    """Make way for a plan that is refused for the jobs in its way, carry it out, and give back what was set aside."""
    from dataclasses import replace

    from aistation_slurm.cluster.applying.in_stages import give_back, make_way, steps_to, way_on
    from aistation_slurm.errors import TakenBack

    _take_up(target)
    made = target.plan(wish.spec)
    _raise_if_other(made, wish.checksum)
    steps = steps_to(made, target)
    for step in steps if made.refusals else ():
        say(f"! {step}")
    if made and not (yes or wish.checksum):
        _ask(made)
    try:
        make_way(steps, target.slurm, say)
        _carry_out(target, replace(wish, checksum=made.checksum), yes=yes, as_json=as_json)
    except TakenBack:
        give_back(target.slurm)
        raise
    except (KeyboardInterrupt, AistationError):
        for line in way_on(steps) if made.refusals else ():
            say(line)
        raise
    if nodes := give_back(target.slurm):
        say(f"{nodes} take jobs again")


def _take_up(target: Target) -> None:
    """Let slurmctld answer again where an interrupted apply has ended it: without, nothing can be planned."""
    from aistation_slurm.cluster.applying.lock import alone
    from aistation_slurm.cluster.applying.recover import recover

    if entry := target.history.interrupted():
        say(entry.told())
        with alone(target.conf_dir):
            recover(target, say)


def _raise_if_other(made: Plan, checksum: str) -> None:
    from aistation_slurm.errors import StalePlan

    if checksum and checksum != made.checksum:
        raise StalePlan(f"the plan is now {made.checksum}, not {checksum}", hint="look again: aistation cluster plan")


def _ask(made: Plan) -> None:
    from aistation_slurm.cli.plan_page import print_plan
    from aistation_slurm.errors import UsageError

    print_plan(made)
    if not sys.stdin.isatty():
        raise UsageError(
            "there is nobody to ask", hint="say --checksum, as `aistation cluster plan` prints it, or --yes"
        )
    click.confirm("Carry it out?", abort=True, err=True)


class Progress:
    """Says how far it has come: a line a step; on a terminal with its number, and how long it took."""

    def __init__(self, as_json: bool) -> None:
        self._quiet = as_json
        self._terminal = sys.stdout.isatty()
        self.lines: list[str] = []

    def begins(self, number: int, of: int, change: Change) -> None:
        """Say which step begins."""
        if self._terminal and not self._quiet:
            click.secho(f"[{number:>{len(str(of))}}/{of}] {_shortened(str(change))} ", nl=False)

    def done(self, number: int, of: int, change: Change, seconds: float) -> None:
        """Say that it is done."""
        from aistation_slurm.cli.plan_page import print_line

        self.lines.append(str(change))
        if self._quiet:
            return
        if self._terminal:
            click.secho(f"{seconds:.1f} s", fg="green")
        else:
            print_line(str(change))

    def say(self, text: str) -> None:
        """Say anything else, on stderr."""
        say(text)


def _shortened(line: str) -> str:
    width = shutil.get_terminal_size().columns - 20
    return line if len(line) <= width else f"{line[: max(10, width - 3)]}..."


def _show(outcome: Outcome, progress: Progress, *, as_json: bool) -> None:
    from aistation_slurm.cli.plan_page import print_plan
    from aistation_slurm.errors import StalePlan

    made, left = outcome.plan, outcome.left
    if as_json:
        show_json(
            {
                "checksum": made.checksum,
                "number": outcome.number,
                "done": progress.lines,
                "left": left.lines(),
                "by_hand": outcome.by_hand,
                "canary": outcome.canary,
                "seconds": round(outcome.seconds, 2),
            }
        )
    else:
        steps = f"plan {made.checksum} carried out: {len(progress.lines)} steps in {outcome.seconds:.1f} s"
        click.echo(f"{steps} (history {outcome.number})" if made else made.summary())
        for note in (*outcome.canary, *(f"by hand: {each}" for each in outcome.by_hand)):
            say(note)
    if left:
        print_plan(left)
        raise StalePlan(
            "Slurm is not yet what the cluster file says",
            hint="apply once more; if that doesn't help, see slurmctld's log",
        )
