"""What is remembered of a cluster between two commands: `cluster.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from aistation_slurm.devcluster.paths import Paths, names
from aistation_slurm.errors import DevClusterError, UnknownNameError
from aistation_slurm.render import write_whole

INSTALLED = "installed"
JOB_IDS = 1_000_000
Layout = Literal["loopback", "netns"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Ports(_Record):
    """The ports of a cluster, all of them its own."""

    slurmctld: int
    slurmdbd: int
    mariadb: int
    heartbeat: int
    web: int
    slurmd: int
    """The first node's; in the layout `loopback` the others follow."""


class NodeRecord(_Record):
    """One node: where its slurmd is reached."""

    name: str
    address: str
    port: int
    index: int


class ClusterRecord(_Record):
    """What is remembered of a cluster between two commands."""

    name: str
    tag: str
    """Names its interfaces: derived from the name, at most 10 characters, on this machine used once."""
    layout: Layout
    subnet: int = 0
    """The third byte of `10.213.N.0/24`; 0 without network namespaces."""
    slot: int
    """The clusters of this machine are counted from 0; tells their job ids apart."""
    ports: Ports
    nodes: tuple[NodeRecord, ...]
    users: tuple[str, ...]
    slurm_cluster: str
    """ClusterName."""
    agents: bool = False
    daemon: bool = False
    page: bool = False
    slurm: str = INSTALLED
    """Which release of Slurm it runs: `installed`, `debian:SUITE` or `/PREFIX`."""

    @property
    def address(self) -> str:
        """The address that its controller is reached at, of its own: the bridge's, or one of loopback's."""
        return f"10.213.{self.subnet}.1" if self.layout == "netns" else f"127.213.{self.slot}.1"

    @property
    def job_ids(self) -> range:
        """The job ids that the cluster hands out, and no other cluster of this machine.

        The cgroups that Slurm makes (`/slurm_NODE/uid_UID/job_ID`) don't name the cluster, and nodes may be namesakes.
        """
        return range(self.slot * JOB_IDS + 1, (self.slot + 1) * JOB_IDS)

    @property
    def bridge(self) -> str:
        """The bridge that its nodes hang on."""
        return f"ais-{self.tag}"

    def veth(self, node: NodeRecord) -> str:
        """Return the host's end of the node's cable."""
        return f"{self.tag}.{node.index}"

    def namespace(self, node: NodeRecord) -> str:
        """Return the node's network namespace."""
        return f"aistation-{self.name}-{node.name}"

    def node(self, name: str) -> NodeRecord:
        """Return the node of this name.

        Raises:
            UnknownNameError: there is none; the hint names the nearest.
        """
        for each in self.nodes:
            if each.name == name:
                return each
        raise UnknownNameError("node", name, where=self.name, known=[each.name for each in self.nodes])


def load_record(paths: Paths) -> ClusterRecord | None:
    """Return what is remembered of the cluster, or None where there is none.

    Raises:
        DevClusterError: the file is damaged.
    """
    try:
        return ClusterRecord.model_validate_json(paths.record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        hint = f"take the cluster away and start it anew: aistation dev down --name {paths.name}"
        raise DevClusterError("is damaged", where=str(paths.record), hint=hint) from error


def known_record(paths: Paths) -> ClusterRecord:
    """Return what is remembered of the cluster.

    Raises:
        UnknownNameError: there is no cluster of this name.
    """
    record = load_record(paths)
    if record is None:
        raise UnknownNameError("one-machine cluster", paths.name, where=str(paths.base), known=names(paths.base))
    return record


def save_record(paths: Paths, record: ClusterRecord) -> None:
    """Remember it; readable by all, since `aistation dev env` and `exec` need it."""
    write_whole(paths.record, record.model_dump_json(indent=1) + "\n")


def other_records(base: Path, name: str) -> list[ClusterRecord]:
    """Return what is remembered of the other clusters; damaged ones are left out."""
    found = []
    for other in names(base):
        try:
            record = load_record(Paths(other, base))
        except DevClusterError:
            continue
        if record and other != name:
            found.append(record)
    return found
