"""The second signal: does the node's slurmd answer?

A connection alone proves nothing: the kernel of a stopped slurmd still accepts it. So our half of the connection is
closed at once, and slurmd must be awake to read that and close its own half (within milliseconds; it logs one line).
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum

from aistation_slurm.slurm.model import Node

WAIT = 1.0
MANY = 64
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EPERM, errno.EACCES, errno.ENOBUFS,
         errno.ENOMEM, errno.EAFNOSUPPORT, errno.ENETDOWN}  # fmt: skip
"""Errors of this machine, which say nothing about the other one."""


class Sign(Enum):
    """What the second signal says."""

    ANSWERS = "answers"
    SILENT = "does not answer"
    UNKNOWN = "could not be asked"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the second signal says of one node, and why."""

    sign: Sign
    why: str = ""


def probe(address: str, port: int, *, wait: float = WAIT) -> Answer:
    """Return whether a slurmd that is awake listens there; takes `wait` seconds at most, plus the name's look-up."""
    if not port:
        return Answer(Sign.UNKNOWN, "the port of its slurmd is not known")
    deadline = time.monotonic() + wait
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Answer(Sign.UNKNOWN, f"{address} can't be looked up ({error.strerror})")
    family, kind, _, _, target = found[0]
    try:
        with socket.socket(family, kind) as connection:
            return _ask(connection, target, deadline)
    except TimeoutError:
        return Answer(Sign.SILENT, f"no answer within {wait:g} s")
    except OSError as error:
        sign = Sign.UNKNOWN if error.errno in _OURS else Sign.SILENT
        return Answer(sign, error.strerror or str(error))


def probe_all(nodes: Iterable[Node], *, wait: float = WAIT) -> dict[str, Answer]:
    """Return what each node's slurmd says; they are asked side by side."""
    several = list(nodes)
    if not several:
        return {}
    with ThreadPoolExecutor(min(len(several), MANY), thread_name_prefix="probe") as pool:
        answers = pool.map(lambda node: probe(node.address or node.name, node.port, wait=wait), several)
        return dict(zip((each.name for each in several), answers, strict=True))


def _ask(connection: socket.socket, target: object, deadline: float) -> Answer:
    connection.settimeout(_left(deadline))
    connection.connect(target)  # type: ignore[arg-type]
    connection.shutdown(socket.SHUT_WR)
    while True:
        connection.settimeout(_left(deadline))
        try:
            if not connection.recv(4096):
                return Answer(Sign.ANSWERS)
        except ConnectionResetError:  # it was awake enough to hang up on us
            return Answer(Sign.ANSWERS)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
