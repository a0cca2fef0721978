"""Which place it is: what aistation.toml says under `[nodes]`."""

from __future__ import annotations

from collections.abc import Iterable

from aistation_slurm.cluster.places.base import Hosts, Place
from aistation_slurm.cluster.places.handed import Configless, SharedFolder
from aistation_slurm.cluster.site import CONF
from aistation_slurm.errors import SettingsError
from aistation_slurm.settings import Settings


def open_place(settings: Settings, hosts: Hosts, *, release: str = "", included: Iterable[str] = (CONF,)) -> Place:
    """Return where Slurm's files are beside this host; opens no connection yet.

    Args:
        settings: whose `[nodes]` says how the files get there.
        hosts: who is to have them (`hosts_of`).
        release: slurmctld's version, such as `22.05.8`; what a configless one hands out depends on it.
        included: names of the files that slurm.conf includes.

    Raises:
        SettingsError: it is ssh, and its key or its known hosts are missing.
    """
    match settings.nodes.files:
        case "configless":
            return Configless(hosts, release=release, included=included)
        case "ssh":
            raise SettingsError('[nodes] files = "ssh" can\'t be used yet', where=str(settings.source or ""))
        case _:
            return SharedFolder(hosts)
