"""`aistation up` and `aistation down`: a station on this machine, or one beside the Slurm that runs here."""

from __future__ import annotations

from pathlib import Path

import click

from aistation_slurm.cli.show import say


@click.command()
@click.option("--embedded", is_flag=True, help="A Slurm of its own on this machine, even beside one that runs here.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="The cluster file; without it, a small example.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.option("--demo", is_flag=True, help="Then train over two nodes, kill one, and watch the training survive.")
@click.option("--python", type=click.Path(path_type=Path), help="The Python with PyTorch that the demo's jobs use.")
def up(embedded: bool, file: Path | None, yes: bool, demo: bool, python: Path | None) -> None:
    """Start an AI station: beside the Slurm that runs here, or with one of its own.

    Where a Slurm runs, it is only looked at: a cluster file is written from what it shows, and the page is served.
    Nothing in Slurm is changed until you say `aistation cluster apply`. Where none runs, it says what it would install
    and start, asks once, and does it.

    \b
    Examples:
      aistation up
      aistation up --embedded --yes --demo
    """
    from aistation_slurm.cli import station
    from aistation_slurm.settings import load_settings

    found = None if embedded else station.running_slurm(load_settings())
    if found is not None:
        from aistation_slurm.cli import adoption

        adoption.adopt(found, load_settings(), say=say, ask=station.no_question if yes else click.confirm)
        return
    made = station.embed(file, say=say, ask=station.no_question if yes else click.confirm)
    if made and demo:
        from aistation_slurm.cli.demo import run_demo

        run_demo(made, python=python)
    if made:
        station.say_what_next(made, say)


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
def down(yes: bool) -> None:
    """Take away what `aistation up` made: its processes, networks, users and files. An adopted Slurm is left alone.

    \b
    Examples:
      aistation down
      aistation down --yes
    """
    from aistation_slurm.cli import station

    station.take_down(say=say, ask=station.no_question if yes else click.confirm)
