"""The receiver of the heartbeats: one thread of the daemon.

It believes a beat that munge vouches for, that comes from an allowed user and of a node that Slurm knows, and that is
newer than the one before. Where it could not see (munged away, the process stopped, a clock that jumped) it counts
anew, so that what it missed is never taken for a node's silence.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import AistationError, CredentialRefused, MungeError
from aistation_slurm.node import heartbeat
from aistation_slurm.node.beats import BeatWriter
from aistation_slurm.node.heartbeat import Heard

log = logging.getLogger("aistation.receiver")

AT_WORK_EVERY = 0.25
GAP = 1.2
"""Seconds between two turns of the receiver after which it counts as away in between; less than `BLIND_AFTER`, so that
whoever reads the files never trusts a receiver that has just woken up."""
BEAT_GAP = 2.0
"""Seconds between two beats of a node after which it counts as silent in between."""
_RECEIVE_BUFFER = 1 << 20


@dataclass(slots=True)
class _Known:
    seq: int
    boot_id: str
    heard: float
    since: float


class Receiver:
    """Hears the nodes and writes down when; `start()` it, `learn()` it the nodes' names, `stop()` it."""

    def __init__(self, listen: str, run_dir: Path, *, munge_socket: Path | None, uids: Collection[int]) -> None:
        self._munge_socket = munge_socket
        self._uids = frozenset(uids)
        self._names: frozenset[str] = frozenset()
        self._known: dict[str, _Known] = {}
        self._writer = BeatWriter(run_dir)
        self._socket = _listen(listen)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._since = 0.0
        self._turn = (0.0, 0.0)
        self._blind = False
        self._complained: dict[str, float] = {}

    @property
    def port(self) -> int:
        """The UDP port it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Begin to hear."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; the files grow old, and whoever reads them knows that nobody is listening."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._socket.close()

    def learn(self, names: Collection[str]) -> None:
        """Say which nodes there are; a beat of any other is not believed."""
        fresh = frozenset(name for name in names if heartbeat.is_node_name(name))
        if fresh - self._names:
            self._since = time.time()
        self._names = fresh

    def _run(self) -> None:
        self._socket.settimeout(AT_WORK_EVERY)
        written = 0.0
        while not self._stop.is_set():
            datagram = self._receive()
            now = time.time()
            self._notice_gap(now)
            if datagram:
                self._try_to_take(datagram, now)
            if not self._blind and self._names and abs(now - written) >= AT_WORK_EVERY:
                with contextlib.suppress(OSError):
                    self._writer.at_work(now=now, since=self._since)
                written = now

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(heartbeat.MAX_DATAGRAM + 1)
        except TimeoutError:
            return b""
        except OSError as error:
            self._complain("socket", heartbeat.reason(error))
            self._stop.wait(AT_WORK_EVERY)
            return b""

    def _notice_gap(self, now: float) -> None:
        """Count anew after a stop of this process, or where the clock was set."""
        monotonic = time.monotonic()
        wall, steady = now - self._turn[0], monotonic - self._turn[1]
        self._turn = (now, monotonic)
        if steady > GAP or abs(wall - steady) > GAP / 2:
            self._since = now

    def _try_to_take(self, datagram: bytes, now: float) -> None:
        """Take it; whatever it is, the thread goes on: without it nobody would be heard any more."""
        try:
            self._take(datagram, now)
        except Exception:
            log.exception("a datagram could not be taken")

    def _take(self, datagram: bytes, now: float) -> None:
        try:
            heard = heartbeat.unpack(datagram, munge_socket=self._munge_socket)
            self._believe(heard)
        except CredentialRefused as error:
            self._complain("refused", error.text)
        except MungeError as error:
            self._blind = True
            self._complain("munge", f"{error.text}; no heartbeat can be checked")
        else:
            if self._blind:
                self._blind, self._since = False, now
            self._note(heard, now)

    def _believe(self, heard: Heard) -> None:
        beat = heard.beat
        if heard.uid not in self._uids:
            raise CredentialRefused(f"a heartbeat of {beat.node} from uid {heard.uid}, who is not allowed")
        if self._names and beat.node not in self._names:
            raise CredentialRefused(f"a heartbeat of {beat.node}, which Slurm does not know")
        before = self._known.get(beat.node)
        if before and before.boot_id == beat.boot_id and beat.seq <= before.seq:
            raise CredentialRefused(f"an old heartbeat of {beat.node}")

    def _note(self, heard: Heard, now: float) -> None:
        beat = heard.beat
        if beat.node not in self._names:
            return
        before = self._known.get(beat.node)
        steady = before is not None and before.boot_id == beat.boot_id and 0 <= now - before.heard <= BEAT_GAP
        since = before.since if before and steady else now
        self._known[beat.node] = _Known(beat.seq, beat.boot_id, now, since)
        try:
            if steady:
                self._writer.touch(beat.node, now)
            else:
                self._writer.heard(beat, now=now, since=since)
        except FileNotFoundError:
            self._known.pop(beat.node)
        except OSError as error:
            self._complain("files", heartbeat.reason(error))

    def _complain(self, about: str, text: str) -> None:
        """Log it, but of one kind no more than one line a minute: anybody can send us datagrams."""
        now = time.monotonic()
        if now - self._complained.get(about, -60.0) >= 60.0:
            self._complained[about] = now
            log.warning("%s", text)


def _listen(text: str) -> socket.socket:
    host, port = heartbeat.address(text) if not text.endswith(":0") else (text.rpartition(":")[0], 0)
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        return _bound(socket.socket(family, kind), target)
    except OSError as error:
        raise AistationError(
            f"heartbeats can't be heard on {text}: {heartbeat.reason(error)}",
            hint="[daemon] heartbeat in aistation.toml says where; is another daemon running?",
        ) from error


def _bound(listener: socket.socket, target: object) -> socket.socket:
    try:
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        listener.bind(target)  # type: ignore[arg-type]
    except OSError:
        listener.close()
        raise
    return listener
