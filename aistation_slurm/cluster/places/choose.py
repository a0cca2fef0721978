"""Which place it is: what aistation.toml says under `[nodes]`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from aistation_slurm.cluster.places.base import Hosts, Place
from aistation_slurm.cluster.places.handed import Configless, SharedFolder
from aistation_slurm.cluster.site.conf import CONF
from aistation_slurm.errors import SettingsError
from aistation_slurm.settings import Settings

if TYPE_CHECKING:
    from aistation_slurm.cluster.places.push import Push


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
            return open_push(settings, hosts)
        case _:
            return SharedFolder(hosts)


def open_push(settings: Settings, hosts: Hosts) -> Push:
    """Return the place of ssh, whatever the settings say of the others.

    Raises:
        SettingsError: its key or its known hosts are missing, or paramiko is.
    """
    try:
        from aistation_slurm.cluster.places.known import read_known_hosts  # noqa: PLC0415  (paramiko is an extra)
        from aistation_slurm.cluster.places.push import Push  # noqa: PLC0415  (paramiko is an extra)
        from aistation_slurm.cluster.places.ssh import open_ssh  # noqa: PLC0415  (paramiko is an extra)
    except ModuleNotFoundError as error:
        text = f'[nodes] files = "ssh" needs the Python package {error.name!r}'
        raise SettingsError(
            text, where=str(settings.source or ""), hint="pip install 'aistation-slurm[ssh]'"
        ) from error
    asker = open_ssh(settings.nodes, read_known_hosts(settings.nodes.known_hosts))
    return Push(asker, hosts, at_once=settings.nodes.at_once, names=settings.nodes.names)
