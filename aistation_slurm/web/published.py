"""What is sent, made once per snapshot however many ask: the part that lives, the page around it, both compressed."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from aistation_slurm.web.contexts import Overview
from aistation_slurm.web.snapshots import Snapshot

AGAIN_AFTER = timedelta(seconds=15)
"""When an unchanged page is drawn again, for viewers without JavaScript: its relative times have moved on."""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to send, with what a browser asks to see whether it has them already."""

    plain: bytes
    packed: bytes
    etag: str

    @classmethod
    def of(cls, text: str) -> Body:
        """Return the text as a body."""
        plain = text.encode()
        return cls(plain, gzip.compress(plain, 5, mtime=0), f'"{blake2b(plain, digest_size=12).hexdigest()}"')


@dataclass(frozen=True, slots=True)
class Published:
    """One drawn page, and the snapshot that it shows."""

    snapshot: Snapshot
    overview: Overview
    fragment: Body
    page: Body


class Publisher:
    """Draws the page when what it shows has changed, and not more often.

    Args:
        current: returns the latest snapshot.
        build: makes the context of it.
        draw: writes the part that lives.
        wrap: writes the whole page around that part.
        now: the clock.
    """

    def __init__(
        self,
        current: Callable[[], Snapshot],
        build: Callable[[Snapshot, datetime], Overview],
        draw: Callable[[Overview], str],
        wrap: Callable[[Overview, Body], str],
        now: Callable[[], datetime],
    ) -> None:
        self._current = current
        self._build = build
        self._draw = draw
        self._wrap = wrap
        self._now = now
        self._lock = threading.Lock()
        self._last: Published | None = None

    def latest(self) -> Published:
        """Return the page for the latest snapshot."""
        snapshot = self._current()
        with self._lock:
            now = self._now()
            if self._last is None or not self._still_good(self._last, snapshot, now):
                self._last = self._publish(snapshot, now)
            return self._last

    def _still_good(self, last: Published, snapshot: Snapshot, now: datetime) -> bool:
        return (
            last.snapshot is snapshot
            and last.overview.is_stale == snapshot.is_stale(now)
            and now - last.overview.now < AGAIN_AFTER
        )

    def _publish(self, snapshot: Snapshot, now: datetime) -> Published:
        overview = self._build(snapshot, now)
        last = self._last
        if last and last.overview == overview and now - last.overview.now < AGAIN_AFTER:
            return Published(snapshot, last.overview, last.fragment, last.page)
        fragment = Body.of(self._draw(overview))
        return Published(snapshot, overview, fragment, Body.of(self._wrap(overview, fragment)))
