"""How a job looks on a terminal: its state, its bar, its times. What has a colour says the same without."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click
from rich.text import Text

if TYPE_CHECKING:
    from aistation_slurm.jobs.listing import Line, Training
    from aistation_slurm.slurm.states import JobState

Pairs = Iterable[tuple[str, str]]
BAR = 12


def state_colour(state: JobState) -> str:
    """Return the style of a state: green runs, yellow waits, red went wrong."""
    if state.is_running or state.is_leaving:
        return "green"
    if state.is_waiting:
        return "yellow"
    return "" if state.is_success else "red" if state.is_over else "dim"


def state_text(line: Line) -> Text:
    """Return the state; of an array how many members are in which."""
    counted = line.states
    if not line.is_array:
        state = line.first.job.state
        return Text(state.value, state_colour(state))
    parts = [Text(f"{number} {state.value}", state_colour(state)) for state, number in counted.most_common()]
    return Text(", ").join(parts)


def bar(share: float | None, *, width: int = BAR) -> str:
    """Return a bar of this width, `━━━━━━──────`, in ASCII where the terminal knows nothing else."""
    if share is None:
        return ""
    full, empty = ("━", "─") if speaks_utf8() else ("#", "-")
    done = round(share * width)
    return full * done + empty * (width - done)


def progress_text(each: Training, *, with_bar: bool) -> str:
    """Return `━━━─── 40/200`, without the bar where nobody looks."""
    drawn = bar(each.share) if with_bar else ""
    return f"{drawn} {each.done}".strip()


def clock(time: timedelta | None) -> str:
    """Return a duration as Slurm prints it, without fractions."""
    from aistation_slurm.slurm.units import write_duration

    return write_duration(timedelta(seconds=int(time.total_seconds()))) if time is not None else ""


def moment(at: datetime | None, now: datetime) -> str:
    """Return a moment on the wall's clock and its age, `11:08:54 (3 min ago)`; with its date unless today."""
    from aistation_slurm.jobs.results import age

    if at is None:
        return ""
    local = at.astimezone()
    shape = "%H:%M:%S" if local.date() == now.astimezone().date() else "%Y-%m-%d %H:%M:%S"
    return f"{local.strftime(shape)} ({age(at, now)})"


def show_pairs(pairs: Pairs) -> None:
    """Print a label and its value on each line; what has no value is left out."""
    told = [(label, value) for label, value in pairs if value]
    width = max((len(label) for label, _ in told), default=0)
    last = ""
    for label, value in told:
        first, *more = value.split("\n")
        click.echo(f"{'' if label == last else label:>{width}}  {first}")
        for line in more:
            click.echo(f"{'':>{width}}  {line}")
        last = label


def is_terminal() -> bool:
    """True where a person looks at what is printed."""
    return sys.stdout.isatty()


def speaks_utf8() -> bool:
    """True where more than ASCII can be printed."""
    out = sys.__stdout__  # rich's live view stands in for sys.stdout, and names no encoding
    return out is not None and out.encoding.lower().replace("-", "") == "utf8"
