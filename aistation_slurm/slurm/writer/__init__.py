"""The one door that changes anything in Slurm: one module a noun, one class for all."""

from __future__ import annotations

from aistation_slurm.slurm.writer.accounting import AccountingOrders, AssociationChanges, QosChanges
from aistation_slurm.slurm.writer.history import HistoryOrders
from aistation_slurm.slurm.writer.jobs import JobChanges, JobOrders
from aistation_slurm.slurm.writer.nodes import NodeChanges, NodeOrders
from aistation_slurm.slurm.writer.orders import WRITE_SECONDS
from aistation_slurm.slurm.writer.partitions import PartitionChanges, PartitionOrders, ReservationChanges

__all__ = [
    "WRITE_SECONDS",
    "AssociationChanges",
    "JobChanges",
    "NodeChanges",
    "PartitionChanges",
    "QosChanges",
    "ReservationChanges",
    "SlurmWriter",
]


class SlurmWriter(JobOrders, NodeOrders, PartitionOrders, AccountingOrders, HistoryOrders):
    """Gives orders to Slurm.

    Each call returns what Slurm answered, or raises: `SlurmUnreachable` (it is not known whether the order was heard),
    `SlurmRefused` and its kinds, `SlurmMissing`, `InvalidRequest` for a name that could mean something else, and
    `ValueError` for what is never said at all: an empty selector, a reason or a name without our mark. What is
    already so is no error.
    """

    def reconfigure(self) -> None:
        """Make slurmctld and every slurmd read their files again."""
        self._order(("scontrol", "reconfigure"))

    def ping(self) -> bool:
        """True where a slurmctld answers."""
        argv = ("scontrol", "ping")
        return " is UP" in self._runner.run(argv, timeout=self._timeout).stdout
