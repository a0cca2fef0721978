"""A heartbeat: what a node's agent says twice a second, and how that looks on the wire.

One UDP datagram is one MUNGE credential over a small JSON object. UDP, since a beat that comes late is worth nothing;
MUNGE, since a forged beat would keep a dead node alive.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from aistation_slurm import munge
from aistation_slurm.errors import AistationError, CredentialRefused, UsageError

MAX_DATAGRAM = 2048
VERSION = 1
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One beat of one node."""

    node: str
    boot_id: str
    seq: int
    """Milliseconds since the node's boot: it rises over a restart of the agent too, and no clock can be set back."""
    time: float
    """The node's own clock, for people; nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A beat that was believed, and the user who sent it."""

    beat: Heartbeat
    uid: int


def next_beat(node: str, *, boot_id: str) -> Heartbeat:
    """Return this moment's beat."""
    return Heartbeat(node, boot_id, time.monotonic_ns() // 1_000_000, round(time.time(), 3))


def pack(beat: Heartbeat, *, munge_socket: Path | str | None) -> bytes:
    """Return the datagram that carries the beat.

    Raises:
        MungeError: munged does not answer, or refuses.
    """
    text = json.dumps({"v": VERSION, **asdict(beat)}, separators=(",", ":"))
    return munge.encode(text.encode(), socket=munge_socket).encode("ascii")


def unpack(datagram: bytes, *, munge_socket: Path | str | None) -> Heard:
    """Return the beat in the datagram.

    Raises:
        CredentialRefused: it is no beat, or nobody's that munge knows.
        MungeUnreachable: munged does not answer here.
    """
    credential = munge.decode(datagram.decode("ascii", "replace"), socket=munge_socket)
    try:
        raw = json.loads(credential.payload)
        beat = Heartbeat(str(raw["node"]), str(raw["boot_id"])[:64], int(raw["seq"]), float(raw["time"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise CredentialRefused(f"no heartbeat in a datagram of uid {credential.uid}") from error
    if not is_node_name(beat.node):
        raise CredentialRefused(f"{beat.node[:40]!r} is no node name (from uid {credential.uid})")
    return Heard(beat, credential.uid)


def is_node_name(name: str) -> bool:
    """True where the name can be a node's, and a file's."""
    return _NODE_NAME.fullmatch(name) is not None


def boot_id() -> str:
    """Return what the kernel calls this boot; empty where it doesn't tell."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def address(text: str) -> tuple[str, int]:
    """Return host and port of `10.0.0.1:8171` or `[fe80::1]:8171`.

    Raises:
        UsageError: it is no such thing.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is no HOST:PORT", hint="such as 10.0.0.1:8171")
    return host, int(port)


def reason(error: Exception) -> str:
    """Return the error in a few words, for one log line."""
    return error.text if isinstance(error, AistationError) else (getattr(error, "strerror", "") or str(error))
