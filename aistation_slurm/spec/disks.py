"""Where teams' folders are on a disk, and the project ids that such folders may get."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from aistation_slurm.spec.names import read_path, wrong

_PROJECT_IDS = re.compile(r"(\d{1,10})-(\d{1,10})", re.ASCII)


def read_team_folders(text: str) -> str:
    """Return the absolute path of teams' folders, once it says where the team's name stands in it."""
    if "{team}" not in text or set(text.replace("{team}", "")) & {"{", "}"}:
        raise wrong(f"{text!r} doesn't say where the team's name stands", "write it as /data/{team}")
    read_path(text.replace("{team}", "team"))
    return text.rstrip("/")


def read_project_ids(text: str) -> range:
    """Return `10000-19999` as a range; 0 is what every file has, and the kernel's numbers have 32 bits."""
    match = _PROJECT_IDS.fullmatch(text)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < first <= last < 2**32 - 1:
        raise wrong(f"{text!r} is no range of project ids", "write it as 10000-19999")
    return range(first, last + 1)


def _is_project_ids(text: str) -> str:
    read_project_ids(text)
    return text


TeamFolders = Annotated[str, AfterValidator(read_team_folders)]
ProjectIds = Annotated[str, AfterValidator(_is_project_ids)]
