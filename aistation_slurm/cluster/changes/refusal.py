"""Why a plan must not be carried out as it is, and the safe way to what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One reason why the plan must not be carried out now, whoever wants it."""

    text: str
    """What is refused, and because of what: `group 'dev' can't go while it has jobs: 7`."""
    safe_way: str
    """What to do instead: `drain it, wait for its jobs, then apply`."""
    jobs: tuple[int, ...] = ()
    """The jobs that would be hurt."""
    nodes: str = ""
    """A node list, where it is for their jobs that it is refused."""
    group: str = ""
    """A group, where it is for its jobs that it is refused."""
    account: str = ""
    users: tuple[str, ...] = ()
    """Members of the account, where it is for their jobs there that it is refused."""

    def __str__(self) -> str:
        return f"{self.text}; {self.safe_way}" if self.safe_way else self.text

    @property
    def can_be_staged(self) -> bool:
        """True where `apply --staged` goes the safe way by itself."""
        return bool(self.nodes or self.group or self.users)


def some(numbers: Sequence[int], *, most: int = 5) -> str:
    """Return the first few numbers, and how many more there are."""
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(map(str, numbers[:most])) + more
