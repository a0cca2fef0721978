"""One look for many who ask: who comes while a look is under way shares it, and nobody waits for it too long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 1.0
"""How many seconds a look is waited for."""
SILENCE = 3.0
"""A look that takes longer, in seconds, is taken for a Slurm that is away, until it answers after all."""
AGAIN_AFTER = 1.0
"""How many seconds after a look that broke the next one is made."""


class SingleFlight(Generic[T]):
    """Hands out what the last look saw, and looks again only when somebody asks and the next look is due.

    Args:
        look: returns what it sees, and when (by `tick`) the next one is due. One at a time is under way, on a thread of
            its own.
        first: what is handed out before the first look has ended.
        silent: returns the last value, marked, once a look has taken longer than `SILENCE`; asked each time.
        tick: the clock.
    """

    def __init__(
        self,
        look: Callable[[], tuple[T, float]],
        first: T,
        *,
        silent: Callable[[T], T],
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._silent = silent
        self._tick = tick
        self._lock = threading.Lock()
        self._looker = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._looking: Future[None] | None = None
        self._last = first
        self._due = self._began = float("-inf")

    @property
    def last(self) -> T:
        """What the last look saw, however old; no look is made for it."""
        return self._last

    def current(self, *, patience: float = PATIENCE) -> T:
        """Return what the last look saw; never raises.

        A look is waited for until `patience` seconds after it began, so that a Slurm that doesn't answer holds up
        nobody but the first.
        """
        with self._lock:
            if self._looking is None and self._tick() >= self._due:
                self._began = self._tick()
                self._looking = self._looker.submit(self._fly)
            looking, taken = self._looking, self._tick() - self._began
            if looking is not None and taken > SILENCE:
                self._last = self._silent(self._last)
        if looking is not None and taken < patience:
            wait((looking,), timeout=patience - taken)
        return self._last

    def close(self) -> None:
        """Let go of the thread that looks."""
        self._looker.shutdown(wait=False, cancel_futures=True)

    def _fly(self) -> None:
        seen, due = self._last, self._tick() + AGAIN_AFTER
        try:
            seen, due = self._look()
        except Exception:
            log.exception("a look failed in a way that nobody foresaw")
        with self._lock:
            self._last, self._due, self._looking = seen, due, None
