"""What is to be done about quotas: values that say themselves in one line, and know how they are carried out."""

from __future__ import annotations

from dataclasses import dataclass

from aistation_slurm.data.quota import folders
from aistation_slurm.data.quota.model import Kind, Limits, Order, Owner, write_size
from aistation_slurm.data.quota.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class SetQuota:
    """Limits on one file system, of all whose limits were alike and are to become alike."""

    storage: str
    where: str
    """Where the file system is mounted."""
    kind: Kind
    owners: tuple[Owner, ...]
    old: Limits
    new: Limits
    orders: tuple[Order, ...]
    over: tuple[str, ...] = ()
    """Those who have stored more than that already: they can write no more, and their jobs neither."""

    def __str__(self) -> str:
        sign = "~" if self.old else "+"
        what = "user" if self.kind == "user" else "team"
        names = ",".join(owner.name for owner in self.owners)
        return f"{sign} storage {self.storage}  {what} {names}  {_difference(self.old, self.new)}"

    @property
    def count(self) -> int:
        """How many limits it changes."""
        return len(self.owners)

    def carry_out(self, tools: Tools) -> None:
        """Set the limits.

        Raises:
            StorageError: the file system refused, or its tool is missing.
        """
        tools.carry_out(self.orders, where=self.where)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFolder:
    """A team's folder, with all that lies below it, becomes a project, so that it can be counted."""

    storage: str
    team: str
    folder: str
    project: int
    is_new: bool
    """False where the folder is that project already, and what lies below it perhaps not yet."""

    def __str__(self) -> str:
        sign = "+" if self.is_new else "~"
        return f"{sign} storage {self.storage}  team {self.team}  project {self.project} on {self.folder} and all below"

    orders: tuple[Order, ...] = ()
    """None: no tool does it for all file systems; see `folders`."""
    over: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many folders it changes."""
        return 1

    def carry_out(self, tools: Tools) -> None:
        """Mark the folder and all below it.

        Raises:
            StorageError: the file system knows no projects, or this user may not.
        """
        folders.mark(self.folder, self.project)


QuotaChange = SetQuota | MarkFolder


def _difference(old: Limits, new: Limits) -> str:
    pairs = {
        "space": (write_size(old.space), write_size(new.space)),
        "files": (str(old.files), str(new.files)),
        "soft space": (write_size(old.soft_space), write_size(new.soft_space)),
        "soft files": (str(old.soft_files), str(new.soft_files)),
    }
    changed = {key: (_or_none(a), _or_none(b)) for key, (a, b) in pairs.items() if a != b}
    return "  ".join(f"{key} {b}" if not old else f"{key} {a} -> {b}" for key, (a, b) in changed.items())


def _or_none(text: str) -> str:
    return "none" if text == "0" else text
