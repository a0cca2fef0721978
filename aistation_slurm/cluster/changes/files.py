"""Changes of Slurm's files, and the words that tell its daemons of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from aistation_slurm.cluster.changes.base import Change


@dataclass(frozen=True, slots=True)
class WriteFile(Change):
    """A file of Slurm that is not what the cluster file says."""

    rank: ClassVar[int] = 40

    path: Path
    text: str
    old: str | None
    """None where there is none yet."""
    lines: tuple[str, ...] = ()
    """What changes in it, line by line, for people."""
    edited: bool = False
    """True where somebody changed it by hand."""

    def __str__(self) -> str:
        by_hand = "  changed by hand since the last apply" if self.edited else ""
        return f"{'+' if self.old is None else '~'} file {self.path}  ({self.effect}){by_hand}"


@dataclass(frozen=True, slots=True)
class LineEdit:
    """One line of the site's own file that is changed, added or taken out."""

    path: Path
    number: int
    """Of the line as it stands now; of an added one, that of the line it comes before."""
    old: str | None
    """None where the line is added."""
    new: str | None
    """None where it is taken out."""

    def __str__(self) -> str:
        sign = "+" if self.old is None else "-" if self.new is None else "~"
        said = " -> ".join(each.strip() for each in (self.old, self.new) if each is not None)
        return f"{sign} line {self.number}  {said}"


@dataclass(frozen=True, slots=True)
class EditLines(WriteFile):
    """The site's own slurm.conf, or a file that it includes, with single lines edited.

    `text` and `old` are the whole file. What stands there must still be `old` when it is written.
    """

    rank: ClassVar[int] = 38

    edits: tuple[LineEdit, ...] = ()

    def __str__(self) -> str:
        count = f"{len(self.edits)} line{'' if len(self.edits) == 1 else 's'}"
        return f"~ site's file {self.path}  {count} ({self.effect})"


@dataclass(frozen=True, slots=True)
class EditLinesFirst(EditLines):
    """Edits that must be in force before slurmdbd takes a limit on GPUs."""

    rank: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class WriteRules(WriteFile):
    """A file of the rules of submission; once slurmctld has the groups that they speak of, and without telling it."""

    rank: ClassVar[int] = 55


@dataclass(frozen=True, slots=True)
class WriteFilter(WriteRules):
    """cli_filter.lua: there before slurm.conf names it, since srun, salloc and sbatch fail where it is missing."""

    rank: ClassVar[int] = 37


@dataclass(frozen=True, slots=True)
class WriteRulesFirst(WriteRules):
    """A file of the rules before slurmctld is told to run them: without job_submit.lua it does not start."""

    rank: ClassVar[int] = 36


@dataclass(frozen=True, slots=True)
class TellController(Change):
    """slurmctld is to take its files anew: the one change of a plan that tells it."""

    rank: ClassVar[int] = 50

    why: str
    qos: frozenset[str] = frozenset()
    """What the partitions name; slurmctld must know them first."""


@dataclass(frozen=True, slots=True)
class Reconfigure(TellController):
    """slurmctld is to read its files again."""

    def __str__(self) -> str:
        return f"~ slurmctld  reconfigure: {self.why}"

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        return ("scontrol", "reconfigure")


@dataclass(frozen=True, slots=True)
class RestartController(TellController):
    """slurmctld is to be restarted: a reconfigure does not bring what changed. How is said in aistation.toml."""

    def __str__(self) -> str:
        return f"~ slurmctld  restart: {self.why}"


@dataclass(frozen=True, slots=True)
class ReconfigureFirst(Reconfigure):
    """slurmctld is to tell slurmdbd of what it counts, before a QOS limits it."""

    rank: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class RestartControllerFirst(RestartController):
    """slurmctld is to tell slurmdbd of what it counts, before a QOS limits it; before 23.11 only a restart does."""

    rank: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class RestartNodes(Change):
    """The slurmd of these nodes are to be restarted. How is said in aistation.toml; else it is done by hand."""

    rank: ClassVar[int] = 52

    nodes: str
    """A node list."""
    why: str

    def __str__(self) -> str:
        return f"~ slurmd on {self.nodes}  restart: {self.why}"
