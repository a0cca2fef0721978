"""Slurm's node lists, by ClusterShell's NodeSet."""

from __future__ import annotations

from collections.abc import Iterable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from aistation_slurm.errors import SlurmUnreadable


def expand(text: str) -> tuple[str, ...]:
    """Return the names in `gpu[01-03],x`, sorted; an empty text is no node.

    Raises:
        SlurmUnreadable: it is no node list.
    """
    if text in {"", "(null)", "None", "None assigned"}:
        return ()
    try:
        return tuple(NodeSet(text, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        raise SlurmUnreadable(f"{text!r} is no node list: {error}") from error


def fold(names: Iterable[str]) -> str:
    """Return the names as one list, `gpu[01-03],x`.

    Only the last number is folded: NodeSet would make `gpu[1-2]-01` of `gpu1-01,gpu2-01`, which Slurm can't read.
    """
    nodes = NodeSet.fromlist(list(names), resolver=RESOLVER_NOGROUP)
    nodes.fold_axis = (-1,)
    return str(nodes)


def count(text: str) -> int:
    """Return how many nodes `gpu[01-03],x` names."""
    return len(expand(text))
