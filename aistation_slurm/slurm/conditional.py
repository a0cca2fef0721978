"""Asking slurmctld only whether something changed: about 1 ms at any length of the queue."""

from __future__ import annotations

from typing import Literal, Protocol

What = Literal["jobs", "nodes", "partitions"]
"""What slurmctld keeps a `last_update` of its own for, and tells apart in an answer."""


class Conditional(Protocol):
    """Asks slurmctld whether it changed something since a moment that it named itself.

    slurmctld stamps its jobs, its nodes and its partitions with whole seconds, and answers a load that names the last
    stamp with "no change". Not every change is stamped: `slurm.snapshots` says which are not, and for how long a "no
    change" is believed.
    """

    def changed_since(self, what: What, since: int) -> int | None:
        """Return the new `last_update`, in seconds since 1970, where something changed since then; else None.

        With `since` 0 something has always changed: that is how the first stamp is had. Who can't tell says "changed",
        by any other number than `since`.

        Raises:
            SlurmUnreachable: nobody answered in time.
            SlurmUnreadable: the answer can't be read.
        """
        ...
