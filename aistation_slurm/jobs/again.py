"""What was submitted once, to be submitted again: a new job that goes on from the old one's checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.record import Record, read_record
from aistation_slurm.jobs.request import request_json
from aistation_slurm.jobs.run_folder import RunFolder, run_folder


def find_record(named: str) -> tuple[Record, RunFolder]:
    """Return what was submitted, and its folder; it is named by the folder, or by the job's id.

    Raises:
        RequestError: there is no such folder, or nothing was kept in it.
        UnknownToSlurm: there is no such job.
    """
    folder = (
        _of_job(int(named)) if named.isdecimal() and not Path(named).is_dir() else RunFolder(Path(named).absolute())
    )
    return read_record(folder), folder


def wanted_again(record: Record, folder: RunFolder) -> dict[str, Any]:
    """Return the fields of the same request, its checkpoints being the old run's.

    Raises:
        RequestError: the script is gone.
    """
    if record.request is None:
        raise RequestError("holds no request", where=str(folder.request))
    wanted = request_json(record.request)
    if record.request.checkpoint_dir is None and os.path.isdir(folder.checkpoints):
        wanted["checkpoint_dir"] = str(folder.checkpoints.resolve())
    return wanted


def _of_job(job_id: int) -> RunFolder:
    from aistation_slurm.slurm.connect import connect  # noqa: PLC0415  (a folder is found without Slurm)

    job = connect().read.job(job_id)
    folder = run_folder(job)
    if folder is None:
        raise RequestError(f"Slurm does not tell where job {job_id} ran", hint="name the run's folder, NAME-JOBID")
    return folder
