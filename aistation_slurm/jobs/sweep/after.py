"""What a sweep, or any job, waits for: `--after ID[:ok|any|notok|corr]` becomes sbatch's `--dependency`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep.find import find_path_of
from aistation_slurm.jobs.sweep.folder import Sweep, read_sweep
from aistation_slurm.jobs.sweep.look import Attempt, look
from aistation_slurm.jobs.sweep.tasks import counted

if TYPE_CHECKING:
    from aistation_slurm.slurm.connect import Slurm

KINDS = {"ok": "afterok", "any": "afterany", "notok": "afternotok", "corr": "aftercorr"}


def dependency(texts: Iterable[str], slurm: Slurm, *, here: Path, user: str, now: datetime) -> str:
    """Return what sbatch's `--dependency` is given for these; empty where nothing has to be waited for.

    Raises:
        RequestError: there is no such job or sweep, or what is waited for can't happen any more.
    """
    found = []
    for text in texts:
        name, kind = read_after(text)
        path = find_path_of(name, slurm, here=here, user=user, now=now)
        sweep = read_sweep(path) if path else None
        found.append(of_sweep(sweep, kind, look(sweep, slurm)) if sweep else of_job(name, kind))
    return ",".join(filter(None, found))


def read_after(text: str) -> tuple[str, str]:
    """Return the id and Slurm's word in `12:any`; `12` alone means that it must end as it should.

    Raises:
        RequestError: there is no such word.
    """
    name, colon, how = text.rpartition(":")
    name, how = (name, how) if colon else (text, "ok")
    if how not in KINDS or not name:
        raise RequestError(
            f"{text!r} can't be waited for", where="--after", hint=f"write ID or ID:HOW, HOW one of {', '.join(KINDS)}"
        )
    return name, KINDS[how]


def of_job(name: str, kind: str) -> str:
    """Return what sbatch is told of a job that is no sweep.

    Raises:
        RequestError: it is no job's id.
    """
    if not name.replace("_", "", 1).isdecimal():
        raise RequestError(f"no sweep and no job called {name!r}", where="--after")
    return f"{kind}:{name}"


def of_sweep(sweep: Sweep, kind: str, attempts: Sequence[Attempt]) -> str:
    """Return what sbatch is told of a sweep, whose members may have been started again since; empty where all are over.

    Raises:
        RequestError: what is waited for can't happen any more.
    """
    if not sweep.arrays:
        raise RequestError("nothing of that sweep was submitted", where="--after")
    again = len({array.first for array in sweep.arrays}) < len(sweep.arrays)
    if kind == "aftercorr" and (again or len(sweep.arrays) > 1):
        raise RequestError(
            f"{sweep.submission} is no longer one array, and can't be followed member by member",
            where="--after",
            hint="wait for all of it: --after ID:ok",
        )
    if not again:
        return f"{kind}:{':'.join(str(array.job_id) for array in sweep.arrays)}"
    failed = [each for each in attempts if each.state.is_over and not each.state.is_success]
    if kind == "afterok" and failed:
        raise RequestError(
            f"{counted(len(failed))} of {sweep.submission} failed already",
            where="--after",
            hint=f"aistation job sweep retry {sweep.submission}",
        )
    left = [each.job_name for each in attempts if each.array and not each.state.is_over]
    return f"{kind}:{':'.join(left)}" if left else ""
