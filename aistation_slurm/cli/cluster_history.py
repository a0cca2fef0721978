"""`aistation cluster history`: what was applied, when, by whom, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.cluster.history.entry import Entry


@click.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@json_option
@click.option("--diff", is_flag=True, help="Show what the apply changed in the cluster file and in Slurm's files.")
def history(number: int | None, as_json: bool, diff: bool) -> None:
    """List what was applied, when, by whom, and what became of it; or show one apply, by its number.

    \b
    Examples:
      aistation cluster history
      aistation cluster history 7 --diff
    """
    from aistation_slurm.cluster.history.history import History
    from aistation_slurm.settings import load_settings

    found = History(load_settings().slurm.conf.parent)
    entries = [found.entry(number)] if number else found.entries()
    if as_json:
        show_json([_as_dict(each) for each in entries])
    elif diff:
        for entry in entries[-1:]:
            click.echo("".join(_diff(entry)), nl=False)
    elif number:
        _show_one(entries[0])
    else:
        _show_all(entries)


def _show_all(entries: list[Entry]) -> None:
    if not entries:
        say("nothing was applied yet, or only root may see it")
        return
    rows = [
        (
            each.number,
            f"{each.when:%Y-%m-%d %H:%M}",
            each.who,
            f"{each.kind} of {each.undoes}" if each.undoes else each.kind,
            each.checksum,
            f"{each.done}/{len(each.steps)}",
            each.effect,
            f"{each.state}: {each.how}" if each.how else str(each.state),
        )
        for each in reversed(entries)
    ]
    show_table(("NO", "UTC", "WHO", "WHAT", "PLAN", "STEPS", "EFFECT", "STATE"), rows)


def _show_one(entry: Entry) -> None:
    from aistation_slurm.cli.plan_page import print_line

    for line in entry.lines:
        print_line(line)
    state = f"{entry.state}: {entry.how}" if entry.how else str(entry.state)
    click.echo(f"{entry.kind} {entry.number} of {entry.when:%Y-%m-%d %H:%M:%S} UTC by {entry.who}: {state}")
    click.echo(f"plan {entry.checksum} of {entry.cluster_file}: {entry.done} of {len(entry.steps)} steps were done")


def _diff(entry: Entry) -> Iterator[str]:
    before = entry.spec_before_path
    old = before.read_bytes() if before else b""
    yield from _lines(old, (entry.spec_text() or "").encode(), str(entry.cluster_file))
    for copy in entry.files:
        yield from _lines(entry.before(copy) or b"", entry.after(copy) or b"", str(copy.path))


def _lines(old: bytes, new: bytes, name: str) -> Iterator[str]:
    before, after = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (old, new))
    for line in unified_diff(before, after, f"{name} (before)", f"{name} (after)"):
        yield line if line.endswith("\n") else f"{line}\n"


def _as_dict(entry: Entry) -> dict[str, object]:
    return {
        "number": entry.number,
        "kind": entry.kind,
        "undoes": entry.undoes or None,
        "when": entry.when,
        "who": entry.who,
        "cluster_file": entry.cluster_file,
        "checksum": entry.checksum,
        "effect": entry.effect,
        "state": entry.state,
        "how": entry.how,
        "ended": entry.ended,
        "steps": entry.steps,
        "done": entry.done,
        "lines": entry.lines,
        "files": [each.path for each in entry.files],
    }
