"""What Slurm says, in Slurm's words: frozen, typed, units said.

Memory is MiB, times are aware and in UTC, durations are timedelta and None where there is no limit, node lists are
Slurm's own text (`slurm.nodelist` reads them).
"""

from aistation_slurm.slurm.model.accounting import Account, Association, FairShare, Limits, Qos, TresKind, Usage, User
from aistation_slurm.slurm.model.controller import AssociationUse, Controller, Diag, Held, LimitsInUse, QosUse, RpcCount
from aistation_slurm.slurm.model.jobs import Asked, Job, JobStep, PriorityFactors, StepUsage
from aistation_slurm.slurm.model.nodes import Node, Partition, Reservation

__all__ = [
    "Account",
    "Asked",
    "Association",
    "AssociationUse",
    "Controller",
    "Diag",
    "FairShare",
    "Held",
    "Job",
    "JobStep",
    "Limits",
    "LimitsInUse",
    "Node",
    "Partition",
    "PriorityFactors",
    "Qos",
    "QosUse",
    "Reservation",
    "RpcCount",
    "StepUsage",
    "TresKind",
    "Usage",
    "User",
]
