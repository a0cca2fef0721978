"""What a rule of the linter looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aistation_slurm.cluster.conf import Conf
from aistation_slurm.slurm.model import Job, Node, Partition

Level = Literal["fatal", "kills jobs", "restart", "note"]
LEVELS: tuple[Level, ...] = ("fatal", "kills jobs", "restart", "note")
"""The worst first: what ends slurmctld or a slurmd; what ends jobs; what a reconfigure does not bring; what is odd."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that Slurm would trip over; it says itself in one line."""

    rule: str
    level: Level
    where: str
    """`file:line`."""
    what: str
    fix: str = ""
    """The safe way to what was meant."""
    jobs: tuple[int, ...] = ()
    """The jobs that it would end."""
    nodes: str = ""
    """The nodes that are to be drained first, as a node list."""

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.what} [{self.rule}]" + (f"; {self.fix}" if self.fix else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What Slurm runs with now, as far as it is known; a rule that needs what is not known finds nothing."""

    version: tuple[int, int] = (0, 0)
    """(22, 5) of 22.05.8."""
    config: Mapping[str, str] = field(default_factory=dict)
    qos: frozenset[str] | None = None
    """QOS that slurmctld knows, or will know before it reads the files; in lower case."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    plugins: frozenset[str] | None = None
    """Names of the plugins that are installed, such as `job_submit_lua`."""
    files: frozenset[str] = frozenset()
    """Names of the files beside slurm.conf, with those that are about to be written."""
    users: frozenset[str] | None = None
    """Unix users whom the files name and this machine knows."""
    sockets: frozenset[str] | None = None
    """Sockets of munged that are there, of those that the files name."""
    complaints: tuple[tuple[str, str], ...] = ()
    """(`file:line`, what) of each line that Slurm's own parser can't read."""

    @property
    def alive(self) -> tuple[Job, ...]:
        """The jobs that are not over."""
        return tuple(job for job in self.jobs if not job.state.is_over)


@dataclass(frozen=True, slots=True)
class Files:
    """The files as slurmctld and slurmd would read them."""

    conf: Conf
    gres: Conf | None = None
    """None where there is no gres.conf."""


Rule = Callable[[Files, Running], Iterator[Finding]]
