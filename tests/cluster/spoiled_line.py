"""A line between Slurm's commands and a daemon, which can be slow, cut in the middle of an answer, or lie.

with SpoiledLine(("10.213.3.1", 6817), cut_after=100) as line:
    ...  # a slurm.conf in which the daemon listens on 127.0.0.1, line.port
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

Address = tuple[str, int]
_CHUNK = 65536


class SpoiledLine:
    """Passes on what is asked, and spoils what is answered: by default nothing of it."""

    def __init__(
        self,
        daemon: Address,
        *,
        delay: float = 0.0,
        drip: float = 0.0,
        cut_after: int | None = None,
        garbage: bytes | None = None,
        is_silent: bool = False,
    ) -> None:
        self.daemon = daemon
        self.delay = delay
        """Seconds before each piece of the answer."""
        self.drip = drip
        """Seconds between two bytes of it."""
        self.cut_after = cut_after
        """How many bytes of it are let through before the line is cut; the daemon has heard all that was asked."""
        self.garbage = garbage
        """What is answered in its place; the daemon is asked nothing."""
        self.is_silent = is_silent
        """True: the line is taken, and nothing comes."""
        self.asked = 0
        """How many lines were taken."""
        self._ends: list[socket.socket] = []
        self._is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> SpoiledLine:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._is_over.set()
        _close(self._listener)
        for end in self._ends:
            _close(end)
        self._thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.asked += 1
                self._ends.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.is_silent:
                self._is_over.wait()
            elif self.garbage is not None:
                client.recv(_CHUNK)
                client.sendall(self.garbage)
            else:
                self._pass_on(client)
        _close(client)

    def _pass_on(self, client: socket.socket) -> None:
        daemon = socket.create_connection(self.daemon, timeout=10)
        daemon.settimeout(None)
        self._ends.append(daemon)
        threading.Thread(target=_copy, args=(client, daemon), daemon=True).start()
        left = self.cut_after
        while data := daemon.recv(_CHUNK):
            self._is_over.wait(self.delay)
            self._send(client, data if left is None else data[:left])
            if left is not None and (left := left - len(data)) <= 0:
                break
        _close(daemon)

    def _send(self, client: socket.socket, data: bytes) -> None:
        if not self.drip:
            client.sendall(data)
            return
        for each in data:
            client.sendall(bytes((each,)))
            if self._is_over.wait(self.drip):
                return


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
