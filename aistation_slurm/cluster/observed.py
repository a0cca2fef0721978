"""What Slurm and its files say now: everything that a plan is decided on, looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.cluster.effects import Release, release_of
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.rules.compiled import COMPILED
from aistation_slurm.cluster.site.conf import SiteConf, read_site_conf
from aistation_slurm.cluster.wanted.files import NAMES
from aistation_slurm.data.quota import Seen
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Job, Node, Partition, Qos, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What Slurm and its files say now."""

    cluster: str
    site: SiteConf
    config: Mapping[str, str] = field(default_factory=dict)
    """What slurmctld runs with."""
    has_lua: bool | None = None
    """Whether this Slurm can run job_submit.lua; None where that can't be seen from here."""
    files: Mapping[str, str | None]
    """Name -> text of the files that we write; None where there is none."""
    tres: frozenset[str] | None = None
    """TRES that slurmdbd knows, such as `gres/gpu:v100`; None where it was not asked."""
    qos: Mapping[str, Qos] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
    associations: Mapping[tuple[str, str], Association] = field(default_factory=dict)
    """(account, user) -> association on this cluster; an account's own has the user `""`."""
    other_clusters: frozenset[str] = frozenset()
    """Clusters that share the slurmdbd, and may use our QOS."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    storage: tuple[Seen, ...] = ()
    """What the file systems say that storage quotas are about."""

    @property
    def release(self) -> Release:
        """Which Slurm runs: (22, 5) of 22.05.8; (0, 0) where that is not known."""
        return release_of(self.config)

    def is_our_account(self, name: str) -> bool:
        """True where we made the account; others belong to the site and are none of our business."""
        return name in self.accounts and self.accounts[name].description == MARK

    def is_our_qos(self, name: str) -> bool:
        """True where we made the QOS."""
        return name in self.qos and self.qos[name].description == MARK


def look(slurm: Slurm, *, conf_dir: Path) -> Observed:
    """Return what Slurm and its files say now.

    Raises:
        SlurmError: Slurm can't be asked.
        SpecError: a file can't be read.
    """
    site = read_site_conf(conf_dir / "slurm.conf")
    read = slurm.read
    with ThreadPoolExecutor(max_workers=4) as pool:  # each answer of slurmdbd takes 0.2-0.4 s, nearly all of it waiting
        associations = pool.submit(read.associations)
        qos, accounts, users = pool.submit(read.qos), pool.submit(read.accounts), pool.submit(read.users)
        tres = pool.submit(read.tres)
        config = read.config()
        nodes, partitions, jobs = read.nodes(), read.partitions(), read.jobs()
        has_lua = policy.has_plugin(config)
    cluster = config.get("ClusterName", "").lower()
    return Observed(
        cluster=cluster,
        config=config,
        has_lua=has_lua,
        site=site,
        files={name: _text(conf_dir / name) for name in (*NAMES, COMPILED, policy.FILTER, *policy.NAMES)},
        tres=frozenset(map(str, tres.result())),
        qos={each.name: each for each in qos.result()},
        accounts={each.name: each for each in accounts.result()},
        users={each.name: each for each in users.result()},
        associations={
            (each.account, each.user): each
            for each in associations.result()
            if each.cluster == cluster and not each.partition
        },
        other_clusters=frozenset(each.cluster for each in associations.result()) - {cluster},
        nodes={each.name: each for each in nodes},
        partitions={each.name: each for each in partitions},
        jobs=tuple(jobs),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SpecError(f"can't be read ({error.strerror})", where=str(path)) from error
