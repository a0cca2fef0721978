"""`aistation template`: list and show the training templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aistation_slurm.cli.show import json_option, show_json, show_table

if TYPE_CHECKING:
    from aistation_slurm.jobs.catalogue import Catalogue


@click.group()
def template() -> None:
    """List and show the training templates.

    \b
    Examples:
      aistation template list
      aistation template show pytorch-ddp
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
    found = list(_catalogue())
    if as_json:
        show_json(found)
    else:
        show_table(("NAME", "TITLE", "WHAT FOR"), ((each.name, each.title, each.what_for) for each in found))


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
    found = _catalogue()[name]
    if source:
        click.echo(found.path.read_text(encoding="utf-8"), nl=False)
    elif as_json:
        show_json(found)
    else:
        click.echo(f"{found.name}: {found.title}\n\n{found.what_for}\n")
        rows = (
            (key, "|".join(each.choices) or each.type, "" if each.default is None else each.default, each.help)
            for key, each in found.parameters.items()
        )
        show_table(("PARAMETER", "TYPE", "DEFAULT", "WHAT IT IS"), rows)


def _catalogue() -> Catalogue:
    from aistation_slurm.jobs.catalogue import open_catalogue
    from aistation_slurm.settings import load_settings

    return open_catalogue(load_settings().templates)
