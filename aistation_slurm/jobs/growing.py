"""A file that somebody else still writes: read once, from where one stopped; also when it was begun anew."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from aistation_slurm.errors import RequestError

_BLOCK = 1 << 16
_LINE = 4096
"""Bytes of a line in which a pattern is looked for."""
_WITNESS = 64
"""Bytes before our place that must stand as we read them; else the file is another one under the same name."""


class GrowingFile:
    """What is new in a file at each look.

    It is opened anew each time: an NFS client asks the server then, and a file that appears late is found. A requeued
    job without `--open-mode=append` empties its log and begins anew; that is read from its beginning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exists = False
        """True once it was seen."""
        self._at = 0
        self._witness = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._look_once()

    def go_to_last(self, pattern: re.Pattern[bytes]) -> None:
        """Pass over what stands before the last place where the pattern is found; nothing where it is not."""
        file = self._open()
        if file is None:
            return
        with file:
            base, last, rest = 0, None, b""
            while block := file.read(_BLOCK):
                window = rest + block
                for match in pattern.finditer(window):
                    last = base + match.start()
                keep = window[window.rfind(b"\n") + 1 :][-_LINE:]
                base += len(window) - len(keep)
                rest = keep
            if last is not None:
                self._go_to(file, last)

    def go_to_last_lines(self, count: int) -> None:
        """Pass over all but the last lines of what stands behind our place."""
        file = self._open()
        if file is None:
            return
        with file:
            end = at = os.fstat(file.fileno()).st_size
            left, found = count, None
            while found is None and at > self._at:
                start = max(self._at, at - _BLOCK)
                file.seek(start)
                block = file.read(at - start)
                skip = 1 if at == end and block.endswith(b"\n") else 0  # the newline that ends the last line
                found, left = _back(block, left, skip)
                found = None if found is None else start + found
                at = start
            self._go_to(file, end if count == 0 else self._at if found is None else found)

    def more(self) -> Iterator[str]:
        """Yield what is new.

        Raises:
            RequestError: this user may not read it.
        """
        file = self._open()
        if file is None:
            return
        with file:
            if not self._stands(file):
                self._at, self._witness = 0, b""
                self._decoder.reset()
            file.seek(self._at)
            while block := file.read(_BLOCK):
                self._at += len(block)
                self._witness = (self._witness + block)[-_WITNESS:]
                if text := self._decoder.decode(block):
                    yield text

    def more_lines(self) -> Iterator[str]:
        """Yield the lines that were ended since the last look, with their ends."""
        for text in self.more():
            *whole, self._line = (self._line + text).split("\n")
            yield from (f"{line}\n" for line in whole)

    def rest(self) -> str:
        """Return what stands behind the last end of a line, and what was no whole character; then it is forgotten."""
        rest = self._line + self._decoder.decode(b"", final=True)
        self._line = ""
        self._decoder.reset()
        return rest

    def _stands(self, file: BinaryIO) -> bool:
        """True while what was read is still there."""
        if os.fstat(file.fileno()).st_size < self._at:
            return False
        file.seek(self._at - len(self._witness))
        return file.read(len(self._witness)) == self._witness

    def _go_to(self, file: BinaryIO, place: int) -> None:
        start = max(0, place - _WITNESS)
        file.seek(start)
        self._witness, self._at = file.read(place - start), place

    def _look_once(self) -> None:
        if file := self._open():
            file.close()

    def _open(self) -> BinaryIO | None:
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RequestError(f"can't be read: {error.strerror}", where=str(self.path)) from error
        self.exists = True
        if stat.S_ISREG(os.fstat(number).st_mode):
            return os.fdopen(number, "rb")
        os.close(number)
        raise RequestError("is no plain file", where=str(self.path))


def _back(block: bytes, lines: int, skip: int) -> tuple[int | None, int]:
    """Return where the last so many lines begin in the block, or None and how many are still to be found before it."""
    at = len(block) - skip
    while lines and (at := block.rfind(b"\n", 0, at)) >= 0:
        lines -= 1
        if not lines:
            return at + 1, 0
    return None, lines
