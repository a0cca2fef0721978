"""What a start says while it goes on: one line for each step, with its seconds, and the total at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]


class Steps:
    """Says what was done and how long it took."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.begun = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Say the step with its seconds once it is done; nothing if it failed, the error says it."""
        begun = time.monotonic()
        yield
        self.say(f"{time.monotonic() - begun:6.1f} s  {what}")

    def total(self, what: str) -> None:
        """Say the end of it all."""
        self.say(f"{time.monotonic() - self.begun:6.1f} s  {what}")
