"""A program, `admin_comment.py LIBRARY CLUSTER JOB PART TEXT`: writes an AdminComment on Slurm 22.05.

sacctmgr of 22.05 writes an AdminComment in lower case (sacctmgr/job_functions.c; mended in 23.02), which no text in
base64 survives, and slurmctld takes none for a job that is over. slurmdbd itself keeps it as it is: so it is asked as
sacctmgr asks it, by libslurm's slurmdb_job_modify. Structures are those of 22.05's slurm/slurmdb.h, and of no other
release.

A process of its own: libslurm ends it where slurm.conf can't be used. Errors are told on stderr, in Slurm's words.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from ctypes import POINTER, addressof, byref, c_bool, c_char_p, c_int, c_int32, c_long, c_uint16, c_uint32, c_void_p
from typing import Any

_NO_VAL = 0xFFFFFFFE
_FLAG_NOTSET = 1 << 0
_NO_DEFAULT_USAGE = 1 << 7
"""Whenever the job ran; else only today's are looked at."""
_LISTS = tuple[tuple[str, Any], ...]


def _lists(*names: str) -> _LISTS:
    return tuple((name, c_void_p) for name in names)


class _SelectedStep(ctypes.Structure):
    """slurm_selected_step_t; NO_VAL where a part is not meant."""

    _fields_ = tuple((name, c_uint32) for name in ("array_task_id", "het_job_offset", "job_id", "het_comp", "step_id"))


class _JobCondition(ctypes.Structure):
    """slurmdb_job_cond_t."""

    _fields_ = (
        *_lists("accounts", "associations", "clusters", "constraints"),
        *(("cpus_max", c_uint32), ("cpus_min", c_uint32), ("db_flags", c_uint32), ("exit_code", c_int32)),
        ("flags", c_uint32),
        *_lists("format", "groups", "job_names"),
        *(("nodes_max", c_uint32), ("nodes_min", c_uint32)),
        *_lists("partitions", "qos", "reasons", "reservations", "reservation_ids", "states", "steps"),
        *(("time_limit_max", c_uint32), ("time_limit_min", c_uint32)),
        *(("usage_end", c_long), ("usage_start", c_long)),
        *_lists("used_nodes", "users", "wckeys"),
    )


class _JobRecordHead(ctypes.Structure):
    """The first two fields of slurmdb_job_rec_t."""

    _fields_ = (("account", c_void_p), ("admin_comment", c_void_p))


class _Accounting:
    """A connection to slurmdbd."""

    def __init__(self, library: str) -> None:
        self._slurm = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL | os.RTLD_DEEPBIND | os.RTLD_NOW, use_errno=True)
        self._call("slurm_init", None, (c_char_p, None))
        flags = c_uint16(0)
        self._connection = self._call("slurmdb_connection_get", c_void_p, (POINTER(c_uint16), byref(flags)))

    def set_admin_comment(self, cluster: str, job_id: int, part: str, text: str) -> int:
        """Return of how many jobs it was changed: of none where slurmdbd does not know the job.

        The part is `_3` of an array, `+1` of a heterogeneous job.

        Raises:
            OSError: slurmdbd refused it, or is away.
        """
        name, words = ctypes.create_string_buffer(cluster.encode()), ctypes.create_string_buffer(text.encode())
        task = int(part[1:]) if part.startswith("_") else _NO_VAL
        offset = int(part[1:]) if part.startswith("+") else _NO_VAL
        step = _SelectedStep(task, offset, job_id, _NO_VAL, _NO_VAL)
        which = _JobCondition(db_flags=_FLAG_NOTSET, flags=_NO_DEFAULT_USAGE)
        which.clusters, which.steps = self._list_of(addressof(name)), self._list_of(addressof(step))
        record = self._call("slurmdb_create_job_rec", c_void_p)
        _JobRecordHead.from_address(record).admin_comment = addressof(words)
        ctypes.set_errno(0)
        arguments = ((c_void_p, each) for each in (self._connection, addressof(which), record))
        changed = self._call("slurmdb_job_modify", c_void_p, *arguments)
        if not changed:
            raise OSError(self._reason(ctypes.get_errno()))
        self._check(self._call("slurmdb_connection_commit", c_int, (c_void_p, self._connection), (c_bool, True)))
        return int(self._call("slurm_list_count", c_int, (c_void_p, changed)))

    def close(self) -> None:
        """Say goodbye to slurmdbd."""
        self._call("slurmdb_connection_close", c_int, (POINTER(c_void_p), byref(c_void_p(self._connection))))

    def _list_of(self, address: int) -> Any:
        made = self._call("slurm_list_create", c_void_p, (c_void_p, None))
        self._call("slurm_list_append", c_void_p, (c_void_p, made), (c_void_p, address))
        return made

    def _check(self, status: int) -> None:
        if status:
            raise OSError(self._reason(status if status > 0 else ctypes.get_errno()))

    def _reason(self, error: int) -> str:
        said: bytes = self._call("slurm_strerror", c_char_p, (c_int, error))
        return (said or b"no reason given").decode(errors="replace")

    def _call(self, name: str, result: Any, *arguments: tuple[Any, Any]) -> Any:
        function = getattr(self._slurm, name)
        function.restype, function.argtypes = result, tuple(kind for kind, _ in arguments)
        return function(*(value for _, value in arguments))


def main(argv: Sequence[str]) -> int:
    """Return the exit status: 0 where it is written, 1 where not, and why on stderr."""
    library, cluster, job_id, part, text = argv
    try:
        accounting = _Accounting(library)
        changed = accounting.set_admin_comment(cluster, int(job_id), part, text)
        accounting.close()
    except (OSError, AttributeError) as error:
        print(f"admin_comment: error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if not changed:
        print("admin_comment: error: Invalid job id specified", file=sys.stderr)  # noqa: T201
    return 0 if changed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
