"""Where a batch job's output goes, once Slurm's patterns are filled in (man sbatch, filename pattern)."""

from __future__ import annotations

import re
from collections.abc import Mapping

NO_TASK = "4294967294"
"""What slurmd prints for `%a` of a job that is no array's."""
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
    array = str(array_job_id or job_id)
    values = {"%": "%", "A": array, "a": array_task or NO_TASK, "j": str(job_id), "J": str(job_id), "s": "batch"}
    values |= {"n": "0", "t": "0", "N": node, "u": user, "x": name}
    return _PATTERN.sub(lambda match: _fill(match, values), path)


def _fill(match: re.Match[str], values: Mapping[str, str]) -> str:
    value = values[match["letter"]]
    return value.zfill(min(int(match["width"] or 0), 10)) if value.isdecimal() else value
