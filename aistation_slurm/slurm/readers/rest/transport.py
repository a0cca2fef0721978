"""One HTTP question over a Unix socket: by the standard library, under one deadline, with a limit on the answer.

Nothing but GET is ever sent. A connection serves one question: slurmrestd closes many of its own accord, and a new one
on a Unix socket costs nothing beside the question itself.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aistation_slurm.errors import SlurmUnreachable, SlurmUnreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MEBIBYTE = 1024**2
_CHUNK = MEBIBYTE
_PAUSE = 0.02
_IS_IT_RUNNING = "is slurmrestd running, and may this user ask it? [slurm] rest_socket says where its socket is"
_IS_IT_STUCK = "is slurmctld alive? `scontrol ping` says so; see its log, and slurmrestd's"


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a whole question must have ended, however many answers it takes."""

    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the moment so many seconds from now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """How many seconds are left.

        Raises:
            TimeoutError: none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True, slots=True)
class Answer:
    """What slurmrestd answered: the status of HTTP, the type that it gave, and the body whole."""

    status: int
    content_type: str
    body: bytes


class UnixTransport:
    """Asks the server that listens on a Unix socket."""

    def __init__(self, path: Path, *, headers: Mapping[str, str] | None = None, limit: int = 512 * MEBIBYTE) -> None:
        self._path = path
        self._headers = {"Accept": "application/json", "Connection": "close", **(headers or {})}
        self._limit = limit

    def get(self, target: str, *, until: Deadline) -> Answer:
        """Return the answer, whatever its status.

        Raises:
            SlurmUnreachable: nobody listens, or the answer was not whole when the time was over.
            SlurmUnreadable: no HTTP, half an answer, or more than the limit.
        """
        where = shown(target)
        try:
            with closing(_Connection(self._path, until)) as connection:
                connection.request("GET", target, headers=self._headers)
                with closing(connection.getresponse()) as response:
                    return self._whole(response, where)
        except TimeoutError as error:
            raise SlurmUnreachable(f"no answer within {until.seconds:g} s", where=where, hint=_IS_IT_STUCK) from error
        except http.client.RemoteDisconnected as error:
            raise SlurmUnreachable("hung up without an answer", where=where, hint=_IS_IT_RUNNING) from error
        except OSError as error:
            what = f"can't be asked at {self._path}: {error.strerror or error}"
            raise SlurmUnreachable(what, where=where, hint=_IS_IT_RUNNING) from error
        except http.client.HTTPException as error:
            raise SlurmUnreadable(f"answers no HTTP: {error!r:.120}", where=where) from error

    def _whole(self, response: http.client.HTTPResponse, where: str) -> Answer:
        body = bytearray()
        if (response.length or 0) > self._limit:
            raise self._too_much(where)
        while chunk := response.read(min(_CHUNK, self._limit + 1 - len(body))):
            body += chunk
            if len(body) > self._limit:
                raise self._too_much(where)
        if response.length:
            raise SlurmUnreadable(f"half an answer: {response.length} bytes are missing", where=where)
        return Answer(response.status, response.headers.get_content_type(), bytes(body))

    def _too_much(self, where: str) -> SlurmUnreadable:
        return SlurmUnreadable(f"an answer of more than {self._limit // MEBIBYTE} MiB", where=where)


def shown(target: str) -> str:
    """Return the question as a message names it; never with a header, where a token may stand."""
    return f"GET {target if len(target) <= 120 else target[:117] + '...'}"


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket, each wait of it cut to what is left of the time."""

    def __init__(self, path: Path, until: Deadline) -> None:
        super().__init__("localhost")
        self._path = path
        self._until = until

    def connect(self) -> None:
        """Open the socket; while too many wait before it, Linux says so at once instead of waiting with them."""
        self.sock = _HurriedSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.until = self._until
        while True:
            self.sock.settimeout(self._until.left)
            try:
                return self.sock.connect(str(self._path))
            except BlockingIOError:
                time.sleep(_PAUSE)


class _HurriedSocket(socket.socket):
    """A socket whose every receive waits for what is left of the time: a byte a second can't outlive it."""

    until: Deadline

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Return how many bytes came.

        Raises:
            TimeoutError: none before the deadline.
        """
        self.settimeout(self.until.left)
        return super().recv_into(buffer, nbytes, flags)
