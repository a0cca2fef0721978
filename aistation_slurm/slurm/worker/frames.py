"""What goes over the two pipes: four bytes that say how long, then a pickle.

Pickles, since the same code stands at both ends and the answers are our own frozen models, with times and sets in
them: JSON would need a second description of each. The pipes are the child's alone, and it runs as the same user:
whoever could write into them could as well call the owner's code.
"""

from __future__ import annotations

import os
import pickle
import select
import struct
import time
from typing import Any

_LENGTH = struct.Struct(">I")
LARGEST = 1 << 30
"""Bytes; a longer answer is garbage that was read as a length."""
_CHUNK = 1 << 20


class Ended(Exception):
    """The other end is closed."""


class TooLate(Exception):
    """The time is over."""


class Garbage(Exception):
    """What came is no answer."""


def packed(value: object) -> bytes:
    """Return the value as it goes over the pipe."""
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def send(fd: int, frame: bytes, *, until: float | None = None) -> None:
    """Write the frame; with `until` (of `time.monotonic`) the pipe must not block.

    Raises:
        Ended: nobody is there to read it.
        TooLate: nobody read it in time.
    """
    rest = memoryview(frame)
    while rest:
        _wait(fd, select.POLLOUT, until)
        try:
            rest = rest[os.write(fd, rest[:_CHUNK]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError as error:
            raise Ended from error


def receive(fd: int, *, until: float | None = None) -> Any:
    """Return the next value; with `until` (of `time.monotonic`) the pipe must not block.

    Raises:
        Ended: the other end was closed before all of it came.
        TooLate: it did not come in time.
        Garbage: it can't be read.
    """
    (length,) = _LENGTH.unpack(_exactly(fd, _LENGTH.size, until))
    if length > LARGEST:
        raise Garbage(f"an answer of {length} bytes")
    body = _exactly(fd, length, until)
    try:
        return pickle.loads(body)  # noqa: S301  (from our own child: see above)
    except Exception as error:  # a broken pickle can raise anything
        raise Garbage(f"an answer that can't be read: {error!r}") from error


def _exactly(fd: int, size: int, until: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        _wait(fd, select.POLLIN, until)
        try:
            part = os.read(fd, min(size, _CHUNK))
        except BlockingIOError:
            continue
        if not part:
            raise Ended
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _wait(fd: int, event: int, until: float | None) -> None:
    """Wait until the pipe can be used, or is closed at its other end."""
    if until is None:
        return
    poll = select.poll()
    poll.register(fd, event)
    left = until - time.monotonic()
    if left <= 0 or not poll.poll(max(1, round(left * 1000))):
        raise TooLate
