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
    from aistation_slurm.cluster.places import Place, Seen
    from aistation_slurm.settings import Settings

DIFFERENT = 1


@click.command("files")
@click.option("--check", is_flag=True, help="Show which files each host holds. Run where `cluster apply` runs.")
@click.option("--setup", is_flag=True, help="Show what to do once so that files can be pushed by ssh.")
@click.option(
    "--folder", default="/etc/slurm", show_default=True, type=click.Path(path_type=Path), help="Slurm's, on the node."
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="One more file that may be pushed; can be repeated."
)
@click.option("--restart-with", default="", metavar="COMMAND", help="How slurmd is restarted here, if it may be.")
@json_option
def files(check: bool, setup: bool, folder: Path, names: tuple[str, ...], restart_with: str, as_json: bool) -> None:
    """Take Slurm's files from `cluster apply`; or, with --check, show which ones each host holds.

    Without --check or --setup this is the one command that the key of `cluster apply` can run on a node, by the
    line in authorized_keys that --setup shows. It reads one request from stdin, and no word of the caller's.

    \b
    Examples:
      aistation node files --setup
      aistation node files --check --json
    """
    if setup:
        _show_setup(folder, restart_with)
    elif check:
        _check(as_json=as_json)
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
    from aistation_slurm.cluster.places import differing
    from aistation_slurm.settings import load_settings

    settings = load_settings()
    place = _place(settings)
    here = {name: _text(settings.slurm.conf.parent / name) for name in _names(settings.slurm.conf.parent)}
    seen = place.look(here)
    said = differing(seen, here)
    if as_json:
        show_json({"place": place.name, "left_out": place.left_out, "differing": said, "seen": seen})
    else:
        _show(place, seen, said)
    sys.exit(DIFFERENT if said else 0)


def _place(settings: Settings) -> Place:
    from aistation_slurm.cluster.places import hosts_of, open_place
    from aistation_slurm.slurm.connect import connect

    nodes = connect(settings.slurm).read.nodes()
    return open_place(settings, hosts_of(nodes, also=settings.nodes.also))


def _names(folder: Path) -> list[str]:
    """Return the files that are pushed and stand here, and those that are ours and should not stand there."""
    from aistation_slurm.node.folder import NAMES

    return sorted(name for name in NAMES if name.startswith("aistation") or (folder / name).exists())


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else None


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
