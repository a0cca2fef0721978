"""`aistation checkpoint`: list and verify a training's checkpoints."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.errors import RequestError

if TYPE_CHECKING:
    from aistation_slurm.checkpoint import Checkpoints

folder_argument = click.argument("folder", type=click.Path(path_type=Path))


@click.group()
def checkpoint() -> None:
    """List and verify a training's checkpoints.

    \b
    Examples:
      aistation checkpoint list digits-12/checkpoints
      aistation checkpoint verify digits-12/checkpoints
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
    checkpoints = _open(folder)
    rows = [
        {"step": each.step, "bytes": _size(each.folder), "folder": each.folder} for each in checkpoints.checkpoints()
    ]
    claims = checkpoints.claims()
    if as_json:
        show_json({"checkpoints": rows, "claims": claims})
        return
    show_table(("STEP", "BYTES", "FOLDER"), ((row["step"], row["bytes"], row["folder"]) for row in rows))
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
    found = [{"step": each.step, "fault": each.fault(), "folder": each.folder} for each in _open(folder).checkpoints()]
    if as_json:
        show_json(found)
    else:
        show_table(
            ("STEP", "STATE", "FOLDER"), ((row["step"], row["fault"] or "whole", row["folder"]) for row in found)
        )
    if all(row["fault"] for row in found):
        sys.exit(1)


def _open(folder: Path) -> Checkpoints:
    from aistation_slurm.checkpoint import CheckpointError, Checkpoints

    try:
        checkpoints = Checkpoints(folder)
        if checkpoints.claims():
            return checkpoints
    except CheckpointError as error:
        raise RequestError(str(error)) from error
    raise RequestError(
        "no training has kept checkpoints here", where=str(folder), hint="it has a folder `claims` in it"
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
