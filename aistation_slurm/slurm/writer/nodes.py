"""Orders about nodes: set aside, given back, and what stands beside their state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

from aistation_slurm.slurm.marks import REASON_MARK, is_ours
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.writer.orders import Orders, listed, one_name


class NodeChanges(TypedDict, total=False):
    """What can be changed about a node beside its state and its features; what is not named stays as it is."""

    comment: str
    extra: str
    weight: int
    """Nodes of less weight are given out first."""


class NodeOrders(Orders):
    """Marks nodes down, sets them aside and gives them back; what the site did to a node itself is left alone."""

    def down_node(self, name: str, reason: str) -> None:
        """Mark the node DOWN: its jobs are requeued or ended at once.

        Raises:
            ValueError: the reason does not carry our mark.
        """
        self._update_node(name, "State=DOWN", f"Reason={_marked(reason)}")

    def drain_node(self, name: str, reason: str) -> None:
        """Give the node no new job; those on it go on.

        Raises:
            ValueError: the reason does not carry our mark.
        """
        self._update_node(name, "State=DRAIN", f"Reason={_marked(reason)}")

    def resume_node(self, node: Node) -> bool:
        """Give the node back to Slurm where it was set aside by us; False where there is nothing of ours to undo."""
        if not is_ours(node.reason) or not (node.state.is_down or node.state.is_draining):
            return False
        self._update_node(node.name, "State=RESUME")
        return True

    def undrain_node(self, node: Node) -> bool:
        """Let the node take jobs again where we drained it, down or not; False where there is nothing of ours to undo.

        Where `resume_node` also takes a node out of DOWN, this leaves it there.
        """
        if not is_ours(node.reason) or not node.state.is_draining:
            return False
        self._update_node(node.name, "State=UNDRAIN")
        return True

    def set_features(self, name: str, available: Sequence[str], *, active: Sequence[str]) -> None:
        """Make these the node's features: those that it can have, and those of them that it has now.

        Both in one order, the available ones first: slurmctld holds the one against the other, and where only
        available ones are named it takes them all for active. They are lost when slurmctld starts without `-R`.
        """
        words = (
            f"AvailableFeatures={listed('feature', available)}",
            f"ActiveFeatures={listed('feature', active)}",
        )
        self._update_node(name, *words)

    def update_node(self, name: str, **changes: Unpack[NodeChanges]) -> None:
        """Change a node; its state and its features have calls of their own.

        Raises:
            ValueError: no change is named.
        """
        if not changes:
            raise ValueError("nothing is to be changed")
        self._update_node(name, *(f"{key.capitalize()}={value}" for key, value in changes.items()))

    def _update_node(self, name: str, *words: str) -> None:
        """Give an order to one node; that it was so already is no error where it is to be given back."""
        back = any(word in {"State=RESUME", "State=UNDRAIN"} for word in words)
        argv = ("scontrol", "update", f"NodeName={one_name('node', name)}", *words)
        self._order(argv, is_done=_is_back if back else None)


def _marked(reason: str) -> str:
    if not is_ours(reason):
        raise ValueError(f"the reason {reason!r} does not begin with {REASON_MARK!r}")
    return " ".join(reason.split())


def _is_back(done: Completed) -> bool:
    """True where the node was neither down nor drained any more (man scontrol, State=RESUME)."""
    return "Invalid node state" in done.stderr
