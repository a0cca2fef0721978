"""The way back: the cluster file as it was before an apply, planned and carried out like any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.cluster.history.entry import Entry, State
from aistation_slurm.cluster.history.history import History
from aistation_slurm.errors import StoreError
from aistation_slurm.spec import ClusterSpec, load_spec


@dataclass(frozen=True, slots=True)
class WayBack:
    """What was applied before some apply."""

    entry: Entry
    """The first apply that is taken back; those after it go with it."""
    spec: ClusterSpec
    text: str | None
    """The cluster file's text; None where nothing of ours was there."""

    @property
    def cluster_file(self) -> Path:
        """The cluster file that gets this text back."""
        return self.entry.file_before or self.entry.cluster_file

    def __str__(self) -> str:
        before = f"{self.entry.kind} {self.entry.number} ({self.entry.when:%Y-%m-%d %H:%M} UTC, by {self.entry.who})"
        if self.text is None:
            return f"back to before {before}, the first: nothing of ours is left in Slurm"
        return f"back to before {before}"


def way_back(history: History, number: int | None = None) -> WayBack:
    """Return what was applied before that apply; before the last that was not taken back, where none is named.

    Raises:
        StoreError: there is no such apply.
        SpecError: that cluster file can't be read any more.
    """
    entry = history.entry(number) if number is not None else _last(history)
    path = entry.spec_before_path
    if path is None:
        return WayBack(entry, nothing_of_ours(load_spec(entry.spec_path)), None)
    return WayBack(entry, load_spec(path), path.read_bytes().decode())


def _last(history: History) -> Entry:
    entries = [each for each in history.entries() if each.state is not State.UNDONE]
    if not entries:
        raise StoreError("nothing was applied yet", where=str(history.folder), hint="there is nothing to go back to")
    return entries[-1]


def nothing_of_ours(spec: ClusterSpec) -> ClusterSpec:
    """Return the cluster without teams, and with every group the site's own: nothing is wanted of Slurm."""
    groups = {name: each.model_copy(update={"managed_by": "site"}) for name, each in spec.groups.items()}
    return spec.model_copy(update={"groups": groups, "teams": {}})
