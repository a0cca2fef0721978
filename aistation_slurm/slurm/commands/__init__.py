"""How to ask Slurm, and how to read its answer: one module a noun."""

from aistation_slurm.slurm.commands.accounting import show_accounts, show_associations, show_qos, show_users
from aistation_slurm.slurm.commands.command import Command
from aistation_slurm.slurm.commands.controller import ping, show_config, show_loaded_qos
from aistation_slurm.slurm.commands.jobs import history, show_job, squeue
from aistation_slurm.slurm.commands.nodes import show_nodes
from aistation_slurm.slurm.commands.partitions import show_partitions

__all__ = [
    "Command",
    "history",
    "ping",
    "show_accounts",
    "show_associations",
    "show_config",
    "show_job",
    "show_loaded_qos",
    "show_nodes",
    "show_partitions",
    "show_qos",
    "show_users",
    "squeue",
]
