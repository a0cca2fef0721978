"""Ways to measure that every bench shares: repeats, percentiles, a table of figures."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence


def seconds(call: Callable[[], object]) -> float:
    """Return how long the call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleaved(calls: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call in each round; the calls take turns, so that a slow moment hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return taken


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked) + 0.5) - 1))]


def line(name: str, values: Sequence[float]) -> str:
    """Return n, p50, p95 and max of the seconds as one line."""
    return (
        f"{name:34} n={len(values):<4} p50={statistics.median(values):8.3f} s  "
        f"p95={percentile(values, 0.95):8.3f} s  max={max(values):8.3f} s"
    )


def quiet(*argv: str) -> Callable[[], object]:
    """Return a call that runs the command line and shows nothing."""
    return lambda: subprocess.run(argv, capture_output=True, check=True)
