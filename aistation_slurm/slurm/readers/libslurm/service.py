"""What the worker serves: the questions that libslurm answers, and those that pyslurm answers where it fits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.readers.libslurm.library import Library
from aistation_slurm.slurm.readers.libslurm.objects import PySlurm

_OPENED = re.compile(r"\S*/libslurm(?:full)?\.so\S*$", re.MULTILINE)


def serve(path: str, *features: str) -> Callable[..., Any]:
    """Return what answers the questions; `path` is libslurm's, `pyslurm` a feature."""
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


def _opened() -> str | None:
    """Return the path of the libslurm that this process has open."""
    match = _OPENED.search(Path("/proc/self/maps").read_text())
    return match[0] if match else None
