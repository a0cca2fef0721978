"""`aistation checkpoint`: list, verify and prune a training's checkpoints."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.errors import RequestError

if TYPE_CHECKING:
    from aistation_slurm.checkpoint import Checkpoint
    from aistation_slurm.slurm.model import Job

folder_argument = click.argument("folder", type=click.Path(path_type=Path))


@click.group()
def checkpoint() -> None:
    """List, verify and prune a training's checkpoints.

    \b
    Examples:
      aistation checkpoint list digits-12/checkpoints
      aistation checkpoint verify digits-12/checkpoints
      aistation checkpoint prune --keep 1 digits-12/checkpoints
    """


@checkpoint.command("list")
@folder_argument
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """List the checkpoints that count, and who held the folder; reads no state.

    \b
    Examples:
      aistation checkpoint list digits-12/checkpoints
      aistation checkpoint list --json digits-12/checkpoints
    """
    from aistation_slurm.jobs.checkpoints import open_checkpoints, standing

    checkpoints = open_checkpoints(folder)
    found, claims = standing(checkpoints), checkpoints.claims()
    if as_json:
        show_json({"checkpoints": found, "claims": claims})
        return
    show_table(
        ("STEP", "SIZE", "AGE", "PARTS", "STATE", "RUN"),
        (
            (each.step, _size(each.bytes), _age(each.saved), each.parts or "", each.fault or "whole", each.run_id)
            for each in found
        ),
    )
    for claim in claims:
        say(f"{datetime.fromtimestamp(claim.time, UTC):%Y-%m-%d %H:%M:%S} {claim}, from step {[0, *claim.steps][-1]}")


@checkpoint.command()
@folder_argument
@json_option
def verify(folder: Path, as_json: bool) -> None:
    """Read every checkpoint against its manifest; the exit code is 1 where none is whole.

    \b
    Examples:
      aistation checkpoint verify digits-12/checkpoints
      aistation checkpoint verify --json digits-12/checkpoints
    """
    from aistation_slurm.jobs.checkpoints import open_checkpoints

    found = open_checkpoints(folder).checkpoints()
    with _progress(found) as seen:
        told = [{"step": each.step, "fault": each.fault(seen), "folder": each.folder} for each in found]
    if as_json:
        show_json(told)
    else:
        show_table(("STEP", "STATE", "FOLDER"), ((row["step"], row["fault"] or "whole", row["folder"]) for row in told))
    if all(row["fault"] for row in told):
        sys.exit(1)


@checkpoint.command()
@folder_argument
@click.option("--keep", type=click.IntRange(1), default=1, show_default=True, help="How many of the newest stay.")
@click.option("--every", type=click.IntRange(1), help="The first at or past each multiple of so many steps stays, too.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--force", is_flag=True, help="Even while a run may be using the folder.")
@json_option
def prune(folder: Path, keep: int, every: int | None, dry_run: bool, force: bool, as_json: bool) -> None:
    """Remove old checkpoints, and what killed and replaced runs have left; never the last whole one.

    \b
    Examples:
      aistation checkpoint prune --dry-run digits-12/checkpoints
      aistation checkpoint prune --keep 2 --every 10000 digits-12/checkpoints
    """
    from aistation_slurm.jobs.checkpoints import carry_out, held_by, open_checkpoints, plan_pruning

    checkpoints = open_checkpoints(folder)
    if not (dry_run or force) and (holder := held_by(checkpoints, _ask_slurm)):
        raise RequestError(f"not pruned: {holder}", where=str(folder), hint="--force does it all the same")
    with _progress(checkpoints.checkpoints()) as seen:
        pruning = plan_pruning(checkpoints, keep=keep, every=every, now=time.time(), seen=seen)
    if not dry_run:
        carry_out(pruning)
    if as_json:
        show_json({"pruning": pruning, "done": not dry_run})
        return
    for each in pruning.removals:
        click.echo(str(each))
    say(f"{pruning}." if not dry_run else f"{pruning}. Nothing was removed.")


def _ask_slurm(job_id: int) -> Job:
    from aistation_slurm.slurm.connect import connect

    return connect().read.job(job_id)


@contextlib.contextmanager
def _progress(found: list[Checkpoint]) -> Iterator[Callable[[int], object] | None]:
    """Show on a terminal how much has been read; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=sum(path.stat().st_size for each in found for path in each.folder.rglob("*")))
        yield lambda size: shown.advance(task, size)


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} TB"


def _age(saved: float | None) -> str:
    if saved is None:
        return "?"
    age = timedelta(seconds=int(max(0.0, time.time() - saved)))
    return str(age)
