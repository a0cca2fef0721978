"""Which nodes are lost, and which are back: pure, with the clock as an argument. Changes nothing.

A node is lost where two signals that have nothing to do with each other say so: its agent is silent, and its slurmd
does not answer. One of them alone is left alone: a slurmd that was killed keeps its jobs, a dead agent costs nobody
a job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aistation_slurm.faults.policy import Policy
from aistation_slurm.faults.probe import Answer, Sign
from aistation_slurm.node.beats import Beats
from aistation_slurm.slurm.marks import REASON_MARK, is_ours
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.nodelist import fold

DRAINED_BEFORE = "drained before"
"""Stands in the reason of a node that somebody had set aside before it was lost: it is not ours to give back."""

BACK = f"{REASON_MARK} is back, and waits until nothing of its old jobs is left"
"""The reason of a lost node that Slurm talks to again, and that gets no job yet.

After a cut the old jobs of a node live on there until its slurmd registers, which it does for a node that is up. So a
node is first taken in and drained in one go, when Slurm ends what it finds there, and only later given back.
"""
ADMIT_AFTER = timedelta(seconds=2)
"""How long a lost node must be well before Slurm talks to it again."""
_MAY_BE_US = "no other slurmd answers us either, so that it may be us"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A node whose agent is silent."""

    node: Node
    silence: timedelta


@dataclass(frozen=True, slots=True)
class MarkDown:
    """A node that is lost: Slurm is to give up its jobs now, and to send no more."""

    node: str
    silence: timedelta
    why: str
    drained_before: str = ""

    @property
    def reason(self) -> str:
        """The reason that stands at the node, with our mark."""
        before = f" ({DRAINED_BEFORE}: {self.drained_before})" if self.drained_before else ""
        return f"{REASON_MARK} no heartbeat for {_seconds(self.silence)}, slurmd does not answer{before}"

    def __str__(self) -> str:
        return f"down {self.node}: no heartbeat for {_seconds(self.silence)}, slurmd does not answer ({self.why})"


@dataclass(frozen=True, slots=True)
class TakeIn:
    """A node that we marked down and that is heard again: Slurm is to end what is left of its old jobs."""

    node: str

    def __str__(self) -> str:
        return f"take in {self.node}: it is back; its old jobs are ended, new ones wait"


@dataclass(frozen=True, slots=True)
class Resume:
    """A node that we took in, and that is well and clean."""

    node: str
    well_for: timedelta

    def __str__(self) -> str:
        return f"resume {self.node}: beats and answers for {_seconds(self.well_for)}"


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """A node about which nothing is done, and why."""

    node: str
    why: str

    def __str__(self) -> str:
        return f"leave {self.node}: {self.why}"


@dataclass(frozen=True, slots=True)
class HoldBack:
    """So many nodes look lost that it must be us: nothing is done."""

    nodes: tuple[str, ...]
    lately: int
    limit: int
    period: timedelta
    silent_too: tuple[str, ...] = ()
    """Not silent for long enough to be suspect; a network that fails takes its nodes one after the other."""

    def __str__(self) -> str:
        too = f"{fold(self.silent_too)} silent too, " if self.silent_too else ""
        return (
            f"hold back: {fold(self.nodes)} lost, {too}{self.lately} before within {_seconds(self.period)}; "
            f"more than {self.limit} is taken for a fault of ours, or of the network"
        )


Step = MarkDown | TakeIn | Resume | LeaveAlone | HoldBack


def suspects(nodes: Iterable[Node], beats: Beats, policy: Policy, now: datetime) -> list[Suspect]:
    """Return the nodes that Slurm counts on and whose agents fell silent, longest first; never one never heard."""
    found = []
    for node in nodes:
        silence = beats.silence(node.name, now)
        if silence is not None and silence >= policy.ask_after and is_counted_on(node):
            found.append(Suspect(node, silence))
    return sorted(found, key=lambda each: (-each.silence, each.node.name))


def is_counted_on(node: Node) -> bool:
    """True where Slurm has jobs on the node, or may send some: else its loss costs nobody anything."""
    state = node.state
    if not node.partitions or state.is_down or state.is_away_on_purpose:
        return False
    return state.is_working or not state.is_draining


def decide_losses(
    several: Iterable[Suspect],
    answers: Mapping[str, Answer],
    *,
    total: int,
    lost_lately: Collection[str],
    policy: Policy,
    controls: Collection[Answer] = (),
    silent_too: Collection[str] = (),
) -> list[Step]:
    """Return what to do about the suspects, given what their slurmds said.

    Args:
        several: the suspects.
        answers: by node; a node that is not in it could not be asked.
        total: how many nodes there are.
        lost_lately: the nodes that were marked down within the breaker's period.
        policy: when to hold back.
        controls: what the slurmds of some nodes that beat said, asked in the same moment.
        silent_too: nodes that begin to be silent, and may be lost by the same cause.
    """
    steps = [_judge(each, answers.get(each.node.name, Answer(Sign.UNKNOWN))) for each in several]
    lost = {each.node for each in steps if isinstance(each, MarkDown)}
    limit = policy.breaker_limit(total)
    before = set(lost_lately) - lost
    begin = set(silent_too) - lost - before
    if lost and not any(each.sign is Sign.ANSWERS for each in controls):
        return [LeaveAlone(each.node, _MAY_BE_US) if isinstance(each, MarkDown) else each for each in steps]
    if not lost or len(lost) + len(before) + len(begin) <= limit:
        return steps
    held = HoldBack(tuple(sorted(lost)), len(before), limit, policy.breaker_period, tuple(sorted(begin)))
    return [held, *(each for each in steps if not isinstance(each, MarkDown))]


def _judge(suspect: Suspect, answer: Answer) -> Step:
    node, silence = suspect.node, suspect.silence
    if answer.sign is Sign.ANSWERS:
        return LeaveAlone(node.name, "its slurmd answers; only its agent is silent")
    if answer.sign is Sign.UNKNOWN:
        return LeaveAlone(node.name, f"silent, but its slurmd could not be asked: {answer.why}")
    drained = (node.reason or "no reason") if node.state.is_draining else ""
    return MarkDown(node.name, silence, answer.why, drained_before=drained)


def candidates_for_return(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that we marked down or took in, and that are ours to give back."""
    return [each for each in nodes if is_lost(each) or is_taken_in(each)]


def is_lost(node: Node) -> bool:
    """True while a node is down by our mark, and ours to give back."""
    return node.state.is_down and is_ours(node.reason) and DRAINED_BEFORE not in node.reason


def is_taken_in(node: Node) -> bool:
    """True while a node that was lost is kept from new jobs until it is clean."""
    return node.state.is_draining and not node.state.is_down and node.reason.startswith(BACK)


def decide_returns(
    nodes: Iterable[Node],
    beats: Beats,
    answering_since: Mapping[str, datetime],
    policy: Policy,
    now: datetime,
) -> Iterator[TakeIn | Resume]:
    """Yield what to do about the nodes of ours that have been well by both signals for long enough."""
    for node in candidates_for_return(nodes):
        beat, answering = beats.seen.get(node.name), answering_since.get(node.name)
        silence = beats.silence(node.name, now)
        if beat is None or answering is None or silence is None or silence >= policy.silent_after:
            continue
        well_for = now - max(beat.since, answering)
        if is_lost(node) and well_for >= ADMIT_AFTER:
            yield TakeIn(node.name)
        elif is_clean(node) and well_for >= policy.back_after:
            yield Resume(node.name, well_for)


def is_clean(node: Node) -> bool:
    """True once a node that was taken in talks to Slurm and has no job left."""
    return is_taken_in(node) and not node.state.is_working and not node.state.is_not_responding


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.1f} s" if span < timedelta(minutes=1) else f"{span.total_seconds():.0f} s"
