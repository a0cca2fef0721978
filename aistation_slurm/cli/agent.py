"""`aistation agent`: this node's heartbeat."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import click

import aistation_slurm


@click.command()
@click.option("--node", metavar="NODE", help="The node's name in Slurm. [default: the short host name]")
@click.option("--to", metavar="HOST:PORT", help="Where the daemon listens. [default: from aistation.toml]")
@click.option("--munge-socket", metavar="PATH", help="munged's socket. [default: munge's own]")
@click.option("--every", metavar="SECONDS", type=float, default=0.5, show_default=True, help="How often.")
def agent(node: str | None, to: str | None, munge_socket: str | None, every: float) -> None:
    """Send this node's heartbeat to the daemon until stopped.

    One small datagram each half second, signed by munge. The agent opens no port and takes no orders.

    \b
    Examples:
      aistation agent                                    on a node with an /etc/aistation/aistation.toml
      aistation agent --node gpu-07 --to 10.0.0.1:8171
    """
    from aistation_slurm.errors import UsageError
    from aistation_slurm.node import heartbeat
    from aistation_slurm.node.agent import LONGEST, SHORTEST

    node = node or socket.gethostname().partition(".")[0]
    if not heartbeat.is_node_name(node):
        raise UsageError(f"{node!r} is no node name")
    if not SHORTEST <= every <= LONGEST:
        raise UsageError(f"--every {every:g} is not between {SHORTEST:g} and {LONGEST:g} seconds")
    to = to or _address_from_settings()
    heartbeat.address(to)
    become_agent(node, to, every=every, munge_socket=munge_socket)


def become_agent(node: str, to: str, *, every: float, munge_socket: str | None) -> None:
    """Replace this process by the agent alone: half the memory, since click is not in it."""
    # -P and PYTHONPATH: this very package, and never one that lies in the current folder.
    os.environ["PYTHONPATH"] = str(Path(aistation_slurm.__file__).resolve().parent.parent)
    words = [node, to, str(every), *([munge_socket] if munge_socket else [])]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "aistation_slurm.node.agent", *words])


def _address_from_settings() -> str:
    from aistation_slurm.settings import load_settings

    return load_settings().daemon.heartbeat
