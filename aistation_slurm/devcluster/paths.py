"""Where everything of one cluster lies: one folder, and nothing outside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.errors import DevClusterError
from aistation_slurm.settings import DEV_ROOT

DEFAULT_NAME = "dev"
# 40 characters at most: a Unix socket's path holds 107.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_RESERVED = {"home", "releases"}


@dataclass(frozen=True, slots=True)
class Paths:
    """The files and folders of the cluster of this name."""

    name: str
    base: Path = DEV_ROOT

    @property
    def root(self) -> Path:
        """The cluster's own folder."""
        return self.base / self.name

    @property
    def etc(self) -> Path:
        """Its configuration: slurm.conf, aistation.toml, cluster.yaml."""
        return self.root / "etc"

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """What its daemons say."""
        return self.root / "log"

    @property
    def state(self) -> Path:
        """What slurmctld remembers (StateSaveLocation), and our own tables."""
        return self.root / "state"

    @property
    def spool(self) -> Path:
        """A folder for each node."""
        return self.root / "spool"

    @property
    def mysql(self) -> Path:
        """MariaDB's data."""
        return self.root / "mysql"

    @property
    def slurm(self) -> Path:
        """A link to the Slurm that it runs (`bin`, `sbin`, `lib/slurm`); not there if that is the installed one."""
        return self.root / "slurm"

    @property
    def devices(self) -> Path:
        """The GPUs' device files."""
        return self.root / "dev"

    @property
    def record(self) -> Path:
        """What we remember of the cluster: `cluster.json`."""
        return self.root / "cluster.json"

    @property
    def slurm_conf(self) -> Path:
        """The site's slurm.conf."""
        return self.etc / "slurm.conf"

    @property
    def hosts(self) -> Path:
        """What its controller sees in place of /etc/hosts: that, and its own addresses."""
        return self.etc / "hosts"

    @property
    def config(self) -> Path:
        """The settings file of our own programs."""
        return self.etc / "aistation.toml"

    @property
    def spec(self) -> Path:
        """The copy of the cluster file that it was started from."""
        return self.etc / "cluster.yaml"

    @property
    def munge_socket(self) -> Path:
        """Where its munged listens."""
        return self.run / "munge" / "munge.socket"

    @property
    def lock(self) -> Path:
        """The file that whoever changes the cluster holds locked; outside `root`, which `down` removes."""
        return self.base / f".{self.name}.lock"

    @property
    def homes(self) -> Path:
        """The homes of the users, shared by all clusters."""
        return self.base / "home"


def paths_of(name: str, base: Path = DEV_ROOT) -> Paths:
    """Return the paths of the cluster of this name.

    Raises:
        DevClusterError: the name can't be one.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise DevClusterError(
            f"a cluster can't be called {name!r}",
            hint="take up to 40 lower-case letters, digits and '-', a letter first; not 'home' or 'releases'",
        )
    return Paths(name, base)


def names(base: Path = DEV_ROOT) -> list[str]:
    """Return the names of the clusters on this machine, running or not."""
    return sorted(each.parent.name for each in base.glob("*/cluster.json"))
