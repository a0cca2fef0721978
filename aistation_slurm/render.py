"""Templates, and the one rule for what may go into them: a value can only be a value.

Quoting is the default and `Raw` the exception that a reviewer sees; a control character is refused, since a newline
ends a `#SBATCH` comment and becomes a command; a missing name is an error.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aistation_slurm.errors import UnprintableError

_PLAIN = re.compile(r"[A-Za-z0-9%+,./:=@_-]+")


class Raw(str):
    """Text that we wrote ourselves, and that goes into a file as it is."""

    __slots__ = ()


def shell_word(value: object) -> str:
    """Return the value as one word of a POSIX shell.

    Raises:
        UnprintableError: it holds a control character.
    """
    return value if isinstance(value, Raw) else shlex.quote(printable(value))


def sbatch_word(value: object) -> str:
    """Return the value as it stands in a `#SBATCH` line.

    Not as in a shell: sbatch takes a backslash for an escape inside single quotes, too (get_argument in its opt.c,
    22.05 to 26.05), so double quotes stand round whatever is not plain, and a backslash before those two.

    Raises:
        UnprintableError: it holds a control character.
    """
    text = printable(value)
    if isinstance(value, Raw) or _PLAIN.fullmatch(text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def slurm_value(value: object) -> str:
    """Return the value as it stands in a Slurm file: None is empty, a bool YES or NO, a list joined by commas.

    Raises:
        UnprintableError: it holds a control character, or a `#` or blank that would end it.
    """
    if isinstance(value, Raw):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    if isinstance(value, list | tuple):
        return ",".join(slurm_value(each) for each in value)
    text = printable(value)
    if "#" in text or any(each.isspace() for each in text):
        raise UnprintableError(f"{text!r} can't stand in a Slurm file", hint="leave out blanks and '#'")
    return text


def slurm_line(pairs: dict[str, object]) -> str:
    """Return `{"PartitionName": "v100", "Nodes": ["a", "b"]}` as one line of a Slurm file; None is left out."""
    return " ".join(f"{key}={slurm_value(value)}" for key, value in pairs.items() if value is not None)


def printable(value: object) -> str:
    """Return the value as text.

    Raises:
        UnprintableError: it holds a control character, such as a newline.
    """
    text = str(value)
    if bad := next((each for each in text if not each.isprintable() and each != "\t"), None):
        raise UnprintableError(
            f"{text!r} holds the character {bad!r}, which would end its line", hint="leave that character out"
        )
    return text


def templates(*folders: Path, finalize: Callable[[object], str]) -> Environment:
    """Open the templates in these folders, the first folder winning; `finalize` turns each value into text."""
    return Environment(
        loader=FileSystemLoader(folders),
        finalize=finalize,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  these become scripts and Slurm files, never HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace the file in one step, so that nobody ever reads half of it.

    Bytes that were no UTF-8 when they were read with `surrogateescape` are written as they were.
    """
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(mode)
    fresh.replace(path)
