"""Which slurmd are there: one that died when it read its files again is missed by slurmctld for minutes."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from aistation_slurm.slurm.model import Node

AT_ONCE = 64
SECONDS = 2.0
USUAL_PORT = 6818
"""SlurmdPort where slurm.conf names none (slurm.conf(5))."""


def listening(nodes: Iterable[Node], *, port: int = USUAL_PORT) -> frozenset[str]:
    """Return the names of those nodes on whose slurmd's port somebody listens; nothing is said to them.

    `port` is SlurmdPort, of nodes that have none of their own.
    """
    asked = list(nodes)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="slurmd") as pool:
        found = pool.map(lambda node: _listens(node.address or node.name, node.port or port), asked)
        return frozenset(node.name for node, is_there in zip(asked, found, strict=True) if is_there)


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=SECONDS):
            return True
    except OSError:
        return False


def port_of(text: str) -> int:
    """Return SlurmdPort as slurmctld runs with it."""
    return int(text) if text.isdigit() else USUAL_PORT
