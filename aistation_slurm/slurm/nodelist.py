"""Slurm's node lists, by ClusterShell's NodeSet."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet, NodeSetException

from aistation_slurm.errors import SlurmUnreadable

_ONE = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_STEM = re.compile(r"[A-Za-z](?:[\w.-]*[A-Za-z_.-])?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


def expand(text: str) -> tuple[str, ...]:
    """Return the names in `gpu[01-03],x`, sorted; an empty text is no node.

    Raises:
        SlurmUnreadable: it is no node list.
    """
    if text in {"", "(null)", "None", "None assigned"}:
        return ()
    if _ONE.fullmatch(text):  # the most frequent by far: the node of a job
        return (text,)
    try:
        return tuple(NodeSet(text, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        raise SlurmUnreadable(f"{text!r} is no node list: {error}") from error


def fold(names: Iterable[str]) -> str:
    """Return the names as one list, `gpu[01-03],x`.

    Only the last number is folded: NodeSet would make `gpu[1-2]-01` of `gpu1-01,gpu2-01`, which Slurm can't read.
    """
    found = set(names)
    if (folded := _folded_plainly(found)) is not None:
        return folded
    nodes = NodeSet.fromlist(list(found), resolver=RESOLVER_NOGROUP)
    nodes.fold_axis = (-1,)
    return str(nodes)


def _folded_plainly(names: set[str]) -> str | None:
    """Return what NodeSet would, in natural order and thirty times sooner; None where it must be asked itself.

    Each name must end in digits, as many as the others of its stem.
    """
    stems: dict[str, list[str]] = {}
    for name in names:
        stem = name.rstrip("0123456789")
        if stem == name or not _STEM.fullmatch(stem):
            return None
        stems.setdefault(stem, []).append(name[len(stem) :])
    if any(len(set(map(len, ends))) > 1 for ends in stems.values()):
        return None
    return ",".join(stem + _ranges(sorted(stems[stem])) for stem in sorted(stems, key=_natural))


def _natural(stem: str) -> tuple[str, list[int]]:
    return _DIGITS.sub("%s", stem), [int(each) for each in _DIGITS.findall(stem)]


def _ranges(ends: list[str]) -> str:
    """Return sorted numbers of the same width as `[01-03,07]`, one alone as it is."""
    if len(ends) == 1:
        return ends[0]
    spans: list[list[str]] = []
    for end in ends:
        if spans and int(end) == int(spans[-1][1]) + 1:
            spans[-1][1] = end
        else:
            spans.append([end, end])
    return f"[{','.join(first if first == last else f'{first}-{last}' for first, last in spans)}]"


def count(text: str) -> int:
    """Return how many nodes `gpu[01-03],x` names."""
    return len(expand(text))
