"""What we put on things in Slurm that we made, so that we never touch another's."""

from __future__ import annotations

MARK = "aistation"
"""Description of every account and QOS that we make."""

REASON_MARK = "aistation:"
"""What the reason of every node that we set aside or mark down begins with."""

RESERVATION_MARK = "aistation-"
"""What the name of every reservation that we make begins with: up to 22.05 it can't hold a comment."""


def is_ours(reason: str) -> bool:
    """True where a node's reason is one that we wrote."""
    return reason.startswith(REASON_MARK)


def is_our_reservation(name: str) -> bool:
    """True where a reservation's name is one that we gave."""
    return name.startswith(RESERVATION_MARK)
