"""The folder in which a training of ours keeps what it says of itself, beside its log.

    NAME-JOBID/               of an array's member NAME-ARRAYID_TASK/
        checkpoints           a folder, or a link to the one that --checkpoint-dir named
        progress.jsonl        what aistation_slurm.progress reports
        job.json, job.sbatch  what was submitted, by `aistation job submit`
        started-0, ...        one for each start; `unfinished` where a run asked to be requeued

The script makes it (templates/train/_start.sh.j2): name and rule stand there as well, in bash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm import progress

if TYPE_CHECKING:  # neither is needed to name a folder
    from aistation_slurm.progress import Progress
    from aistation_slurm.slurm.model import Job

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One training's folder; whatever this user may not read is not there."""

    path: Path

    @property
    def exists(self) -> bool:
        """True once the script has made it."""
        try:
            return self.path.is_dir()
        except OSError:
            return False

    @property
    def checkpoints(self) -> Path:
        """Where its checkpoints are."""
        return self.path / "checkpoints"

    @property
    def request(self) -> Path:
        """What was asked for, as `aistation job submit` wrote it."""
        return self.path / "job.json"

    @property
    def script(self) -> Path:
        """The batch script that was submitted."""
        return self.path / "job.sbatch"

    @property
    def progress_file(self) -> Path:
        """What the training reported, line by line."""
        return self.path / progress.FILE

    def latest(self) -> Progress | None:
        """Return the training's last report."""
        return progress.latest(self.progress_file)


def run_folder(job: Job) -> RunFolder | None:
    """Return where the job's folder is, whether or not it stands; None where Slurm tells no working folder."""
    if not job.work_dir:
        return None
    is_member = job.array_job_id is not None and job.array_task.isdecimal()
    return RunFolder(
        Path(job.work_dir) / folder_name(job.name, f"{job.array_job_id}_{job.array_task}" if is_member else job.job_id)
    )


def folder_name(name: str, job_id: int | str) -> str:
    """Return `NAME-JOBID`; what may not stand in a file's name of a cautious person is `_`."""
    return f"{_NOT_IN_A_NAME.sub('_', name)}-{job_id}"
