"""Whether slurmctld changed something, asked by libslurm: about a millisecond where nothing did."""

from __future__ import annotations

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.conditional import What
from aistation_slurm.slurm.worker import Worker

PROBE_SECONDS = 30.0
"""As long as for a read: where something changed, libslurm takes in all of it."""


class LibslurmProbe:
    """A `Conditional` by libslurm's `slurm_load_jobs`, `slurm_load_node` and `slurm_load_partitions`; needs no pyslurm.

    "Nothing changed" is one small message. "Changed" has cost slurmctld a whole dump, which libslurm unpacks and throws
    away: it can't ask for the stamp alone.

    slurmctld answers with its own clock at that moment, and says "no change" only where its last change lies a whole
    second before: what changes in the second of the answer shows the next time (proc_req.c, 22.05 to 26.05).
    """

    def __init__(self, worker: Worker, *, timeout: float = PROBE_SECONDS) -> None:
        self._worker = worker
        self._timeout = timeout

    def changed_since(self, what: What, since: int) -> int | None:
        """Return the new `last_update`, in seconds since 1970, where something changed since then; else None.

        Raises:
            SlurmUnreachable: nobody answered in time.
            SlurmUnreadable: the answer can't be read.
        """
        stamp = self._worker.ask("changed_since", what, since, timeout=self._timeout)
        if stamp is None or isinstance(stamp, int):
            return stamp
        raise SlurmUnreadable(f"{stamp!r} is no moment", where=f"libslurm changed_since {what}")
