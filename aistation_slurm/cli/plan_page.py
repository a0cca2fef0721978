"""A plan as one page: what is refused first, then what would change, each with its effect and the jobs that it touches.

A terminal gets the page, in colour; a pipe gets one plain line a change, so that `grep` and `diff` work.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aistation_slurm.cli.show import say

if TYPE_CHECKING:
    from aistation_slurm.cluster import Plan
    from aistation_slurm.cluster.changes import Change, Refusal

COLOURS = {"+": "green", "~": "yellow", "-": "red", "!": "magenta"}
NARROW = 76
"""Columns below which the effect follows the line instead of standing at its right."""
_LONG_LIST = re.compile(r"(?<![^\s])([\w.-]+(?:,[\w.-]+){4}),([\w.-]+(?:,[\w.-]+)+)(?!\S)")


def print_plan(made: Plan) -> None:
    """Print the plan for a person: as a page on a terminal, as plain lines into a pipe."""
    if sys.stdout.isatty():
        print_page(made, Console(highlight=False, no_color=True if os.environ.get("NO_COLOR") else None))
    else:
        _print_lines(made)


def _print_lines(made: Plan) -> None:
    for refusal in made.refusals:
        say(f"refused: {refusal}")
    for change in made.changes:
        first, *inside = made.lines_of(change)
        click.echo(f"{first}{_jobs_in_brackets(change)}")
        for line in inside:
            click.echo(line)
    for note in made.notes:
        say(f"note: {note}")
    click.echo(made.summary())


def print_page(made: Plan, console: Console) -> None:
    """Print the page."""
    if made.refusals:
        _print_refusals(made.refusals, console)
    for title, changes in groupby(made.changes, key=section_of):
        console.print(Text(title, style="bold"))
        for change in changes:
            console.print(Padding(_row(made, change, console.width), (0, 0, 0, 2)))
        console.print()
    for note in made.notes:
        console.print(Text(f"note: {note}", style="dim"))
    console.print(_summary(made))


def section_of(change: Change) -> str:
    """Return the title under which the change stands."""
    from aistation_slurm.cluster.changes import EditLines, RestartNodes, TellController, WriteFile, WriteRules
    from aistation_slurm.cluster.planning.storage import ChangeStorage

    if isinstance(change, ChangeStorage):
        return "Storage"
    if isinstance(change, EditLines):
        return "The site's own files"
    if isinstance(change, WriteRules):
        return "Rules of submission"
    if isinstance(change, WriteFile):
        return "Files"
    if isinstance(change, TellController | RestartNodes):
        return "Slurm is told"
    return "Deleted" if change.sign == "-" else "Accounting"


def _print_refusals(refusals: tuple[Refusal, ...], console: Console) -> None:
    console.print(Text("Refused", style="bold red"))
    for refusal in refusals:
        console.print(Padding(Text(f"refused, because {refusal.text}", style="red"), (0, 0, 0, 2)))
        console.print(Padding(Text(f"the safe way: {refusal.safe_way}"), (0, 0, 0, 4)))
    console.print()


def _row(made: Plan, change: Change, width: int) -> Table:
    """Return the change with what changes inside it; a long line is folded under its own beginning."""
    first, *inside = made.lines_of(change)
    effect, text = _effect(change), Table.grid(padding=(0, 1, 0, 0))
    said = _line(_without_effect(first, change))
    is_beside = bool(effect) and width >= NARROW
    if effect and not is_beside:
        said.append(f"  [{effect.plain}]", style="dim")
    text.add_row(_sign(first), said)
    for line in inside:
        text.add_row("", _inside(line.strip()))
    table = Table.grid(expand=True, padding=(0, 0, 0, 2))
    table.add_column(ratio=1)
    if is_beside:
        table.add_column(justify="right", overflow="fold", max_width=max(20, width // 3))
    table.add_row(text, *([effect] if is_beside else []))
    return table


def _inside(line: str) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_row(_sign(line), _line(line))
    return row


def _sign(line: str) -> Text:
    return Text(line[:1], style=COLOURS.get(line[:1], ""))


def _line(line: str) -> Text:
    return Text(shortened(line[1:].strip()), style=COLOURS.get(line[:1], ""), overflow="fold")


def _without_effect(line: str, change: Change) -> str:
    return line.replace(f"  ({change.effect})", "").replace(f" ({change.effect})", "")


def _effect(change: Change) -> Text:
    """Return the effect and the jobs touched, for the right of the line."""
    found = Text()
    if change.effect:
        style = "cyan" if str(change.effect) == "reconfigure" else "yellow"
        found.append(shortened(str(change.effect)), style=style)
    if change.jobs:
        found.append(", " if found else "").append(_jobs(change), style="magenta")
    return found


def _jobs(change: Change) -> str:
    from aistation_slurm.cluster.changes import some

    return f"job{'' if len(change.jobs) == 1 else 's'} {some(change.jobs)}"


def _jobs_in_brackets(change: Change) -> str:
    return f"  [{_jobs(change)}]" if change.jobs else ""


def shortened(line: str) -> str:
    """Return the line with long lists of names cut: five of them, and how many more there are."""
    return _LONG_LIST.sub(lambda found: f"{found[1]} and {found[2].count(',') + 1} more", line)


def what_next(made: Plan) -> str:
    """Return how to go on from the plan."""
    if not made.refusals:
        return f"Carry it out: aistation cluster apply --checksum {made.checksum}"
    if all(refusal.can_be_staged for refusal in made.refusals):
        return "It is refused as it is; the safe way, by itself: aistation cluster apply --staged"
    return "It is refused as it is: go the safe way first"


def _summary(made: Plan) -> Text:
    text = Text(made.summary(), style="bold")
    return text.append("".join(f"; {each}" for each in _totals(made)), style="not bold") if made else text


def _totals(made: Plan) -> Iterator[str]:
    yield f"effect: {shortened(str(made.effect))}"
    jobs = {job for change in made.changes for job in change.jobs}
    if jobs:
        yield f"{len(jobs)} job{'' if len(jobs) == 1 else 's'} touched"
    if by_hand := sum(bool(change.by_hand) for change in made.changes):
        yield f"{by_hand} would undo what was changed by hand"


def print_line(line: str) -> None:
    """Print one line of a plan, in the colour of its sign."""
    click.secho(line, fg=COLOURS.get(line.strip()[:1]), color=colour())


def colour() -> bool | None:
    """Return False where colour is not wanted, None where click may look at the terminal."""
    return False if os.environ.get("NO_COLOR") else None


def as_dict(made: Plan) -> dict[str, object]:
    """Return the plan for `--json`, whole: nothing is cut there."""
    return {
        "checksum": made.checksum,
        "counts": made.counts,
        "effect": str(made.effect),
        "changes": [_change_as_dict(made, each) for each in made.changes],
        "lines": made.lines(),
        "notes": made.notes,
        "refusals": [_refusal_as_dict(each) for each in made.refusals],
    }


def _change_as_dict(made: Plan, change: Change) -> dict[str, object]:
    from aistation_slurm.cluster.changes import WriteFile

    found: dict[str, object] = {
        "kind": type(change).__name__,
        "sign": change.sign,
        "text": str(change),
        "lines": [line.strip() for line in made.lines_of(change)[1:]],
        "effect": str(change.effect),
        "jobs": change.jobs,
        "by_hand": change.by_hand,
        "argv": change.argv(),
    }
    return found | ({"path": change.path, "edited": change.edited} if isinstance(change, WriteFile) else {})


def _refusal_as_dict(refusal: Refusal) -> dict[str, object]:
    return {
        "text": refusal.text,
        "safe_way": refusal.safe_way,
        "jobs": refusal.jobs,
        "can_be_staged": refusal.can_be_staged,
    }
