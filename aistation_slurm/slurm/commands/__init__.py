"""How to ask Slurm, and how to read its answer: one module a noun."""

from aistation_slurm.slurm.commands.accounting import (
    show_accounts,
    show_associations,
    show_qos,
    show_tres,
    show_users,
)
from aistation_slurm.slurm.commands.asked import batch_script, show_asked
from aistation_slurm.slurm.commands.command import Command, Reading
from aistation_slurm.slurm.commands.controller import ping, show_config, show_loaded_qos
from aistation_slurm.slurm.commands.diag import sdiag
from aistation_slurm.slurm.commands.jobs import history, show_job, squeue
from aistation_slurm.slurm.commands.limits import show_limits_in_use
from aistation_slurm.slurm.commands.nodes import show_nodes
from aistation_slurm.slurm.commands.partitions import show_partitions
from aistation_slurm.slurm.commands.priority import sprio, sprio_site
from aistation_slurm.slurm.commands.reservations import show_reservations
from aistation_slurm.slurm.commands.steps import (
    EVERY_JOB,
    RunningStep,
    running_steps,
    running_usage,
    show_steps,
    step_history,
)
from aistation_slurm.slurm.commands.usage import full_hour, sreport, sshare

__all__ = [
    "EVERY_JOB",
    "Command",
    "Reading",
    "RunningStep",
    "batch_script",
    "full_hour",
    "history",
    "ping",
    "running_steps",
    "running_usage",
    "sdiag",
    "show_accounts",
    "show_asked",
    "show_associations",
    "show_config",
    "show_job",
    "show_limits_in_use",
    "show_loaded_qos",
    "show_nodes",
    "show_partitions",
    "show_qos",
    "show_reservations",
    "show_steps",
    "show_tres",
    "show_users",
    "sprio",
    "sprio_site",
    "squeue",
    "sreport",
    "sshare",
    "step_history",
]
