"""`aistation doctor`: a read-only look at the Slurm that is here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, plain, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.slurm.ways import Way


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at the running Slurm and say what was found and what hinders us. Changes nothing.

    Says also by which reader Slurm is asked and why, and what each reader leaves to Slurm's commands.

    The exit code is 0, or 2 where something is bad.

    \b
    Examples:
      aistation doctor
      SLURM_CONF=/etc/slurm/slurm.conf aistation doctor --json
    """
    from aistation_slurm.cluster.doctor import examine
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect, ways_here

    settings = load_settings().slurm
    slurm = connect(settings)
    findings, readers = examine(slurm), ways_here(settings)
    if as_json:
        ways = [{**plain(way), "leaves_to_cli": way.leaves} for way in readers]
        show_json({"findings": findings, "choice": slurm.choice, "readers": ways})
    else:
        colours = {"good": "green", "note": "yellow", "bad": "red"}
        for finding in findings:
            click.secho(str(finding), fg=colours[finding.level])
        click.echo()
        rows = [(way.name, "yes" if way.is_usable else "no", way.why, _leaves(way)) for way in readers]
        show_table(["reader", "usable", "by, or why not", "leaves to cli"], rows)
    sys.exit(2 if any(finding.level == "bad" for finding in findings) else 0)


def _leaves(way: Way) -> str:
    if not way.is_usable:
        return ""
    return ", ".join(way.leaves) or "nothing"
