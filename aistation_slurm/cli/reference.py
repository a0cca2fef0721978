"""The pages under `docs/` that come from the code, so that they can't disagree with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel

from aistation_slurm.cli.main import NOUNS, app
from aistation_slurm.cli.readers_page import readers_page
from aistation_slurm.cli.template_page import template_pages
from aistation_slurm.jobs.judge import load_table
from aistation_slurm.jobs.judge.page import failures_page
from aistation_slurm.settings import Settings
from aistation_slurm.spec.model import ClusterSpec
from aistation_slurm.spec.reference import reference_page


def pages() -> dict[str, str]:
    """Return file name -> text of every generated page."""
    return {
        "cluster-file.md": reference_page(ClusterSpec),
        "commands.md": command_page(app),
        "failures.md": failures_page(load_table()),
        "readers.md": readers_page(),
        "settings.md": settings_page(Settings),
        **template_pages(),
    }


def command_page(group: click.Group) -> str:
    """Return the help of every command, as `--help` prints it."""
    parts = ["# Commands\n\nWhat `--help` says, in one page. Written by `scripts/dev/docs`.\n"]
    for noun in NOUNS:
        command = group.get_command(click.Context(group), noun)
        if command is not None:
            parts += _help(command, _context(command, f"aistation {noun}"))
    return "\n".join(parts)


def _context(command: click.Command, name: str) -> click.Context:
    # A command keeps the help option that it is first asked for: the same as `app` gives it, whoever asks first.
    return click.Context(command, info_name=name, max_content_width=100, help_option_names=["-h", "--help"])


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.info_name}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            inner = command.get_command(context, verb)
            if inner is not None:
                name = f"{context.info_name} {verb}"
                yield from _help(inner, _context(inner, name))


def settings_page(settings: type[BaseModel]) -> str:
    """Return the reference of `aistation.toml`: every key, its default, and what it is for."""
    head = (settings.__module__ and sys.modules[settings.__module__].__doc__) or ""
    parts = [f"# aistation.toml\n\n{head.strip()}\n\nWritten by `scripts/dev/docs`.\n"]
    parts += _table(settings, title="At the top")
    return "\n".join(parts)


def _table(model: type[BaseModel], *, title: str) -> Iterator[str]:
    rows, inner = [], []
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner.append((name, kind))
        else:
            rows.append(f"| `{name}` | `{field.get_default()}` | {field.description or ''} |")
    about = (model.__doc__ or "").strip().splitlines()[0]
    yield f"## {title}\n\n{about}\n\n| key | default | what for |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    for name, kind in inner:
        yield from _table(kind, title=f"`[{name}]`")


def main(folder: Path) -> None:
    """Write every page that differs, and say which."""
    for name, text in pages().items():
        target = folder / name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
            click.echo(f"written: {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
