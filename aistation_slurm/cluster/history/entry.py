"""One entry of the history: what an apply was to do, how far it came, and what was there before."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from aistation_slurm.errors import StoreError

ENTRY, STEPS = "entry.json", "steps"
SPEC_NEW, SPEC_OLD = "cluster.yaml", "before.yaml"
OLD, NEW = "before", "after"


class State(StrEnum):
    """What became of an apply."""

    BEGUN = "begun"
    """It is at work, or was killed."""
    DONE = "done"
    UNDONE = "undone"
    """It was taken back, since Slurm was worse off."""
    FAILED = "failed"
    """It was broken off; what was done stays, and the next plan begins there."""


@dataclass(frozen=True, slots=True)
class FileCopy:
    """One of Slurm's files, kept as it was and as it is to be."""

    number: int
    path: Path
    was_there: bool
    stays: bool = True
    """False where it is taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one apply was to do, and what became of it."""

    number: int = 0
    folder: Path = Path()
    kind: str = "apply"
    """`apply`, or `rollback`."""
    undoes: int = 0
    """Of a rollback: the first apply that it takes back."""
    when: datetime
    who: str
    cluster_file: Path
    file_before: Path | None = None
    """The cluster file that was applied before; None where this is the first."""
    checksum: str
    steps: tuple[str, ...]
    """Each change of the plan, in the order in which they are made."""
    tells: tuple[tuple[int, str], ...] = ()
    """Those steps that tell a daemon: (index, kind); not done, they must be done although nothing else is to do."""
    lines: tuple[str, ...] = ()
    """The plan, for people."""
    effect: str = "none"
    files: tuple[FileCopy, ...] = ()
    state: State = State.BEGUN
    how: str = ""
    """Why it was undone, or failed."""
    ended: datetime | None = None
    done: int = 0
    """So many steps are done."""

    def before(self, copy: FileCopy) -> bytes | None:
        """Return the file as it was, or None where there was none."""
        return self.before_path(copy).read_bytes() if copy.was_there else None

    def before_path(self, copy: FileCopy) -> Path:
        """Where the file as it was is kept."""
        return self.folder / f"{copy.number}.{OLD}"

    def after(self, copy: FileCopy) -> bytes | None:
        """Return the file as it is to be, or None where there is to be none."""
        return (self.folder / f"{copy.number}.{NEW}").read_bytes() if copy.stays else None

    @property
    def spec_path(self) -> Path:
        """Where the cluster file's text of this apply is kept."""
        return self.folder / SPEC_NEW

    @property
    def spec_before_path(self) -> Path | None:
        """Where the text that was applied before is kept; None where this was the first."""
        path = self.folder / SPEC_OLD
        return path if path.exists() else None

    def spec_text(self) -> str | None:
        """Return the cluster file's text of this apply; None where it left nothing of ours."""
        try:
            return self.spec_path.read_bytes().decode()
        except FileNotFoundError:
            return None

    @property
    def is_taken_back(self) -> bool:
        """True from the moment at which it began to be taken back."""
        return bool(self.how) and self.state in {State.BEGUN, State.UNDONE}

    def told(self) -> str:
        """Return how far it came, as a person says it: `apply 7 was interrupted at step 5 of 9: ~ qos a`."""
        name = f"{self.kind} {self.number}"
        if self.is_taken_back:
            return f"{name} was interrupted while it was taken back ({self.how})"
        if self.done >= len(self.steps):
            return f"{name} was interrupted at its end, all {len(self.steps)} steps done"
        return f"{name} was interrupted at step {self.done + 1} of {len(self.steps)}: {self.steps[self.done]}"


def whoever() -> str:
    """Return who calls: `root (sudo by wang)`."""
    try:
        name = getpass.getuser() if os.geteuid() else "root"
    except (KeyError, OSError):
        name = str(os.geteuid())
    by = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo by {by})" if by and by != name and by.isprintable() else name


def entry_text(entry: Entry) -> str:
    """Return the entry as it stands in its file."""
    return json.dumps(
        {
            "kind": entry.kind,
            "undoes": entry.undoes,
            "when": entry.when.isoformat(),
            "who": entry.who,
            "cluster_file": str(entry.cluster_file),
            "file_before": str(entry.file_before) if entry.file_before else None,
            "checksum": entry.checksum,
            "steps": entry.steps,
            "tells": entry.tells,
            "lines": entry.lines,
            "effect": entry.effect,
            "files": [[str(each.path), each.was_there, each.stays] for each in entry.files],
            "state": entry.state,
            "how": entry.how,
            "ended": entry.ended.isoformat() if entry.ended else None,
        },
        indent=1,
    )


def read_entry(folder: Path) -> Entry:
    """Return the entry that is kept in this folder.

    Raises:
        StoreError: it can't be read.
    """
    path = folder / ENTRY
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        return Entry(
            number=int(folder.name),
            folder=folder,
            kind=found["kind"],
            undoes=found["undoes"],
            when=datetime.fromisoformat(found["when"]),
            who=found["who"],
            cluster_file=Path(found["cluster_file"]),
            file_before=Path(found["file_before"]) if found["file_before"] else None,
            checksum=found["checksum"],
            steps=tuple(found["steps"]),
            tells=tuple((int(index), str(kind)) for index, kind in found["tells"]),
            lines=tuple(found["lines"]),
            effect=found["effect"],
            files=tuple(
                FileCopy(n, Path(at), bool(was), bool(stays)) for n, (at, was, stays) in enumerate(found["files"])
            ),
            state=State(found["state"]),
            how=found["how"],
            ended=datetime.fromisoformat(found["ended"]) if found["ended"] else None,
            done=len(_steps_done(folder)),
        )
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"can't be read ({error})", where=str(path), hint="move that folder away") from error


def _steps_done(folder: Path) -> Sequence[bytes]:
    """Return the lines of the steps that are done; one that was cut off is none."""
    try:
        return (folder / STEPS).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return ()
