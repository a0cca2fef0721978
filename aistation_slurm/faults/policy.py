"""When recovery acts, and when it holds back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from aistation_slurm.settings import DaemonSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When recovery acts, and when it holds back."""

    enabled: bool = True
    dry_run: bool = False
    silent_after: timedelta = timedelta(seconds=2)
    """A node that was not heard for so long is suspect; four beats are lost by then."""
    back_after: timedelta = timedelta(seconds=10)
    """A lost node must beat and answer for so long before it is given back."""
    breaker_nodes: int = 2
    breaker_share: float = 0.05
    breaker_period: timedelta = timedelta(minutes=5)
    """More than max(breaker_nodes, breaker_share of all) lost within it is our fault, not theirs."""

    @property
    def ask_after(self) -> timedelta:
        """After so much silence slurmd is asked: its answer, which may take a second, is there when the silence counts.

        A single beat that got lost makes 1.0 s of silence, and no question.
        """
        return self.silent_after * 0.6

    def breaker_limit(self, total: int) -> int:
        """Return how many of so many nodes may be marked down within the period."""
        return max(self.breaker_nodes, int(total * self.breaker_share))


def policy_of(settings: DaemonSettings, *, dry_run: bool = False) -> Policy:
    """Return what the settings ask for; `dry_run` adds to them, and never takes away."""
    return Policy(
        enabled=settings.recovery,
        dry_run=settings.dry_run or dry_run,
        silent_after=timedelta(seconds=settings.silent_after),
        back_after=timedelta(seconds=settings.back_after),
        breaker_nodes=settings.breaker_nodes,
        breaker_period=timedelta(seconds=settings.breaker_period),
    )
