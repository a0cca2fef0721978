"""`aistation node`: the nodes, their heartbeats, and what recovery thinks of them."""

from __future__ import annotations

import click

from aistation_slurm.cli.node_files import files
from aistation_slurm.cli.show import json_option, show_json, show_table


@click.group()
def node() -> None:
    """Show the nodes, their heartbeats, and what recovery thinks of them.

    \b
    Examples:
      aistation node list
      aistation node list --json
      aistation node files --check                which of Slurm's files each host holds
    """


@node.command("list")
@json_option
def list_nodes(as_json: bool) -> None:
    """List the nodes: state, GPUs, age of the last heartbeat, and what recovery makes of it."""
    from datetime import UTC, datetime

    from aistation_slurm.faults.overview import overview
    from aistation_slurm.faults.policy import policy_of
    from aistation_slurm.node.beats import read_beats
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    settings = load_settings()
    nodes = connect(settings.slurm).read.nodes()
    rows = overview(nodes, read_beats(settings.run_dir), policy_of(settings.daemon), datetime.now(UTC))
    if as_json:
        show_json(rows)
        return
    show_table(
        ("NODE", "STATE", "GPUS", "USED", "BEAT", "VERDICT", "REASON"),
        [
            (each.node, each.state, each.gpus, each.gpus_used, _age(each.beat_age), each.verdict, each.reason)
            for each in rows
        ],
    )


node.add_command(files)


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"
