"""Orders about what slurmdbd remembers of jobs that are over."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from aistation_slurm.errors import InvalidRequest, SlurmRefused, UnknownToSlurm
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.runner import shown
from aistation_slurm.slurm.writer.jobs import selector
from aistation_slurm.slurm.writer.orders import Orders, one_name

_PROGRAM = Path(__file__).with_name("admin_comment.py")
"""Started by its path, and not imported: it loads ctypes, and nobody else has to."""
_LOWERS = " 22.05."
"""In what sacctmgr says of itself, where it writes an AdminComment in lower case."""
_MODIFIED = re.compile(r"^ Modified jobs\.\.\.$", re.MULTILINE)
_PART = re.compile(r"([_+])")
_NOTHING = re.compile(r"^ *Nothing modified$", re.MULTILINE)


class HistoryOrders(Orders):
    """Adds to what is remembered of a job."""

    def set_admin_comment(self, job: Job, text: str, *, cluster: str, bin: Path | None = None) -> None:  # noqa: A002
        """Keep a text with a job that is over, of its last run; only an operator may.

        slurmctld refuses it of a job that is over, even while it still holds it: slurmdbd is told. A member of an array
        and a part of a heterogeneous job are that one alone: by the bare number all of them would be meant. `bin` is
        where Slurm's commands are, and its library beside them.

        Raises:
            UnknownToSlurm: slurmdbd does not know the job.
            InvalidRequest: the text holds what would not come back as it is.
        """
        if not text.isascii() or not text.isprintable() or set(text) & set("'\"\\`"):
            raise InvalidRequest(f"{text!r} would not come back as it is from slurmdbd")
        if text != text.lower() and self._lowers():
            self._by_library(job, text, cluster, bin)
        else:
            self._by_sacctmgr(job, text, cluster)

    def _lowers(self) -> bool:
        """True where sacctmgr writes it in lower case, as up to 22.05."""
        return _LOWERS in self._order(("sacctmgr", "-V")).stdout

    def _by_sacctmgr(self, job: Job, text: str, cluster: str) -> None:
        where = ("where", f"jobid={_part(job)}", f"cluster={one_name('cluster', cluster)}")
        argv = ("sacctmgr", "-i", "modify", "job", *where, "set", f"AdminComment={text}")
        done = self._order(argv, is_done=lambda done: bool(_NOTHING.search(done.stdout)))
        if done.returncode:
            raise UnknownToSlurm(f"no job {_part(job)}", where=shown(argv))
        if not _MODIFIED.search(done.stdout):
            raise SlurmRefused("nothing was written", where=shown(argv))

    def _by_library(self, job: Job, text: str, cluster: str, bin: Path | None) -> None:  # noqa: A002
        from aistation_slurm.slurm.readers.libslurm.place import find_library  # noqa: PLC0415  (22.05 alone needs it)

        first, *part = _PART.split(_part(job))
        program = (sys.executable, "-I", str(_PROGRAM))
        self._order((*program, str(find_library(bin=bin)), one_name("cluster", cluster), first, "".join(part), text))


def _part(job: Job) -> str:
    """Return what names this job alone: `7`, `7_3`, `7+1`."""
    return selector(job) if job.het_job_id is None else f"{job.het_job_id}+{job.het_offset}"
