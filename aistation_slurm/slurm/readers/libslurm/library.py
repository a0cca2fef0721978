"""libslurm by ctypes, in the worker: what is the same in every release from 22.05 to 26.05, and nothing else.

Of the structures only the first fields are looked at, which never moved (slurm.h of 22.05, 23.02, 23.11, 24.05,
24.11, 25.05, 25.11, 26.05): when an answer was made, and, of partitions, how many and where. All else is said by
libslurm's own printing, the text that `scontrol -o show` prints.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_uint16, c_uint32, c_void_p
from typing import Any

from aistation_slurm.errors import SlurmError, SlurmMissing, SlurmRefused, SlurmUnreachable
from aistation_slurm.slurm.refusals import refusal
from aistation_slurm.slurm.runner import Completed

NO_CHANGE_IN_DATA = 1900
SHOW_ALL, SHOW_DETAIL, SHOW_MIXED = 1, 2, 8
_NODES = SHOW_ALL | SHOW_DETAIL | SHOW_MIXED
"""Since 23.11 libslurm calls a node MIXED only where that is asked for, as scontrol does; before, always."""


class _JobsHead(ctypes.Structure):
    _fields_ = (("last_backfill", c_long), ("last_update", c_long))


class _Head(ctypes.Structure):
    """Of nodes, partitions and reservations."""

    _fields_ = (("last_update", c_long), ("record_count", c_uint32), ("records", c_void_p))


_LOADS: dict[str, tuple[str, str, type[ctypes.Structure]]] = {
    "jobs": ("slurm_load_jobs", "slurm_free_job_info_msg", _JobsHead),
    "nodes": ("slurm_load_node", "slurm_free_node_info_msg", _Head),
    "partitions": ("slurm_load_partitions", "slurm_free_partition_info_msg", _Head),
}

_FREE_CONFIG = ("slurm_free_ctl_conf", "slurm_free_conf")


class Library:
    """An opened libslurm."""

    def __init__(self, path: str, *, is_begun: bool = False) -> None:
        """`is_begun`: pyslurm has opened it already. Without a usable slurm.conf this ends the process.

        Its plugins look for its functions, hence RTLD_GLOBAL; it brings functions whose names others have too, hence
        RTLD_DEEPBIND.
        """
        try:
            self._slurm = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL | os.RTLD_DEEPBIND | os.RTLD_NOW, use_errno=True)
        except OSError as error:
            raise SlurmMissing(f"can't be opened: {error}", where=path) from error
        self._c = ctypes.CDLL(None)
        self._path = path
        if not is_begun:
            self._function("slurm_init", None, c_char_p)(None)

    def changed_since(self, what: str, since: int) -> int | None:
        """Return when the answer was made, in seconds since 1970; None where nothing changed since `since`."""
        load, free, head = _LOADS[what]
        with self._loaded(load, free, c_long(since), c_uint16(0)) as message:
            return None if message is None else int(head.from_address(message).last_update)

    def nodes(self) -> bytes:
        """Return what `scontrol -a -d -o show node` prints."""
        with (
            self._loaded(*_LOADS["nodes"][:2], c_long(0), c_uint16(_NODES)) as nodes,
            self._loaded(*_LOADS["partitions"][:2], c_long(0), c_uint16(SHOW_ALL)) as partitions,
        ):
            self._function("slurm_populate_node_partitions", None, c_void_p, c_void_p)(nodes, partitions)
            return _without_head(self._printed("slurm_print_node_info_msg", nodes, 1))

    def partitions(self) -> bytes:
        """Return what `scontrol -a -o show partition` prints.

        Since 25.05 libslurm prints only one at a time. How long a record is, is known from how much was allocated.
        """
        with self._loaded(*_LOADS["partitions"][:2], c_long(0), c_uint16(SHOW_ALL)) as message:
            head = _Head.from_address(message) if message else None
            if head is None or not head.record_count:
                return b""
            length = self._function("slurm_xsize", c_size_t, c_void_p)(head.records) // head.record_count
            each = (head.records + length * index for index in range(head.record_count))
            return b"".join(self._printed("slurm_print_partition_info", record, 1) for record in each)

    def reservations(self) -> bytes:
        """Return what `scontrol -o show reservation` prints."""
        with self._loaded("slurm_load_reservations", "slurm_free_reservation_info_msg", c_long(0)) as message:
            return _without_head(self._printed("slurm_print_reservation_info_msg", message, 1))

    def config(self) -> bytes:
        """Return what `scontrol show config` prints; from 26.05 on what frees it has another name."""
        free = next((each for each in _FREE_CONFIG if hasattr(self._slurm, each)), _FREE_CONFIG[-1])
        with self._loaded("slurm_load_ctl_conf", free, c_long(0)) as message:
            return self._printed("slurm_print_ctl_conf", message)

    @contextmanager
    def _loaded(self, load: str, free: str, since: c_long, *flags: c_uint16) -> Iterator[int | None]:
        """Give the address of the answer while it lasts; None where there is no change."""
        message = c_void_p()
        types = (c_long, POINTER(c_void_p), *(c_uint16 for _ in flags))
        ctypes.set_errno(0)
        status = self._function(load, c_int, *types)(since, byref(message), *flags)
        # Some of them return the error, some -1 with the error in errno.
        error = status if status >= 0 else ctypes.get_errno()
        if error not in {0, NO_CHANGE_IN_DATA} or (status and not error):
            raise self._refusal(load, error)
        try:
            yield message.value
        finally:
            if message.value:
                self._function(free, None, c_void_p)(message)

    def _printed(self, function: str, address: int | None, *one_liner: int) -> bytes:
        """Return what a printing function of libslurm writes to a file."""
        text, size = c_char_p(), c_size_t()
        open_, close = self._c.open_memstream, self._c.fclose
        open_.restype, open_.argtypes = c_void_p, (POINTER(c_char_p), POINTER(c_size_t))
        close.argtypes = (c_void_p,)
        file = open_(byref(text), byref(size))
        self._function(function, None, c_void_p, c_void_p, *(c_int for _ in one_liner))(file, address, *one_liner)
        close(file)
        try:
            return ctypes.string_at(text, size.value)
        finally:
            self._c.free(text)

    def _function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        try:
            function = getattr(self._slurm, name)
        except AttributeError as error:
            raise SlurmMissing(f"has no {name}", where=self._path) from error
        function.restype, function.argtypes = result, arguments
        return function  # type: ignore[no-any-return]

    def _refusal(self, load: str, error: int) -> SlurmError:
        said = self._function("slurm_strerror", c_char_p, c_int)(error) or b"no reason given"
        refused = refusal(("libslurm", load), Completed(1, "", said.decode(errors="replace")))
        # A load is not refused without a reason: "Unspecified error" is a line that was cut in the middle.
        return SlurmUnreachable(refused.text, where=refused.where) if type(refused) is SlurmRefused else refused


def _without_head(text: bytes) -> bytes:
    """Take off the first line, `Node data as of ..., record count 4`."""
    return text.partition(b"\n")[2]
