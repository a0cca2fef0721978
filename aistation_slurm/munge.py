"""Slurm's own trust: a MUNGE credential tells which Unix user wrote a message, and that nobody changed it since.

By ctypes on libmunge.so.2 (libmunge2, which every Slurm node has), so that it needs nothing but the standard library.
Names and numbers are those of `munge.h` (man 3 munge, man 3 munge_ctx, man 3 munge_enum).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aistation_slurm.errors import CredentialRefused, MungeError, MungeUnreachable

LIBRARY = "libmunge.so.2"
_OPT_TTL = 4
_OPT_SOCKET = 8
_SUCCESS = 0
_UNREACHABLE = {6, 7}
"""EMUNGE_SOCKET and EMUNGE_TIMEOUT: munged itself is away; all else is about the credential."""
_REFUSED = {2, 3, *range(8, 19)}
"""From EMUNGE_BAD_ARG to EMUNGE_CRED_UNAUTHORIZED: what came is no credential, or not a good one."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A message, and the user who wrote it."""

    payload: bytes
    uid: int
    gid: int


def encode(payload: bytes, *, socket: Path | str | None = None, ttl: int | None = None) -> str:
    """Return a credential that holds the payload and the user of this process.

    Args:
        payload: what to say; readable by anyone on the cluster, changeable by nobody.
        socket: munged's socket; without it, libmunge's own default.
        ttl: how many seconds it is good for; without it, munged's default (300).

    Raises:
        MungeUnreachable: munged does not answer, or libmunge is not installed.
        MungeError: munged refused.
    """
    lib, libc = _library()
    text = ctypes.c_void_p()
    with _context(lib, socket) as context:
        if ttl is not None:
            lib.munge_ctx_set(context, _OPT_TTL, ctypes.c_int(ttl))
        code = lib.munge_encode(ctypes.byref(text), context, payload, len(payload))
        try:
            _check(lib, context, code)
            return ctypes.string_at(text.value or 0).decode("ascii")
        finally:
            libc.free(text)


def decode(credential: str, *, socket: Path | str | None = None) -> Credential:
    """Return what the credential holds, and who wrote it.

    Raises:
        CredentialRefused: it is no credential, of another key, expired, or was decoded here before.
        MungeUnreachable: munged does not answer, or libmunge is not installed.
    """
    lib, libc = _library()
    payload, length = ctypes.c_void_p(), ctypes.c_int()
    uid, gid = ctypes.c_uint32(), ctypes.c_uint32()
    out = (ctypes.byref(each) for each in (payload, length, uid, gid))
    with _context(lib, socket) as context:
        code = lib.munge_decode(credential.encode("ascii", "replace"), context, *out)
        try:
            _check(lib, context, code)
            content = ctypes.string_at(payload.value, length.value) if payload.value else b""
        finally:
            libc.free(payload)
    return Credential(content, uid.value, gid.value)


@cache
def _library() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    try:
        lib = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise MungeUnreachable(f"{LIBRARY} can't be loaded", hint="apt-get install libmunge2") from error
    lib.munge_ctx_create.restype = ctypes.c_void_p
    lib.munge_ctx_destroy.argtypes = [ctypes.c_void_p]
    lib.munge_ctx_strerror.argtypes = [ctypes.c_void_p]
    lib.munge_ctx_strerror.restype = ctypes.c_char_p
    lib.munge_strerror.restype = ctypes.c_char_p
    lib.munge_encode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    lib.munge_decode.argtypes = [ctypes.c_char_p, *[ctypes.c_void_p] * 5]
    libc = ctypes.CDLL(None)
    libc.free.argtypes = [ctypes.c_void_p]
    libc.free.restype = None
    return lib, libc


@contextmanager
def _context(lib: ctypes.CDLL, socket: Path | str | None) -> Iterator[ctypes.c_void_p]:
    context = ctypes.c_void_p(lib.munge_ctx_create())
    try:
        if socket is not None:
            lib.munge_ctx_set(context, _OPT_SOCKET, ctypes.c_char_p(str(socket).encode()))
        yield context
    finally:
        lib.munge_ctx_destroy(context)


def _check(lib: ctypes.CDLL, context: ctypes.c_void_p, code: int) -> None:
    if code == _SUCCESS:
        return
    told = lib.munge_ctx_strerror(context) or lib.munge_strerror(code)
    text = told.decode("utf-8", "replace")
    if code in _UNREACHABLE:
        raise MungeUnreachable(f"munged does not answer ({text})", hint="is munged running?")
    raise (CredentialRefused if code in _REFUSED else MungeError)(f"munge: {text}")
