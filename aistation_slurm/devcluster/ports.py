"""Ports and addresses that nobody else on this machine uses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Collection, Iterator
from ipaddress import IPv4Network
from pathlib import Path

from aistation_slurm.devcluster.record import ClusterRecord, Ports
from aistation_slurm.errors import DevClusterError

# Below the kernel's own range for outgoing connections (32768), above the well-known ones.
FIRST, LAST = 21000, 31999
WEB, HEARTBEAT = 8170, 8171
SUBNETS = range(1, 255)
_LISTEN = "0A"


def ports_of(record: ClusterRecord) -> set[int]:
    """Return every port of the host that the cluster has for itself."""
    fixed = set(record.ports.model_dump().values()) - {record.ports.slurmd}
    return fixed | ({each.port for each in record.nodes} if record.layout == "loopback" else set())


def choose_ports(nodes: int, *, taken: Collection[int]) -> Ports:
    """Return free ports: the usual ones of the page and the heartbeat if those are, and a run of `nodes` for slurmd.

    Raises:
        DevClusterError: so many in a row are not free.
    """
    start = _free_run(nodes + 5, taken)
    web = WEB if _usable(WEB, taken) else start + 3
    heartbeat = HEARTBEAT if _usable(HEARTBEAT, taken) else start + 4
    return Ports(slurmctld=start, slurmdbd=start + 1, mariadb=start + 2, heartbeat=heartbeat, web=web, slurmd=start + 5)


def _free_run(length: int, taken: Collection[int]) -> int:
    start = FIRST
    while start + length <= LAST:
        bad = next((port for port in range(start, start + length) if not _usable(port, taken)), None)
        if bad is None:
            return start
        start = bad + 1
    raise DevClusterError(f"no {length} free ports in a row between {FIRST} and {LAST}", hint="use fewer nodes")


def _usable(port: int, taken: Collection[int]) -> bool:
    return port not in taken and is_free(port)


def is_free(port: int) -> bool:
    """True if nobody on this machine has the port, neither by TCP nor by UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def choose_subnet(*, taken: Collection[int]) -> int:
    """Return an N for which no address or route of this machine is in `10.213.N.0/24`.

    Raises:
        DevClusterError: all are in use.
    """
    used = set(taken) | set(_used_subnets())
    for number in SUBNETS:
        if number not in used:
            return number
    raise DevClusterError("no free network 10.213.N.0/24 is left", hint="use --layout loopback")


def _used_subnets() -> Iterator[int]:
    wide = IPv4Network("10.213.0.0/16")
    for command in (("ip", "-j", "-4", "route"), ("ip", "-j", "-4", "addr")):
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for each in json.loads(answer or "[]"):
            spots = [each.get("dst", "")] + [a.get("local", "") for a in each.get("addr_info", [])]
            for spot in spots:
                if spot.startswith("10.213."):
                    network = IPv4Network(spot, strict=False)
                    yield from SUBNETS if network.supernet_of(wide) else (int(spot.split(".")[2]),)


def listener(port: int) -> str:
    """Return `name (pid N)` of the process that listens on the TCP port, or '' where none can be seen."""
    inodes = set(_listening_inodes(port))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and inodes & set(_socket_inodes(entry)):
            return f"{(entry / 'comm').read_text().strip()} (pid {entry.name})"
    return ""


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTEN and int(words[1].rsplit(":", 1)[1], 16) == port:
                yield words[9]


def _socket_inodes(entry: Path) -> Iterator[str]:
    try:
        for fd in (entry / "fd").iterdir():
            target = os.readlink(fd)
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:
        return
