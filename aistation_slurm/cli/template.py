"""`aistation template`: list, show and check the training templates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, say, show_json, show_table
from aistation_slurm.errors import UsageError

if TYPE_CHECKING:
    from aistation_slurm.jobs.catalogue import Catalogue, Template
    from aistation_slurm.jobs.parameter import Parameter


@click.group()
def template() -> None:
    """List, show and check the training templates.

    \b
    Examples:
      aistation template list
      aistation template show pytorch-ddp
      aistation template lint /etc/aistation/templates/train/ours.sbatch.j2
    """


@template.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the templates: the site's own, and ours.

    \b
    Examples:
      aistation template list
      aistation template list --json
    """
    catalogue = _catalogue()
    if as_json:
        show_json(list(catalogue))
    else:
        rows = ((each.name, each.title, _whose(catalogue, each), each.what_for) for each in catalogue)
        show_table(("NAME", "TITLE", "WHOSE", "WHAT FOR"), rows)


@template.command()
@click.argument("name")
@click.option("--source", is_flag=True, help="Print the template itself.")
@json_option
def show(name: str, source: bool, as_json: bool) -> None:
    """Show what a template is for, and what it can be told.

    \b
    Examples:
      aistation template show pytorch-ddp
      aistation template show --source plain
    """
    catalogue = _catalogue()
    found = catalogue[name]
    if source:
        click.echo(found.path.read_text(encoding="utf-8"), nl=False)
    elif as_json:
        show_json(found)
    else:
        click.echo(f"{found.name}: {found.title}\n\n{found.what_for}\n")
        rows = ((key, _type(each), _plain(each.default), each.help) for key, each in found.parameters.items())
        show_table(("PARAMETER", "TYPE", "DEFAULT", "WHAT IT IS"), rows)
        say(f"it is in {found.path}")


@template.command()
@click.argument("what", metavar="[NAME|FILE]...", nargs=-1)
@click.option("--strict", is_flag=True, help="Fail for warnings, too.")
@json_option
def lint(what: tuple[str, ...], strict: bool, as_json: bool) -> None:
    """Check templates; without any named, all of them. Nothing of them is run.

    The exit code is 1 where there is an error, and 0 where there are only warnings.

    \b
    Examples:
      aistation template lint
      aistation template lint --strict /etc/aistation/templates/train/ours.sbatch.j2
    """
    from aistation_slurm.jobs.lint import lint_template

    catalogue = _catalogue()
    files = list(_files(catalogue, what))
    found = [finding for path in files for finding in lint_template(path, (path.parent.parent, *catalogue.folders))]
    if as_json:
        show_json(found)
    for finding in () if as_json else found:
        click.secho(str(finding), fg="red" if finding.level == "error" else "yellow")
    errors = sum(each.level == "error" for each in found)
    say(f"{len(files)} template{'s' * (len(files) != 1)}: {errors} errors, {len(found) - errors} warnings")
    if errors or (strict and found):
        raise SystemExit(1)


def _files(catalogue: Catalogue, what: Sequence[str]) -> Iterator[Path]:
    """Yield the file of each template that is named, by its name or by its path; else of all."""
    from aistation_slurm.jobs.catalogue import FOLDER, SUFFIX

    for each in what or catalogue.names():
        path = Path(each)
        if "/" not in each and not each.endswith(SUFFIX):
            yield catalogue.file(each)
        elif not path.is_file():
            raise UsageError(f"{each}: there is no such file")
        elif not each.endswith(SUFFIX) or path.absolute().parent.name != FOLDER:
            raise UsageError(f"{each}: a template is called {FOLDER}/NAME{SUFFIX}")
        else:
            yield path.absolute()


def _whose(catalogue: Catalogue, template: Template) -> str:
    return "ours" if template.path.is_relative_to(catalogue.folders[-1]) else "the site's"


def _type(parameter: Parameter) -> str:
    """Return what a parameter takes, such as `int, 1 to 65535`."""
    if parameter.choices:
        return "|".join(parameter.choices)
    least, most = ("" if each is None else f"{each:g}" for each in (parameter.min, parameter.max))
    bounds = (
        f", {least} to {most}" if least and most else f", from {least}" if least else f", to {most}" if most else ""
    )
    return f"{parameter.type}{bounds}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _catalogue() -> Catalogue:
    from aistation_slurm.jobs.catalogue import open_catalogue
    from aistation_slurm.settings import load_settings

    return open_catalogue(load_settings().templates)
