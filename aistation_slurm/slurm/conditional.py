"""Asking slurmctld only whether something changed: about 1 ms at any length of the queue."""

from __future__ import annotations

from typing import Literal, Protocol

What = Literal["jobs", "nodes", "partitions"]
"""What slurmctld keeps a time of the last change of its own for."""


class Conditional(Protocol):
    """Asks slurmctld whether it changed something since a moment that it named itself.

    A stamp is slurmctld's own clock, in whole seconds, when it answered (22.05 to 26.05, for all three alike): one
    that was had for the partitions, which is cheap at any length of the queue, can be named for the jobs too. What
    changed in the very second of the stamp counts as changed since. Not every change is stamped: `slurm.snapshots`
    says which are not, and for how long a "no change" is believed.
    """

    def changed_since(self, what: What, since: int) -> int | None:
        """Return a new stamp, in seconds since 1970, where something changed since the last one; else None.

        With `since` 0 something has always changed: that is how the first stamp is had. A "changed" may cost as much as
        a load. Who can't tell says "changed", by any number.

        Raises:
            SlurmUnreachable: nobody answered in time.
            SlurmUnreadable: the answer can't be read.
        """
        ...
