"""The agent of a node: sends its heartbeat until stopped, and lets nothing stop it.

It listens to nobody, takes no orders, and needs only the standard library and libmunge. munged, the network or the
daemon may be away: it keeps on trying, and says so once, and once more when it is over.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.errors import MungeError, UsageError
from aistation_slurm.logs import setup_logs
from aistation_slurm.node import heartbeat
from aistation_slurm.node.leftovers import Leftovers

log = logging.getLogger("aistation.agent")

EVERY = 0.5
SHORTEST, LONGEST = 0.05, 1.0
"""A node that beats more rarely would be suspect all the time."""
SOON = 0.1
"""Seconds between two looks at a step that seems to be left over."""
LOOK_UP_EVERY = 60.0
"""Seconds after which the daemon's name is looked up again, should it have moved."""


@dataclass(slots=True)
class Agent:
    """Sends one node's heartbeat to the daemon."""

    node: str
    to: tuple[str, int]
    munge_socket: Path | str | None = None
    every: float = EVERY
    _boot_id: str = field(default_factory=heartbeat.boot_id)
    _socket: socket.socket | None = None
    _target: tuple[str, int] | None = None
    _looked_up: float = 0.0
    _silent_since: float | None = None
    _leftovers: Leftovers = field(init=False)

    def __post_init__(self) -> None:
        self._leftovers = Leftovers(self.node)

    def run(self) -> None:
        """Beat until the process ends; a beat whose time has passed is left out, not made up for."""
        due = time.monotonic()
        while True:
            self.beat()
            self._look()
            due = max(due + self.every, time.monotonic())
            while (left := due - time.monotonic()) > SOON and self._leftovers.is_busy:
                time.sleep(SOON)
                self._look()
            time.sleep(max(0.0, left))

    def beat(self) -> bool:
        """Send one beat; False where it could not even be sent."""
        try:
            datagram = heartbeat.pack(
                heartbeat.next_beat(self.node, boot_id=self._boot_id), munge_socket=self.munge_socket
            )
            self._send(datagram)
        except (OSError, MungeError) as error:
            self._failed(error)
            return False
        self._sent()
        return True

    def close(self) -> None:
        """Close its socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _look(self) -> None:
        for line in self._leftovers.look():
            log.warning("%s: %s", self.node, line)

    def _send(self, datagram: bytes) -> None:
        now = time.monotonic()
        if self._socket is None or self._target is None or now - self._looked_up > LOOK_UP_EVERY:
            self._look_up(now)
        assert self._socket is not None
        assert self._target is not None
        self._socket.sendto(datagram, self._target)

    def _look_up(self, now: float) -> None:
        family, kind, _, _, target = socket.getaddrinfo(*self.to, type=socket.SOCK_DGRAM)[0]
        if self._socket is None or self._socket.family != family:
            self.close()
            self._socket = socket.socket(family, kind)
            self._socket.setblocking(False)
        self._target, self._looked_up = (str(target[0]), int(target[1])), now

    def _failed(self, error: Exception) -> None:
        if self._silent_since is None:
            self._silent_since = time.monotonic()
            log.warning("%s: no heartbeat sent: %s; trying on", self.node, heartbeat.reason(error))

    def _sent(self) -> None:
        if self._silent_since is not None:
            silent, self._silent_since = time.monotonic() - self._silent_since, None
            log.info("%s: heartbeats are sent again, after %.1f s", self.node, silent)


def run_agent(node: str, to: str, *, munge_socket: str | None, every: float = EVERY) -> None:
    """Send the node's heartbeat until SIGTERM or SIGINT.

    Raises:
        UsageError: a name, an address or a period that can't be.
    """
    if not heartbeat.is_node_name(node):
        raise UsageError(f"{node!r} is no node name")
    if not SHORTEST <= every <= LONGEST:
        raise UsageError(f"--every {every:g} is not between {SHORTEST:g} and {LONGEST:g} seconds")
    setup_logs()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: sys.exit(0))
    log.info("%s: a heartbeat every %g s to %s", node, every, to)
    Agent(node, heartbeat.address(to), munge_socket or None, every).run()


def main(argv: list[str]) -> None:
    """Run with `NODE HOST:PORT EVERY [MUNGE_SOCKET]`: the short way that `aistation agent` takes to become small."""
    node, to, every, *munge_socket = argv
    run_agent(node, to, every=float(every), munge_socket=munge_socket[0] if munge_socket else None)


if __name__ == "__main__":
    main(sys.argv[1:])
