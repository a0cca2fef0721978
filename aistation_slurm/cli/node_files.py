"""`aistation node files`: the node's end of a push, what each host holds, and how a push is set up."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import aistation_slurm
from aistation_slurm.cli.show import json_option, say, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.cluster.applying.target import Target
    from aistation_slurm.cluster.places import Place, Seen

DIFFERENT = 1


@click.command("files")
@click.option("--check", is_flag=True, help="Show which files each host holds. Run where `cluster apply` runs.")
@click.option("--restart", metavar="NODES", default="", help="Let these nodes restart their slurmd. Run there too.")
@click.option("--setup", is_flag=True, help="Show what to do once so that files can be pushed by ssh.")
@click.option(
    "--folder", default="/etc/slurm", show_default=True, type=click.Path(path_type=Path), help="Slurm's, on the node."
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="One more file that may be pushed; can be repeated."
)
@click.option("--restart-with", default="", metavar="COMMAND", help="How slurmd is restarted here, if it may be.")
@json_option
def files(
    check: bool, restart: str, setup: bool, folder: Path, names: tuple[str, ...], restart_with: str, as_json: bool
) -> None:
    """Take Slurm's files from `cluster apply`; or, with --check, show which ones each host holds.

    Without any of --check, --restart and --setup this is the one command that the key of `cluster apply` can run
    on a node, by the line in authorized_keys that --setup shows. It reads a request from stdin, and no word of the
    caller's.

    \b
    Examples:
      aistation node files --setup
      aistation node files --check --json
      aistation node files --restart 'gpu-[01-08]'
    """
    if setup:
        _show_setup(folder, restart_with)
    elif check:
        _check(as_json=as_json)
    elif restart:
        _restart(restart)
    else:
        _serve(folder, names, restart_with)


def _serve(folder: Path, names: tuple[str, ...], restart_with: str) -> None:
    """Replace this process by the node's end alone, which imports nothing that it does not need."""
    from aistation_slurm.errors import UsageError

    if sys.stdin.isatty():
        raise UsageError("this is for sshd to start", hint="try --check or --setup")
    root = str(Path(aistation_slurm.__file__).resolve().parent.parent)
    words = [str(folder), restart_with, *names]
    env = {**os.environ, "PYTHONPATH": root}  # this very package; -P: never one that lies in the current folder
    os.execve(sys.executable, [sys.executable, "-P", "-m", "aistation_slurm.node.files", *words], env)


def _show_setup(folder: Path, restart_with: str) -> None:
    from aistation_slurm.cluster.places.setup import setup_lines
    from aistation_slurm.settings import load_settings

    program = Path(sys.argv[0]).absolute()
    for line in setup_lines(load_settings(), program=program, folder=folder, restart_with=restart_with):
        click.echo(line)


def _check(*, as_json: bool) -> None:
    place, seen, said = _compared(_target())
    if as_json:
        show_json({"place": place.name, "left_out": place.left_out, "differing": said, "seen": seen})
    else:
        _show(place, seen, said)
    sys.exit(DIFFERENT if said else 0)


def other_hosts() -> list[str]:
    """Return who holds other files than this host, or can't be asked, a line for each kind; nothing where all agree.

    Only where files are pushed; else every host has them as soon as this one does.
    """
    from aistation_slurm.errors import SettingsError
    from aistation_slurm.settings import load_settings

    if load_settings().nodes.files != "ssh":
        return []
    try:
        return _compared(_target())[2]
    except SettingsError as error:
        return [str(error)]


def _compared(target: Target) -> tuple[Place, Seen, list[str]]:
    from aistation_slurm.cluster.applying.catching_up import files_here
    from aistation_slurm.cluster.places import differing

    place, here = target.place(), files_here(target.conf_dir)
    seen = place.look(here)
    return place, seen, differing(seen, here)


def _restart(nodes: str) -> None:
    """Restart slurmd on the hosts of these nodes, those that Slurm calls down too: it may be what brings them back."""
    from aistation_slurm.cluster.places.base import Hosts, host_of
    from aistation_slurm.cluster.places.choose import open_push
    from aistation_slurm.errors import UnknownToSlurm
    from aistation_slurm.slurm.nodelist import expand, fold

    target = _target()
    known = {node.name: host_of(node) for node in target.slurm.read.nodes()}
    wanted = expand(nodes)
    if strange := [name for name in wanted if name not in known]:
        raise UnknownToSlurm(f"slurmctld knows no node {fold(strange)}")
    hosts = Hosts(tuple(sorted({known[name] for name in wanted})))
    open_push(target.settings, hosts).restart()
    say(f"slurmd was restarted on {fold(host.name for host in hosts.up)}")


def _target() -> Target:
    from aistation_slurm.cluster.applying.target import Target
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    settings = load_settings()
    return Target(settings=settings, slurm=connect(settings.slurm), cluster_file=settings.cluster_file)


def _show(place: Place, seen: Seen, said: list[str]) -> None:
    if not place.hosts:
        say(f"nothing is pushed here: [nodes] files = {place.name!r}")
        return
    columns = sorted({name for held in seen.files.values() for name in held})
    rows = [(host, *(_short(held.get(name)) for name in columns)) for host, held in seen.files.items()]
    show_table(("HOST", *columns), [*rows, *((host, *("?" for _ in columns)) for host in seen.failed)])
    for line in said:
        say(line)
    if place.left_out:
        from aistation_slurm.slurm.nodelist import fold

        say(f"down, and not asked: {fold(place.left_out)}")


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "-"
