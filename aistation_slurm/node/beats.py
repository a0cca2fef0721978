"""The heartbeats that were heard, as files: the receiver writes them, whoever watches reads them.

`<run_dir>/heartbeats/NODE` was touched when its node was last heard, and says since when it is heard without a gap.
`<run_dir>/heartbeats/.receiver` was touched when the receiver was last at work, and says since when without a gap.
Files, so that a duty that cron runs sees the same as the daemon. They may be lost: then nobody was ever heard.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aistation_slurm.node.heartbeat import Heartbeat, is_node_name

FOLDER = "heartbeats"
RECEIVER = ".receiver"
BLIND_AFTER = timedelta(seconds=1.5)
"""A receiver that was not at work for so long can't tell who is silent."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What is known of one node's heartbeat."""

    last: datetime
    since: datetime
    """Since when it comes without a gap; equal to `last` where that can't be told."""
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Beats:
    """What the receiver heard, and how far that can be trusted."""

    seen: dict[str, Beat] = field(default_factory=dict)
    since: datetime | None = None
    """Since when the receiver has seen without a gap."""
    at_work: datetime | None = None
    """When the receiver was last at work."""

    def is_blind(self, now: datetime) -> bool:
        """True while no receiver is at work: then silence means nothing."""
        return self.since is None or self.at_work is None or now - self.at_work > BLIND_AFTER

    def silence(self, node: str, now: datetime) -> timedelta | None:
        """Return how long the node has been silent; None where it was never heard, or nobody was there to hear it."""
        beat = self.seen.get(node)
        if beat is None or self.since is None or self.is_blind(now):
            return None
        return max(now - max(beat.last, self.since), timedelta())


def read_beats(run_dir: Path, *, whole: bool = True) -> Beats:
    """Return what the receiver last wrote; nothing at all where there never was one.

    With `whole` off no file is opened but the receiver's: six times quicker, but `since` and `boot_id` are not told.
    """
    folder = run_dir / FOLDER
    try:
        entries = [each for each in os.scandir(folder) if is_node_name(each.name)]
    except OSError:
        return Beats()
    read = _read_beat if whole else _touched
    seen = {each.name: beat for each in entries if (beat := read(Path(each.path)))}
    receiver = _read(folder / RECEIVER)
    if receiver is None:
        return Beats(seen)
    said, touched = receiver
    return Beats(seen, since=_time(said.get("since"), touched), at_work=touched)


class BeatWriter:
    """The receiver's side of the files."""

    def __init__(self, run_dir: Path) -> None:
        self.folder = run_dir / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)

    def heard(self, beat: Heartbeat, *, now: float, since: float) -> None:
        """Write the node's file anew: its first beat, or the first after a gap."""
        self._write(beat.node, {"since": since, "boot_id": beat.boot_id, "written": now})

    def touch(self, node: str, now: float) -> None:
        """Note one more beat.

        Raises:
            FileNotFoundError: somebody took the file away.
        """
        os.utime(self.folder / node, (now, now))

    def at_work(self, *, now: float, since: float) -> None:
        """Note that the receiver is there, and has been since then."""
        self._write(RECEIVER, {"since": since, "pid": os.getpid(), "written": now})

    def _write(self, name: str, said: dict[str, object]) -> None:
        fresh = self.folder / f".{name}.new"
        fresh.write_text(json.dumps(said), encoding="ascii")
        fresh.replace(self.folder / name)


def _read_beat(path: Path) -> Beat | None:
    found = _read(path)
    if found is None:
        return None
    said, touched = found
    return Beat(touched, min(_time(said.get("since"), touched), touched), str(said.get("boot_id", "")))


def _touched(path: Path) -> Beat | None:
    try:
        last = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
    return Beat(last, last)


def _read(path: Path) -> tuple[dict[str, object], datetime] | None:
    try:
        touched = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        said = json.loads(path.read_text(encoding="ascii"))
    except OSError:
        return None
    except ValueError:
        said = {}
    return (said if isinstance(said, dict) else {}), touched


def _time(value: object, otherwise: datetime) -> datetime:
    if isinstance(value, int | float) and 0 < value < time.time() + 86400:
        return datetime.fromtimestamp(value, UTC)
    return otherwise
