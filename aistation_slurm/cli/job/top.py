"""`aistation job top`: running jobs, live."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from aistation_slurm.cli.job.looks import bar, clock, speaks_utf8, state_colour

if TYPE_CHECKING:
    from aistation_slurm.jobs.listing import Training
    from aistation_slurm.jobs.top import Frame, Row

_NARROW, _WIDE = 90, 130
_FEW = 5


@click.command()
@click.option("--all", "everyone", is_flag=True, help="Everybody's jobs, not only mine.")
@click.option("--every", type=click.FloatRange(1), default=2.0, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Print one look, and end.")
def top(everyone: bool, every: float, once: bool) -> None:
    """Watch the running jobs: how far they are, what they use, and how their metric moves; end it with Ctrl-C.

    What a job uses is told of one's own jobs (sstat). Slurm measures GPUs from 23.11 on, where it was built with NVML.

    \b
    Examples:
      aistation job top
      aistation job top --all --every 5
      aistation job top --once
    """
    from aistation_slurm.jobs.listing import Wanted
    from aistation_slurm.jobs.top import Looker
    from aistation_slurm.slurm.connect import connect

    looker = Looker(connect(), Wanted(user=None if everyone else getpass.getuser()))
    console = Console()
    frame = looker.look(datetime.now(UTC))
    if once or not console.is_terminal:
        console.print(drawn(frame, console.width, everyone=everyone))
        return
    _live(looker.look, frame, console, every=every, everyone=everyone)


def _live(look: Callable[[datetime], Frame], frame: Frame, console: Console, *, every: float, everyone: bool) -> None:
    from rich.live import Live

    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(drawn(frame, console.width, everyone=everyone), refresh=True)
                time.sleep(every)
                frame = look(datetime.now(UTC))
    except KeyboardInterrupt:
        console.print(drawn(frame, console.width, everyone=everyone))


def drawn(frame: Frame, width: int, *, everyone: bool) -> Group:
    """Return the picture of one look, made for a terminal of this width."""
    gpus = sum(row.job.gpus for row in frame.rows)
    head = f"{frame.at.astimezone():%H:%M:%S}   {len(frame.rows)} running on {gpus} GPUs, {len(frame.waiting)} waiting"
    parts: list[Text | Table] = [Text(head, style="bold")]
    if frame.trouble:
        parts.append(Text(frame.trouble, style="red"))
    if frame.rows:
        parts.append(_table(frame, width, everyone=everyone))
    parts += [_waits(each) for each in frame.waiting[:_FEW]]
    if len(frame.waiting) > _FEW:
        parts.append(Text(f"and {len(frame.waiting) - _FEW} more", style="dim"))
    parts += [_ended(each) for each in frame.ended[:_FEW]]
    return Group(*parts)


def _table(frame: Frame, width: int, *, everyone: bool) -> Table:
    columns = ["JOBID", "NAME", *(["USER"] if everyone else []), "TIME", "PROGRESS", "DONE IN", "METRIC"]
    columns += ["CPUS", "MEMORY", "GPUS"] if width >= _NARROW else []
    columns += ["TREND", "NODES"] if width >= _WIDE else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for row in frame.rows:
        cells = _cells(row, bar_width=6 if width < _NARROW else 12)
        table.add_row(*(cells[name] for name in columns))
    return table


def _cells(row: Row, *, bar_width: int) -> dict[str, Text]:
    from aistation_slurm.jobs.named import shown_id
    from aistation_slurm.jobs.results import short_time

    each, job = row.training, row.job
    left = row.pace.left if row.pace else None
    share = each.share
    told = {
        "JOBID": shown_id(job),
        "NAME": job.name,
        "USER": job.user,
        "TIME": clock(job.elapsed),
        "DONE IN": short_time(left.total_seconds()) if left is not None else "",
        "METRIC": row.metric,
        "CPUS": _cpus(row),
        "MEMORY": _memory(row),
        "GPUS": _gpus(row),
        "TREND": row.line if speaks_utf8() else "",
        "NODES": job.nodes,
    }
    cells = {name: Text(text) for name, text in told.items()}
    cells["PROGRESS"] = Text.assemble(
        (bar(share, width=bar_width), "green"), " " if share is not None else "", each.done
    )
    cells["JOBID"].stylize(state_colour(job.state))
    return cells


def _cpus(row: Row) -> str:
    if row.cpus_now is None:
        return f"{row.job.cpus}"
    return f"{row.cpus_now:.1f}/{row.job.cpus}"


def _memory(row: Row) -> str:
    used = row.used
    if used is None or used.memory_used is None:
        return ""
    return (
        f"{used.memory_used / 1024:.1f}/{used.memory / 1024:.1f} G"
        if used.memory
        else f"{used.memory_used / 1024:.1f} G"
    )


def _gpus(row: Row) -> str:
    busy = row.used.gpu_busy if row.used else None
    return f"{row.job.gpus}" + (f" {busy:.0f}%" if busy is not None else "") if row.job.gpus else ""


def _waits(each: Training) -> Text:
    from aistation_slurm.jobs.named import shown_id

    job = each.job
    return Text.assemble((f"waits  {shown_id(job)}", "yellow"), f" {job.name}: {each.where or 'not looked at yet'}")


def _ended(each: Training) -> Text:
    from aistation_slurm.jobs.named import shown_id

    job = each.job
    ended = f"{job.end_time.astimezone():%H:%M}" if job.end_time else ""
    steps = f", step {each.done}" if each.done else ""
    return Text.assemble(
        (f"{ended}  {shown_id(job)}", state_colour(job.state)), f" {job.name}: {job.state.value}{steps}"
    )
