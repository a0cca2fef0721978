"""What each kind of file system can be asked and told; the four that we know stand beside this file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from aistation_slurm.data.quota.model import Kind, Limits, Order, Usage
from aistation_slurm.data.quota.mounts import Mount
from aistation_slurm.data.quota.tools import Tools

KIBI = 1024


class Backend(Protocol):
    """One kind of file system: how its tool is asked, read and ordered."""

    name: str
    team_kind: Kind
    """What a team's quota is here: a `project` on its folder, or its folder's Unix `group`."""
    has_soft: bool
    """False where there are hard limits only."""

    def probe(self, mount: Mount, kinds: Collection[Kind], tools: Tools) -> None:
        """Do nothing where limits of these kinds really hold on this file system.

        Raises:
            StorageError: they would hold nobody, or can't be asked; it says why, and what to do.
        """
        ...

    def look(self, mount: Mount, kind: Kind, ids: Collection[int], tools: Tools) -> Mapping[int, Usage]:
        """Return what these have stored, and may; where it costs nothing, of others too.

        Raises:
            StorageError: the tool can't be asked, or says what we can't read.
        """
        ...

    def own(self, mount: Mount, uid: int, tools: Tools) -> Usage:
        """Return what one user has stored, and may, asked by that user.

        Raises:
            StorageError: the tool can't be asked, or says what we can't read.
        """
        ...

    def orders(self, mount: Mount, kind: Kind, ids: Sequence[int], limits: Limits) -> tuple[Order, ...]:
        """Return what sets these limits for all of these."""
        ...


def blocks(size: int) -> int:
    """Return bytes in blocks of 1 KiB, rounded up: a limit never becomes 0, which is none at all."""
    return -(-size // KIBI)
