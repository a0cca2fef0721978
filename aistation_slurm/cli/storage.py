"""`aistation storage`: who has stored how much, and storage quotas where no Slurm is, such as on a file server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, plain, say, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.cluster.changes import Change
    from aistation_slurm.data.quota import Row, Seen
    from aistation_slurm.spec import ClusterSpec

COLOURS = {"+": "green", "~": "yellow"}
EXIT_CHANGES = 2
NOTHING = "nothing to do: the file systems are what the cluster file says"

file_argument = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)


@click.group()
def storage() -> None:
    """Show who has stored how much, and plan and set storage quotas.

    Quotas are set by `aistation cluster apply` with everything else. Where the file system belongs to another machine
    (NFS), `apply` here does it there: it needs the cluster file and no Slurm.

    \b
    Examples:
      aistation storage show --team robot
      aistation storage plan cluster.yaml
    """


@storage.command()
@file_argument
@json_option
@click.option("--user", "-u", metavar="USER", help="This user alone. Whoever is not root sees no other.")
@click.option("--team", "-t", metavar="TEAM", help="This team, and its members.")
def show(file: Path | None, as_json: bool, user: str | None, team: str | None) -> None:
    """Show what users and teams have stored, and may.

    \b
    Examples:
      aistation storage show
      aistation storage show --user ann --json
    """
    spec = _load(file)
    seen = _look(spec, user)
    rows = _chosen(_rows(seen), spec, user=user, team=team)
    problems = {each.wanted.name: str(each.problem) for each in seen if each.problem}
    if as_json:
        show_json({"rows": [{**plain(row), "percent": row.percent} for row in rows], "problems": problems})
    else:
        show_table(("STORAGE", "WHO", "NAME", "USED", "LIMIT", "FILES", "LIMIT", "USE%"), map(_cells, rows))
        for name, problem in problems.items():
            say(f"note: storage {name}: {problem}")
    sys.exit(1 if problems and not rows else 0)


@storage.command()
@file_argument
@json_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 0 if nothing is to do, 1 on an error, 2 on changes.")
def plan(file: Path | None, as_json: bool, detailed_exitcode: bool) -> None:
    """Show which storage quotas `apply` would set, and change nothing. Exits with 1 if a file system can't be asked.

    \b
    Examples:
      aistation storage plan
      aistation storage plan --detailed-exitcode cluster.yaml
    """
    changes, notes, is_whole = _plan(file)
    if as_json:
        show_json({"checksum": _checksum(changes), "changes": [str(each) for each in changes], "notes": notes})
    else:
        _print(changes, notes)
        if changes:
            say(f"Nothing was changed. Carry it out: aistation storage apply --checksum {_checksum(changes)}")
    sys.exit(1 if not is_whole else EXIT_CHANGES if changes and detailed_exitcode else 0)


@storage.command()
@file_argument
@click.option("--checksum", metavar="C", help="Only if the plan is still this one, as `plan` named it.")
@click.option("--yes", "-y", is_flag=True, help="Don't ask.")
@click.option("--force", is_flag=True, help="Even if somebody has stored more than the new quota.")
def apply(file: Path | None, checksum: str | None, yes: bool, force: bool) -> None:
    """Set the storage quotas that the cluster file says; Slurm is not asked, and not needed.

    \b
    Examples:
      aistation storage apply                     shows the plan, and asks
      aistation storage apply --checksum 58f9ffe07e29
    """
    from aistation_slurm.cluster.planning.storage import carry_out, raise_if_over
    from aistation_slurm.errors import StalePlan, UsageError

    changes, notes, _ = _plan(file)
    if checksum and checksum != _checksum(changes):
        text = f"the plan is now {_checksum(changes)}, not {checksum}"
        raise StalePlan(text, hint="look again: aistation storage plan")
    if not force:
        raise_if_over(changes)
    if changes and not (yes or checksum):
        _print(changes, notes)
        if not sys.stdin.isatty():
            raise UsageError(
                "there is nobody to ask", hint="say --checksum, as `aistation storage plan` prints it, or --yes"
            )
        click.confirm("Carry it out?", abort=True, err=True)
    for line in carry_out(changes):
        _print_line(line)
    _look_again(file, done=len(changes))


def _look_again(file: Path | None, *, done: int) -> None:
    from aistation_slurm.errors import StalePlan

    left, notes, is_whole = _plan(file)
    if left:
        _print(left, notes)
        text = "the file systems are not yet what the cluster file says"
        raise StalePlan(text, hint="did somebody else change them? apply once more")
    for note in notes:
        say(f"note: {note}")
    if done or is_whole:
        click.echo(f"{done} changes made" if done else NOTHING)
    sys.exit(0 if is_whole else 1)


def _load(file: Path | None) -> ClusterSpec:
    from aistation_slurm.errors import SpecError
    from aistation_slurm.settings import load_settings
    from aistation_slurm.spec import load_spec

    path = file or load_settings().cluster_file
    spec = load_spec(path)
    if not spec.storage:
        raise SpecError("names no file system", where=str(path), hint="storage: {home: {path: /home}}")
    return spec


def _plan(file: Path | None) -> tuple[list[Change], list[str], bool]:
    """Return the changes, the notes, and whether every file system could be asked."""
    from aistation_slurm.cluster.planning.storage import look_at_storage, storage_changes

    seen = look_at_storage(_load(file))
    return *storage_changes(seen), all(each.problem is None for each in seen)


def _look(spec: ClusterSpec, user: str | None) -> tuple[Seen, ...]:
    """Return a look at every file system; of others' quotas only root is told."""
    import pwd

    from aistation_slurm.cluster.planning.storage import look_at_storage
    from aistation_slurm.data.quota import Tools, look_own, wanted_storage
    from aistation_slurm.errors import StorageRefused

    if os.geteuid() == 0:
        return look_at_storage(spec, everybody=True)
    me = pwd.getpwuid(os.geteuid()).pw_name
    if user not in {None, me}:
        raise StorageRefused(f"only root may see what {user} has stored", hint="leave --user out, or run it as root")
    return tuple(look_own(each, me, Tools()) for each in wanted_storage(spec))


def _rows(seen: tuple[Seen, ...]) -> list[Row]:
    from aistation_slurm.data.quota import overview

    return [row for each in seen for row in overview(each)]


def _chosen(rows: list[Row], spec: ClusterSpec, *, user: str | None, team: str | None) -> list[Row]:
    from aistation_slurm.errors import UnknownNameError

    if team is not None and team not in spec.teams:
        raise UnknownNameError("team", team, where="--team", known=spec.teams)
    members = set(spec.teams[team].members) if team else set()
    return [
        row
        for row in rows
        if (user is None or (row.kind, row.name) == ("user", user))
        and (team is None or (row.name == team if row.kind == "team" else row.name in members))
    ]


def _cells(row: Row) -> tuple[object, ...]:
    from aistation_slurm.data.quota import show_size

    percent = "-" if row.percent is None else f"{row.percent} %"
    space, files = show_size(row.space), str(row.files)
    limits = (show_size(row.space_limit) if row.space_limit else "-", str(row.files_limit or "-"))
    return (row.storage, row.kind, row.name, space, limits[0], files, limits[1], percent)


def _checksum(changes: list[Change]) -> str:
    from hashlib import sha256

    return sha256("\n".join(map(str, changes)).encode()).hexdigest()[:12]


def _print(changes: list[Change], notes: list[str]) -> None:
    for change in changes:
        _print_line(str(change))
    for note in notes:
        say(f"note: {note}")
    if changes:
        click.echo(f"plan {_checksum(changes)}: {sum(change.count for change in changes)} things to change")
    elif not notes:
        click.echo(NOTHING)


def _print_line(line: str) -> None:
    click.secho(line, fg=COLOURS.get(line[:1]), color=False if os.environ.get("NO_COLOR") else None)
