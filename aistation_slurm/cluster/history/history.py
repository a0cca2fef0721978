"""What was applied, when and by whom: a folder for each apply, beside Slurm's files, whole before anything is changed.

`.aistation/history/0007/` holds `entry.json`, a line in `steps` for each step that is done, the cluster file's text and
the one that was applied before it, and Slurm's files as they were and as they are to be. Only root may look.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from aistation_slurm.cluster.history.entry import (
    ENTRY,
    NEW,
    OLD,
    SPEC_NEW,
    SPEC_OLD,
    Entry,
    FileCopy,
    State,
    entry_text,
    read_entry,
)
from aistation_slurm.cluster.writing.moves import Swap
from aistation_slurm.cluster.writing.whole import AS_ROOT, attributes, sync_folder, write_bytes
from aistation_slurm.errors import NotPermitted, StoreError

FOLDER = ".aistation"
KEPT = 50
"""So many entries stay: the first, before which nothing was ours, and the last ones."""


@dataclass(frozen=True, slots=True)
class History:
    """The entries beside one folder of Slurm's files."""

    conf_dir: Path

    @property
    def folder(self) -> Path:
        """Where the entries are."""
        return self.conf_dir / FOLDER / "history"

    def entries(self) -> list[Entry]:
        """Return all entries, the oldest first; none where there are none, or this user may not look.

        Raises:
            StoreError: one of them can't be read.
        """
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            names = sorted(each.name for each in self.folder.iterdir() if each.name.isdigit())
            return [read_entry(self.folder / name) for name in names]
        return []

    def entry(self, number: int) -> Entry:
        """Return the entry of this number.

        Raises:
            StoreError: there is none.
        """
        entries = self.entries()
        if found := next((each for each in entries if each.number == number), None):
            return found
        numbers = f"{entries[0].number} to {entries[-1].number}" if entries else "none yet"
        raise StoreError(f"there is no apply {number}", where=str(self.folder), hint=f"there are: {numbers}")

    def interrupted(self) -> Entry | None:
        """Return the last entry where it was begun and never ended."""
        entries = self.entries()
        return entries[-1] if entries and entries[-1].state is State.BEGUN else None

    def last_applied(self) -> str | None:
        """Return the cluster file's text that was applied last, to its end; None where none was."""
        done = self.last_done()
        return done.spec_text() if done else None

    def last_done(self) -> Entry | None:
        """Return the last apply that came to its end, or None."""
        return next((each for each in reversed(self.entries()) if each.state is State.DONE), None)

    def begin(self, entry: Entry, *, spec: str | None, files: Sequence[Swap]) -> Entry:
        """Return the entry with its number, once it is on disk whole; `files` are Slurm's files as they are to be.

        Raises:
            NotPermitted: it can't be written; nothing was changed.
        """
        entries, last = self.entries(), self.last_done()
        before = last.spec_text() if last else None
        number = entries[-1].number + 1 if entries else 1
        fresh, place = self.folder / f".new-{number:04}", self.folder / f"{number:04}"
        try:
            self._make_folders(fresh)
            kept = tuple(_keep_files(fresh, files))
            file_before = last.cluster_file if last and before is not None else None
            entry = replace(entry, number=number, folder=place, files=kept, file_before=file_before)
            if spec is not None:
                write_bytes(fresh / SPEC_NEW, spec.encode())
            if before is not None:
                write_bytes(fresh / SPEC_OLD, before.encode())
            write_bytes(fresh / ENTRY, entry_text(entry).encode())
            sync_folder(fresh)
            fresh.rename(place)
            sync_folder(self.folder)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise NotPermitted(f"can't be written ({error.strerror})", where=str(self.folder), hint=AS_ROOT) from error
        self._thin(entries)
        return entry

    def _make_folders(self, fresh: Path) -> None:
        (self.conf_dir / FOLDER).mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for left in self.folder.glob(".new-*"):  # of one that was killed before it had changed anything
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir(mode=0o700)

    def _thin(self, entries: Sequence[Entry]) -> None:
        for old in entries[1 : 1 + max(0, len(entries) + 1 - KEPT)]:
            shutil.rmtree(old.folder, ignore_errors=True)


def last_applied(conf_dir: Path) -> str | None:
    """Return the cluster file's text that was applied last to the Slurm of this folder; None where none was."""
    return History(conf_dir).last_applied()


def note_step(entry: Entry, text: str) -> None:
    """Note that a step is done; what isn't noted may or may not be.

    Raises:
        NotPermitted: that can't be written.
    """
    try:
        descriptor = os.open(entry.folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, json.dumps(text).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotPermitted(f"can't be written ({error.strerror})", where=str(entry.folder), hint=AS_ROOT) from error


def end(entry: Entry, state: State, how: str = "") -> Entry:
    """Return the entry as ended, once that is on disk."""
    ended = replace(read_entry(entry.folder), state=state, how=how, ended=datetime.now(UTC))
    try:
        write_bytes(entry.folder / ENTRY, entry_text(ended).encode())
    except OSError as error:
        raise NotPermitted(f"can't be written ({error.strerror})", where=str(entry.folder), hint=AS_ROOT) from error
    return ended


def note_undoing(entry: Entry, why: str) -> Entry:
    """Return the entry with why it is being taken back, once that is on disk."""
    noted = replace(read_entry(entry.folder), how=why)
    write_bytes(entry.folder / ENTRY, entry_text(noted).encode())
    return noted


def _keep_files(fresh: Path, files: Sequence[Swap]) -> list[FileCopy]:
    """Keep the files as they are, and as they are to be, and return what was kept."""
    kept = []
    for number, swap in enumerate(files):
        if swap.old is not None:
            write_bytes(fresh / f"{number}.{OLD}", swap.old, like=attributes(swap.path))
        if swap.new is not None:
            write_bytes(fresh / f"{number}.{NEW}", swap.new)
        kept.append(FileCopy(number, swap.path, was_there=swap.old is not None, stays=swap.new is not None))
    return kept
