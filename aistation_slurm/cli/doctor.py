"""`aistation doctor`: a read-only look at the Slurm that is here."""

from __future__ import annotations

import sys

import click

from aistation_slurm.cli.show import json_option, show_json


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at the running Slurm and say what was found and what hinders us. Changes nothing.

    The exit code is 0, or 2 where something is bad.

    \b
    Examples:
      aistation doctor
      SLURM_CONF=/etc/slurm/slurm.conf aistation doctor --json
    """
    from aistation_slurm.cluster.doctor import examine
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    findings = examine(connect(load_settings().slurm))
    if as_json:
        show_json(findings)
    else:
        colours = {"good": "green", "note": "yellow", "bad": "red"}
        for finding in findings:
            click.secho(str(finding), fg=colours[finding.level])
    sys.exit(2 if any(finding.level == "bad" for finding in findings) else 0)
