"""Where a batch job's output goes, once Slurm's patterns are filled in (man sbatch, filename pattern)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aistation_slurm.slurm.model import Job

_PATTERN = re.compile(r"%(?:(?P<width>\d+)(?=[aAjJnst]))?(?P<letter>[%aAjJnNstux])")


def output_path(template: str, job: Job) -> str:
    """Return the file that the job's script prints to; nothing for a job without one, or an array's waiting rest.

    squeue prints `--output` as it was given, and for a job without it `slurm-ID.out`, even for an array's member,
    whose file is `slurm-ARRAY_TASK.out` (slurmd's fname.c, 22.05).
    """
    if not template or (job.array_task and not job.array_task.isdecimal()):
        return ""
    if job.array_job_id is not None and template == f"{job.work_dir}/slurm-{job.job_id}.out":
        template = f"{job.work_dir}/slurm-%A_%a.out"
    path = template if template.startswith("/") else f"{job.work_dir.rstrip('/')}/{template}"
    if "\\" in path:  # a backslash switches the patterns off, and is taken out
        return path.replace("\\", "")
    values = _values(job)
    return _PATTERN.sub(lambda match: _fill(match, values), path)


def _values(job: Job) -> Mapping[str, str]:
    return {
        "%": "%",
        "a": job.array_task or "4294967294",
        "A": str(job.array_job_id or job.job_id),
        "j": str(job.job_id),
        "J": str(job.job_id),
        "n": "0",
        "N": job.batch_host,
        "s": "batch",
        "t": "0",
        "u": job.user,
        "x": job.name,
    }


def _fill(match: re.Match[str], values: Mapping[str, str]) -> str:
    value = values[match["letter"]]
    return value.zfill(min(int(match["width"] or 0), 10)) if value.isdecimal() else value
