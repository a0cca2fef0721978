"""What Slurm and its files say now: everything that a plan is decided on, looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.cluster.files import GRES
from aistation_slurm.cluster.keys import CONF, SiteConf, read_site_conf
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Job, Node, Partition, Qos, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What Slurm and its files say now."""

    cluster: str
    site: SiteConf
    files: Mapping[str, str | None]
    """Name -> text of the files that we write; None where there is none."""
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
    cluster = slurm.read.config().get("ClusterName", "")
    associations = slurm.read.associations()
    return Observed(
        cluster=cluster,
        site=site,
        files={name: _text(conf_dir / name) for name in (CONF, GRES)},
        qos={each.name: each for each in slurm.read.qos()},
        accounts={each.name: each for each in slurm.read.accounts()},
        users={each.name: each for each in slurm.read.users()},
        associations={
            (each.account, each.user): each for each in associations if each.cluster == cluster and not each.partition
        },
        other_clusters=frozenset(each.cluster for each in associations) - {cluster},
        nodes={each.name: each for each in slurm.read.nodes()},
        partitions={each.name: each for each in slurm.read.partitions()},
        jobs=tuple(slurm.read.jobs()),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SpecError(f"can't be read ({error.strerror})", where=str(path)) from error
