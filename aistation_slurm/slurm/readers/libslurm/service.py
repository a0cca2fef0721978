"""What the worker serves: the questions that libslurm answers, and those that pyslurm answers where it fits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aistation_slurm.errors import SlurmUnreachable, SlurmUnreadable
from aistation_slurm.slurm.readers.libslurm.library import Library
from aistation_slurm.slurm.readers.libslurm.objects import PySlurm

_OPENED = re.compile(r"\S*/libslurm(?:full)?\.so\S*$", re.MULTILINE)


def serve(path: str, *features: str) -> Callable[..., Any]:
    """Return what answers the questions; `path` is libslurm's, `pyslurm` a feature.

    Raises:
        SlurmUnreachable: the slurm.conf that is to be used isn't there.
        SlurmMissing: libslurm, or pyslurm, can't be opened.
    """
    _raise_without_conf()
    questions: dict[str, Callable[..., Any]] = {}
    if "pyslurm" in features:
        objects = PySlurm()
        questions = {"steps": objects.steps, "diag": objects.diag, "tres": objects.tres}
        # pyslurm knows by itself where libslurm is: there must not be two of them in one process.
        path = _opened() or path
    library = Library(path, is_begun=bool(questions))
    for name in ("changed_since", "nodes", "partitions", "reservations", "config"):
        questions[name] = getattr(library, name)

    def answer(question: str, *arguments: Any) -> Any:
        if question not in questions:
            raise SlurmUnreadable("libslurm is not asked this", where=question)
        return questions[question](*arguments)

    return answer


def _raise_without_conf() -> None:
    """Say at once what libslurm says, by ending the process, after having looked for a minute."""
    conf = os.environ.get("SLURM_CONF", "")
    if conf and not Path(conf).is_file():
        hint = "SLURM_CONF, or [slurm] conf in aistation.toml, names it"
        raise SlurmUnreachable("there is no such slurm.conf", where=conf, hint=hint)


def _opened() -> str | None:
    """Return the path of the libslurm that this process has open."""
    match = _OPENED.search(Path("/proc/self/maps").read_text())
    return match[0] if match else None
