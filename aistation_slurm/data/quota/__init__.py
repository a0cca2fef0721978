"""Storage quotas: what a file system says of them, what is wanted, and what must change. Looked, decided, then done."""

from aistation_slurm.data.quota.changes import MarkFolder, QuotaChange, SetQuota
from aistation_slurm.data.quota.decide import Decision, decide
from aistation_slurm.data.quota.look import Seen, look, look_at_all, look_own
from aistation_slurm.data.quota.model import Kind, Limits, Owner, Usage, show_size, write_size
from aistation_slurm.data.quota.overview import Row, overview
from aistation_slurm.data.quota.tools import Tools
from aistation_slurm.data.quota.wanted import Amount, WantedStorage, wanted_storage

__all__ = [
    "Amount",
    "Decision",
    "Kind",
    "Limits",
    "MarkFolder",
    "Owner",
    "QuotaChange",
    "Row",
    "Seen",
    "SetQuota",
    "Tools",
    "Usage",
    "WantedStorage",
    "decide",
    "look",
    "look_at_all",
    "look_own",
    "overview",
    "show_size",
    "wanted_storage",
    "write_size",
]
