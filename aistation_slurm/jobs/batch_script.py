"""A batch script of the user's own: whether a file is one, and what its `#SBATCH` lines say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from aistation_slurm.errors import RenderError, RequestError
from aistation_slurm.jobs.directives import directives as directives_of
from aistation_slurm.jobs.passthrough import split, value_of
from aistation_slurm.slurm.sbatch import Batch

_SHELL = re.compile(rb"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+)*)?(?:ba|da|z|k|mk|tc|c|fi)?sh\b")
_READ = 1 << 20
"""Bytes that are looked at: sbatch takes scripts of up to 4 MiB, and directives stand at the top."""


def is_batch_script(path: Path) -> bool:
    """Return whether the file is for sbatch: a shell's script, or one with `#SBATCH` lines before its first command."""
    if path.suffix == ".py":
        return any(True for _ in directives(path))
    return bool(_SHELL.match(_beginning(path))) or any(True for _ in directives(path))


def directives(path: Path) -> Iterator[str]:
    """Yield the words of its `#SBATCH` lines; sbatch reads none after the first command."""
    with contextlib.suppress(RenderError):  # a quote that is not closed: sbatch will say so
        for _, word in directives_of(_beginning(path).decode(errors="replace")):
            yield word


def directive_options(path: Path) -> tuple[str, ...]:
    """Return the options of its `#SBATCH` lines, each one word: `--mem=4G`."""
    return split(list(directives(path)), {}).options


def script_text(batch: Batch) -> str:
    """Return what will run: the text, the file's, or the script that sbatch makes of `--wrap`; "" where it is gone."""
    if batch.file is None:
        return batch.text or f"#!/bin/sh\n{value_of(batch.options, '--wrap') or ''}\n"
    try:
        return batch.file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_READ)
    except FileNotFoundError as error:
        raise RequestError("there is no such file", where=str(path), hint="name the training script") from error
    except OSError as error:
        raise RequestError(f"can't be read ({error.strerror})", where=str(path)) from error
