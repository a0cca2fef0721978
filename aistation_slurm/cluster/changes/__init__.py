"""Every kind of change that a plan can hold: each prints itself in one line, and knows the command that makes it."""

from aistation_slurm.cluster.changes.accounting import (
    AddUsers,
    CreateAccounts,
    CreateQos,
    DeleteAccounts,
    DeleteQos,
    ModifyAssociations,
    ModifyQos,
    RemoveUsers,
    Rights,
    SetDefaultAccount,
)
from aistation_slurm.cluster.changes.base import Change
from aistation_slurm.cluster.changes.effect import (
    NONE,
    RECONFIGURE,
    RESTART_ALL,
    RESTART_CONTROLLER,
    Effect,
    Reach,
    restart_nodes,
    widest,
)
from aistation_slurm.cluster.changes.files import (
    EditLines,
    LineEdit,
    Reconfigure,
    RestartController,
    RestartNodes,
    TellController,
    WriteFile,
    WriteRules,
)
from aistation_slurm.cluster.changes.refusal import Refusal, some

__all__ = [
    "NONE",
    "RECONFIGURE",
    "RESTART_ALL",
    "RESTART_CONTROLLER",
    "AddUsers",
    "Change",
    "CreateAccounts",
    "CreateQos",
    "DeleteAccounts",
    "DeleteQos",
    "EditLines",
    "Effect",
    "LineEdit",
    "ModifyAssociations",
    "ModifyQos",
    "Reach",
    "Reconfigure",
    "Refusal",
    "RemoveUsers",
    "RestartController",
    "RestartNodes",
    "Rights",
    "SetDefaultAccount",
    "TellController",
    "WriteFile",
    "WriteRules",
    "restart_nodes",
    "some",
    "widest",
]
