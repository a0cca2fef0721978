"""What recovery thinks of each node, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from aistation_slurm.faults.decide import DRAINED_BEFORE, is_counted_on, is_taken_in
from aistation_slurm.faults.policy import Policy
from aistation_slurm.node.beats import Beats
from aistation_slurm.slurm.marks import is_ours
from aistation_slurm.slurm.model import Node


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node, its heartbeat, and what recovery makes of it."""

    node: str
    state: str
    gpus: int
    gpus_used: int
    beat_age: float | None
    """Seconds since it was last heard; None where it never was."""
    verdict: str
    reason: str


def overview(nodes: Iterable[Node], beats: Beats, policy: Policy, now: datetime) -> list[NodeRow]:
    """Return a row for each node, in Slurm's order."""
    return [
        NodeRow(
            each.name,
            str(each.state),
            each.gpus,
            each.gpus_allocated,
            _age(beats, each.name, now),
            verdict(each, beats, policy, now),
            each.reason,
        )
        for each in nodes
    ]


def verdict(node: Node, beats: Beats, policy: Policy, now: datetime) -> str:
    """Return in a few words what recovery makes of the node."""
    if node.state.is_down and is_ours(node.reason):
        return "left to who drained it" if DRAINED_BEFORE in node.reason else _returning(node, beats, policy, now)
    if is_taken_in(node):
        return _returning(node, beats, policy, now)
    if node.name not in beats.seen:
        return "no agent: left alone"
    if not policy.enabled:
        return "recovery is off"
    if beats.is_blind(now):
        return "nobody listens: left alone"
    if not is_counted_on(node):
        return "left alone"
    silence = beats.silence(node.name, now)
    return "silent" if silence is not None and silence >= policy.silent_after else "well"


def _returning(node: Node, beats: Beats, policy: Policy, now: datetime) -> str:
    silence = beats.silence(node.name, now)
    if silence is None or silence >= policy.silent_after:
        return "lost"
    return "comes back"


def _age(beats: Beats, node: str, now: datetime) -> float | None:
    beat = beats.seen.get(node)
    return round(max((now - beat.last).total_seconds(), 0.0), 2) if beat else None
