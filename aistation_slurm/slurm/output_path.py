"""Where a batch job's output goes, once Slurm's patterns are filled in (man sbatch, filename pattern)."""

from __future__ import annotations

import re
from functools import lru_cache

NO_TASK = "4294967294"
"""What slurmd prints for `%a` of a job that is no array's."""
_FIXED = {"%": "%", "s": "batch", "n": "0", "t": "0"}
_PATTERN = re.compile(r"%(?:(?P<width>\d+)(?=[aAjJnst]))?(?P<letter>[%aAjJnNstux])")


def output_path(
    template: str,
    *,
    work_dir: str,
    job_id: int,
    array_job_id: int | None = None,
    array_task: str = "",
    user: str = "",
    name: str = "",
    node: str = "",
) -> str:
    """Return the file that the job's script prints to; nothing for a job without one, or an array's waiting rest.

    squeue prints `--output` as it was given, and for a job without it `slurm-ID.out`, even for an array's member,
    whose file is `slurm-ARRAY_TASK.out` (slurmd's fname.c, 22.05).
    """
    if not template or (array_task and not array_task.isdecimal()):
        return ""
    if array_job_id is not None and template == f"{work_dir}/slurm-{job_id}.out":
        return f"{work_dir}/slurm-{array_job_id}_{array_task}.out"
    path = template if template.startswith("/") else f"{work_dir.rstrip('/')}/{template}"
    if "\\" in path:  # a backslash switches the patterns off, and is taken out
        return path.replace("\\", "")
    if "%" not in path:
        return path
    return _as_format(path).format(
        A=array_job_id or job_id, a=array_task or NO_TASK, j=job_id, N=node, u=user, x=name,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _as_format(path: str) -> str:
    """Return the path for `str.format`: many jobs have the same one."""
    parts: list[str] = []
    end = 0
    for match in _PATTERN.finditer(path):
        parts += [_literal(path[end : match.start()]), _field(match["letter"], min(int(match["width"] or 0), 10))]
        end = match.end()
    return "".join([*parts, _literal(path[end:])])


def _field(letter: str, width: int) -> str:
    if letter == "J":  # a batch script's step has no number of its own
        letter = "j"
    if said := _FIXED.get(letter):
        return said.zfill(width) if said.isdecimal() else said
    return f"{{{letter}:0>{width}}}" if width else f"{{{letter}}}"


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
