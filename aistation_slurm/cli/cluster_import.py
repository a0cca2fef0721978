"""`aistation cluster import` and `facts`: what is there already, told as a cluster file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json

if TYPE_CHECKING:
    from aistation_slurm.cluster.facts import Facts, Finding
    from aistation_slurm.spec import ClusterSpec

EXIT_DIFFERENCES = 2
_COLOURS = {"less": "red", "unknown": "yellow", "note": None}
_FEW = 3
"""So many lines that could not be read are shown; more are counted."""


@click.command(name="import")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there.")
@click.option("--force", is_flag=True, help="Even over a file that is there; it is kept as FILE.old.")
def import_(output: Path | None, force: bool) -> None:
    """Print a cluster file that says what the running Slurm has; changes nothing.

    What the site made comes as `managed_by: site`, what we made as ours: a plan right after changes nothing. What can't
    be said in a cluster file stands in its comments.

    \b
    Examples:
      aistation cluster import -o cluster.yaml
      aistation cluster import | less
    """
    from aistation_slurm.cluster import imported
    from aistation_slurm.errors import UsageError
    from aistation_slurm.settings import load_settings
    from aistation_slurm.slurm.connect import connect

    if output and output.exists() and not force:
        raise UsageError("is there already", where=str(output), hint="name another file, or say --force")
    settings = load_settings().slurm
    text = imported(connect(settings), settings.conf.parent)
    if output is None:
        click.echo(text, nl=False)
        return
    _write(output, text)
    left_out = sum(line.startswith("# Left out: ") for line in text.splitlines())
    say(f"written: {output}" + (f"; {left_out} things are left out, see its comments" if left_out else ""))
    say(f"aistation cluster plan {output}      what it would change; nothing is changed by it")


def _write(path: Path, text: str) -> None:
    """Write the file, and keep the one before beside it.

    Raises:
        SettingsError: it can't be written.
    """
    from aistation_slurm.errors import SettingsError
    from aistation_slurm.render import write_whole

    try:
        if path.exists():
            write_whole(path.with_name(f"{path.name}.old"), path.read_text(encoding="utf-8", errors="replace"))
        write_whole(path, text)
    except OSError as error:
        raise SettingsError(
            f"can't be written ({error.strerror})", where=str(path), hint="name another with -o"
        ) from error


@click.command()
@click.argument("source", type=click.File(encoding="utf-8", errors="replace"), metavar="[FACTS|-]", required=False)
@click.option(
    "--cluster-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Instead of the one that aistation.toml names.",
)  # fmt: skip
@click.option("--leave", metavar="MEMORY", help="What of each node's memory stays with the system, such as 8G.")
@click.option("--write-groups", is_flag=True, help="Print `groups:` for nodes that the cluster file doesn't name.")
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 0 if all is as the file says, 1 on an error, else 2."
)
@json_option
def facts(
    source: IO[str] | None,
    cluster_file: Path | None,
    leave: str | None,
    write_groups: bool,
    detailed_exitcode: bool,
    as_json: bool,
) -> None:
    """Compare what the nodes say that they have with the cluster file; changes nothing.

    FACTS is what `slurmd -C` printed on them, and `slurmd -G` or `nvidia-smi -L` for their GPUs: bare, with clush's or
    pdsh's `node:` before each line, or folded by `clush -b` or `dshbak -c`.

    \b
    Examples:
      clush -a 'slurmd -C; nvidia-smi -L' | aistation cluster facts -
      aistation cluster facts --write-groups facts.txt > cluster.yaml
    """
    from aistation_slurm.cluster.facts import compare, groups_block, read_facts

    spec = _spec(cluster_file, needed=not write_groups)
    read = read_facts(_text(source))
    left = _memory(leave)
    if write_groups and not as_json:
        click.echo(groups_block(read.nodes, spec, leave=left), nl=False)
        _unread(read)
        return
    found = compare(read.nodes, spec, leave=left)
    if as_json:
        block = groups_block(read.nodes, spec, leave=left) if write_groups else None
        show_json({"nodes": read.nodes, "findings": found, "unread": read.unread, "groups": block})
    else:
        _show(read, found)
    sys.exit(EXIT_DIFFERENCES if detailed_exitcode and any(each.level != "note" for each in found) else 0)


def _spec(path: Path | None, *, needed: bool) -> ClusterSpec | None:
    """Return the cluster file; None where there is none yet, and none is needed.

    Raises:
        SpecError: it is wrong.
    """
    from aistation_slurm.settings import load_settings
    from aistation_slurm.spec import load_spec

    file = path or load_settings().cluster_file
    return load_spec(file) if path or needed or file.exists() else None


def _text(source: IO[str] | None) -> str:
    """Return what the nodes printed.

    Raises:
        UsageError: there is none, and nobody who could type it.
    """
    from aistation_slurm.errors import UsageError

    if source is None and sys.stdin.isatty():
        raise UsageError("no node facts", hint="clush -a 'slurmd -C' | aistation cluster facts -")
    return str(source.read() if source else sys.stdin.read())


def _memory(text: str | None) -> int | None:
    """Return the amount in MiB.

    Raises:
        UsageError: it is none.
    """
    from pydantic_core import PydanticCustomError

    from aistation_slurm.errors import UsageError
    from aistation_slurm.spec.amounts import read_memory

    try:
        return None if text is None else read_memory(text)
    except PydanticCustomError as error:
        raise UsageError(f"--leave: {error.message()}", hint="such as --leave 8G") from error


def _show(read: Facts, found: list[Finding]) -> None:
    for each in found:
        click.secho(str(each), fg=_COLOURS[each.level])
    _unread(read)
    levels = {each.level for each in found}
    said = ["some have less than the cluster file says"] if "less" in levels else []
    said += ["some are in no group (--write-groups prints groups for them)"] if "unknown" in levels else []
    nodes = f"{len(read.nodes)} node{'' if len(read.nodes) == 1 else 's'} read"
    click.echo(f"{nodes}: {', '.join(said) or 'all have what the cluster file says'}")


def _unread(read: Facts) -> None:
    for line in read.unread[:_FEW]:
        say(f"not read: {line}")
    if len(read.unread) > _FEW:
        say(f"not read: {len(read.unread) - _FEW} lines more")
