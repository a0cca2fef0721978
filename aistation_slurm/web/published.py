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
    def of(cls, text: str, *, etag: str = "") -> Body:
        """Return the text as a body; with `etag` it means the same as another one with that mark.

        The marks are weak ones (RFC 9110, 8.8.1): two bodies that differ in their relative times alone share one.
        """
        plain = text.encode()
        mark = etag or f'W/"{blake2b(plain, digest_size=12).hexdigest()}"'
        return cls(plain, gzip.compress(plain, 5, mtime=0), mark)


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
        dump: writes the snapshot for programs.
        now: the clock.
    """

    def __init__(
        self,
        *,
        current: Callable[[], Snapshot],
        build: Callable[[Snapshot, datetime], Overview],
        draw: Callable[[Overview], str],
        wrap: Callable[[Overview, Body], str],
        dump: Callable[[Snapshot, Overview], str],
        now: Callable[[], datetime],
    ) -> None:
        self._current = current
        self._build = build
        self._draw = draw
        self._wrap = wrap
        self._dump = dump
        self._now = now
        self._lock = threading.Lock()
        self._last: Published | None = None
        self._dumped: tuple[Snapshot, Body] | None = None

    def latest(self) -> Published:
        """Return the page for the latest snapshot."""
        snapshot = self._current()
        with self._lock:
            now = self._now()
            if self._last is None or not self._still_good(self._last, snapshot, now):
                self._last = self._publish(snapshot, now)
            return self._last

    def for_programs(self) -> Body:
        """Return the latest snapshot as JSON; written only where somebody asks for it."""
        latest = self.latest()
        with self._lock:
            if self._dumped is None or self._dumped[0] is not latest.snapshot:
                self._dumped = latest.snapshot, Body.of(self._dump(latest.snapshot, latest.overview))
            return self._dumped[1]

    def _still_good(self, last: Published, snapshot: Snapshot, now: datetime) -> bool:
        return (
            last.snapshot is snapshot
            and last.overview.is_stale == snapshot.is_stale(now)
            and now - last.overview.now < AGAIN_AFTER
        )

    def _publish(self, snapshot: Snapshot, now: datetime) -> Published:
        overview = self._build(snapshot, now)
        last, mark = self._last, ""
        if last and last.overview == overview:
            if now - last.overview.now < AGAIN_AFTER:
                return Published(snapshot, last.overview, last.fragment, last.page)
            mark = last.fragment.etag
        fragment = Body.of(self._draw(overview), etag=mark)
        return Published(snapshot, overview, fragment, Body.of(self._wrap(overview, fragment)))
