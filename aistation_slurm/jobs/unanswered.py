"""When sbatch got no answer: is the job there? Slurm is looked at, until it answers or patience is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from aistation_slurm.errors import NotKnown, SlurmError, SlurmUnreachable
from aistation_slurm.jobs.earlier import Note, job_of_submission
from aistation_slurm.jobs.site import user
from aistation_slurm.slurm.connect import Slurm, connect

PATIENCE = 30.0
"""Seconds: a slurmctld that is restarted answers sooner."""
LOOKS = 3
"""So often a job has to be missing: slurmctld may still have the order in its hands when it answers the first look."""
_PAUSE = 1.0


def found_before(submission: str, note: Note) -> int | None:
    """Return the job that an earlier try of this id became; None where there is none.

    Raises:
        NotKnown: Slurm can't be asked, and nothing was noted: submitting now could double the job.
    """
    try:
        return job_of_submission(connect(), submission, user=user(), noted=note.job_id())
    except SlurmError as error:
        found = note.job_id()
        if found is None:
            raise _not_known(submission, f"Slurm can't be asked whether it was taken before: {error}") from error
        return found


def found_after(
    submission: str,
    error: SlurmUnreachable,
    *,
    slurm: Slurm | None = None,
    patience: float = PATIENCE,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Return the job that was made though sbatch got no answer.

    Raises:
        NotKnown: it is not there, or nobody answers.
    """
    give_up, missed = time.monotonic() + patience, 0
    while True:
        try:
            found = job_of_submission(slurm or connect(), submission, user=user())
        except SlurmError as again:
            if time.monotonic() > give_up:
                raise _not_known(submission, f"no answer from Slurm: {again.text}") from error
        else:
            if found is not None:
                return found
            missed += 1
            if missed >= LOOKS:
                raise _not_known(submission, f"sbatch got no answer ({error.text}), and no job was made") from error
        sleep(_PAUSE)


def _not_known(submission: str, text: str) -> NotKnown:
    hint = f"try again with --id {submission}: should the job have been taken after all, there will not be two"
    return NotKnown(text, hint=hint)
