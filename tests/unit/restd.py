"""A small server on a Unix socket of the test's own: it answers what a test tells it to, or what was recorded."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

RECORDED = Path(__file__).parent.parent / "recorded" / "rest"
Talk = Callable[[socket.socket, str], None]
"""What is done with a connection, once its request was read; the request is given as it came."""


@dataclass
class Restd:
    """The server, while it listens."""

    path: Path
    requests: list[str] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        """What was asked for: `/slurm/v0.0.42/jobs`, ..."""
        return [request.split(" ")[1] for request in self.requests]


@contextlib.contextmanager
def serving(path: Path, talk: Talk) -> Iterator[Restd]:
    """Serve each connection by `talk`, in a thread of its own, for as long as the block lasts."""
    restd = Restd(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        threading.Thread(target=_accept, args=(listener, restd, talk), daemon=True).start()
        try:
            yield restd
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            path.unlink()


def _accept(listener: socket.socket, restd: Restd, talk: Talk) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, restd, talk), daemon=True).start()


def _serve(connection: socket.socket, restd: Restd, talk: Talk) -> None:
    with connection, contextlib.suppress(OSError):
        request = b""
        while b"\r\n\r\n" not in request and (more := connection.recv(65536)):
            request += more
        restd.requests.append(request.decode())
        talk(connection, request.decode())


def http(status: int, body: bytes, *, kind: str = "application/json") -> bytes:
    """Return an answer of HTTP."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nContent-Type: {kind}\r\n\r\n"
    return head.encode() + body


def saying(answer: bytes) -> Talk:
    """Answer each request with these bytes, and hang up."""
    return lambda connection, _: connection.sendall(answer)


def elsewhere() -> bytes:
    """Return what slurmrestd says of an address that it has not."""
    return http(404, b"Unable find requested URL.", kind="text/plain")


def recorded(*versions: int, change: Callable[[str, dict], dict] | None = None) -> Talk:
    """Answer what slurmrestd of these versions answered, changed by the test if need be."""

    def talk(connection: socket.socket, request: str) -> None:
        _, api, version, noun = urlsplit(request.split(" ")[1]).path.split("/", 3)
        file = RECORDED / version / f"{api}-{noun}.json"
        if int(version.rpartition(".")[2]) not in versions or not file.exists():
            connection.sendall(elsewhere())
            return
        said = json.loads(file.read_text())
        connection.sendall(http(200, json.dumps(change(noun, said) if change else said).encode()))

    return talk
