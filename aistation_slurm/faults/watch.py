"""The watch: looks at heartbeats and nodes, asks the silent ones, marks down what is lost, gives back what is well.

Between two rounds it keeps only what saves it work; a daemon that starts anew loses nothing by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from aistation_slurm.errors import SlurmError
from aistation_slurm.faults import incidents
from aistation_slurm.faults.decide import (
    BACK,
    HoldBack,
    MarkDown,
    Resume,
    Step,
    Suspect,
    TakeIn,
    candidates_for_return,
    decide_losses,
    decide_returns,
    is_counted_on,
    is_taken_in,
    suspects,
)
from aistation_slurm.faults.probe import Answer, Sign, probe_all
from aistation_slurm.faults.tools import Teller, Tools
from aistation_slurm.node.beats import Beats, read_beats
from aistation_slurm.slurm.marks import is_ours
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.store.audit import audit

QUIET_EVERY = timedelta(seconds=5)
"""How often Slurm is asked while all beat: the beats alone are looked at in each round."""
BUSY_EVERY = timedelta(seconds=1)
ASK_AGAIN = timedelta(seconds=2)
"""How long a slurmd that answered is not asked again: each question is a line in its log."""
CONTROLS = 3
BLIND_FOR = timedelta(seconds=3)
CHANGED = timedelta(seconds=5)
"""How long a change that we ordered may take to show."""
STALE = timedelta(minutes=1)

Probe = Callable[[Iterable[Node]], dict[str, Answer]]


def _nobody(_: Collection[str]) -> None:
    """Learn nothing: where there is no receiver in this process."""


@dataclass(slots=True)
class Watch:
    """The watch duty."""

    tools: Tools
    learn: Callable[[Collection[str]], None] = _nobody
    """Told the names of the nodes at each look: the receiver believes no others."""
    probe: Probe = probe_all
    _tell: Teller = field(default_factory=Teller)
    _looked_at: datetime | None = None
    _silent: frozenset[str] = frozenset()
    _marked: frozenset[str] = frozenset()
    _blind_since: datetime | None = None
    _answered_at: dict[str, datetime] = field(default_factory=dict)
    _asked_back_at: datetime | None = None
    _answering_since: dict[str, datetime] = field(default_factory=dict)

    def round(self) -> list[str]:
        """Look once, and act; return a line for each thing that was done or left, and why.

        Raises:
            StoreError: our tables can't be used; then nothing is done.
        """
        now = self.tools.clock()
        if not self.tools.policy.enabled:
            return self._tell("off", "nothing done: recovery is switched off", now=now)
        beats = read_beats(self.tools.run_dir, whole=False)
        if not self._is_due(beats, now):
            return []
        try:
            nodes = self.tools.slurm.read.nodes()
            self._looked_at = now
            self.learn([each.name for each in nodes])
            return self._work(nodes, beats, now)
        except SlurmError as error:
            return self._tell("slurm", f"nothing done: {error}", now=now)

    def _is_due(self, beats: Beats, now: datetime) -> bool:
        """True where the beats alone don't say that all is well."""
        after = self.tools.policy.ask_after
        silent = frozenset(name for name in beats.seen if (beats.silence(name, now) or timedelta()) >= after)
        fresh, self._silent = silent - self._silent, silent
        if self._looked_at is None or fresh:
            return True
        every = BUSY_EVERY if silent or self._marked else QUIET_EVERY
        return now - self._looked_at >= every

    def _work(self, nodes: list[Node], beats: Beats, now: datetime) -> list[str]:
        self._marked = frozenset(each.name for each in candidates_for_return(nodes))
        lines = self._reconcile({each.name: each for each in nodes}, now)
        if beats.is_blind(now):
            self._blind_since = self._blind_since or now
            if now - self._blind_since < BLIND_FOR:
                return lines
            return lines + self._tell("blind", "nothing done: nobody hears the heartbeats", now=now)
        self._blind_since = None
        return lines + self._losses(nodes, beats, now) + self._returns(nodes, now)

    # Losses

    def _losses(self, nodes: list[Node], beats: Beats, now: datetime) -> list[str]:
        asked = [
            each
            for each in suspects(nodes, beats, self.tools.policy, now)
            if not self._has_just_answered(each.node.name, now)
        ]
        if not asked:
            return []
        controls = self._controls(nodes, beats, now)
        answers = self._ask([*(each.node for each in asked), *controls])
        now = self.tools.clock()
        self._answered_at |= {name: now for name, answer in answers.items() if answer.sign is Sign.ANSWERS}
        still = self._still_silent(asked, now)
        lately = incidents.lost_since(self.tools.engine, now - self.tools.policy.breaker_period)
        steps = decide_losses(
            still,
            answers,
            total=len(nodes),
            lost_lately=lately,
            policy=self.tools.policy,
            controls=[answers[each.name] for each in controls],
            silent_too=self._silent_too(nodes, now),
        )
        known = {each.node.name for each in still}
        not_yet = [name for each in asked if (name := each.node.name) not in known]
        if not all(self._has_just_answered(name, now) for name in not_yet) or _waits_for_others(steps):
            self._looked_at = None  # the next round will know more
        return self._carry_out(steps, now)

    def _controls(self, nodes: Iterable[Node], beats: Beats, now: datetime) -> list[Node]:
        """Return a few nodes that beat: if none of their slurmds answers, it is our asking that is broken."""
        well = (each for each in nodes if is_counted_on(each) and self._is_heard(beats, each, now))
        return list(islice(well, CONTROLS))

    def _silent_too(self, nodes: Iterable[Node], now: datetime) -> list[str]:
        """Return the nodes that begin to be silent, but for those whose slurmd has just answered."""
        beats, after = read_beats(self.tools.run_dir, whole=False), self.tools.policy.silent_after / 2
        return [
            each.name
            for each in nodes
            if is_counted_on(each)
            and (beats.silence(each.name, now) or timedelta()) >= after
            and not self._has_just_answered(each.name, now)
        ]

    def _has_just_answered(self, name: str, now: datetime) -> bool:
        answered = self._answered_at.get(name)
        return answered is not None and now - answered < ASK_AGAIN

    def _ask(self, nodes: Sequence[Node]) -> dict[str, Answer]:
        if all(each.port for each in nodes):
            return self.probe(nodes)
        port = self.tools.slurm.read.config().get("SlurmdPort", "")
        usual = int(port) if port.isdecimal() else 0
        return self.probe([each if each.port else replace(each, port=usual) for each in nodes])

    def _still_silent(self, asked: Iterable[Suspect], now: datetime) -> list[Suspect]:
        """Leave out who was heard while we asked."""
        beats = read_beats(self.tools.run_dir, whole=False)
        found = ((each.node, beats.silence(each.node.name, now)) for each in asked)
        after = self.tools.policy.silent_after
        return [Suspect(node, silence) for node, silence in found if silence is not None and silence >= after]

    def _carry_out(self, steps: Sequence[Step], now: datetime) -> list[str]:
        downs = [each for each in steps if isinstance(each, MarkDown)]
        lines = [line for each in steps if each not in downs for line in self._tell(_about(each), str(each), now=now)]
        if not downs:
            return lines
        if self.tools.policy.dry_run:
            said = (self._tell(_about(each), f"dry run: {each}", now=now) for each in downs)
            return lines + [line for several in said for line in several]
        jobs = [each for each in self.tools.slurm.read.jobs() if each.state.is_running]
        for each in downs:
            lines += self._mark_down(each, [job for job in jobs if each.node in expand(job.nodes)])
        return lines

    def _mark_down(self, step: MarkDown, jobs: list[Job]) -> list[str]:
        """Remember first, then act: whoever goes on after us must know whose jobs to look after."""
        engine, now = self.tools.engine, self.tools.clock()
        incident = incidents.open_incident(
            engine, step.node, why=str(step), last_beat=now - step.silence, jobs=jobs, now=now
        )
        try:
            self.tools.slurm.write.down_node(step.node, step.reason)
        except SlurmError as error:
            return self._tell(("refused", step.node), f"{step}: not done: {error}", now=now)
        now = self.tools.clock()
        self._marked |= {step.node}
        incidents.marked_down(engine, incident, now=now)
        audit(engine, str(step), actor=self.tools.actor, now=now)
        held = ", ".join(str(job.job_id) for job in jobs)
        return [f"{step}; {f'jobs {held}' if held else 'no job'} on it"]

    # Returns

    def _returns(self, nodes: list[Node], now: datetime) -> list[str]:
        several = candidates_for_return(nodes)
        if self._asked_back_at and now - self._asked_back_at < ASK_AGAIN:
            return []
        self._asked_back_at = now
        beats = read_beats(self.tools.run_dir)
        heard = [each for each in several if self._is_heard(beats, each, now)]
        self._answering_since = {
            name: self._answering_since.get(name, now)
            for name, answer in self._ask(heard).items()
            if answer.sign is Sign.ANSWERS
        }
        now = self.tools.clock()
        lines: list[str] = []
        for step in decide_returns(several, beats, self._answering_since, self.tools.policy, now):
            lines += self._give_back(step, next(each for each in several if each.name == step.node), now)
        return lines

    def _is_heard(self, beats: Beats, node: Node, now: datetime) -> bool:
        silence = beats.silence(node.name, now)
        return silence is not None and silence < self.tools.policy.silent_after

    def _give_back(self, step: TakeIn | Resume, node: Node, now: datetime) -> list[str]:
        if self.tools.policy.dry_run:
            return self._tell(_about(step), f"dry run: {step}", now=now)
        try:
            self.tools.slurm.write.resume_node(node)
            if isinstance(step, TakeIn):
                # Slurm sends no job in between: the node does not count as responding before its slurmd has answered.
                self.tools.slurm.write.drain_node(node.name, BACK)
        except SlurmError as error:
            return self._tell(("refused", step.node), f"{step}: not done: {error}", now=now)
        if isinstance(step, Resume):
            incidents.given_back(self.tools.engine, step.node, now=now)
        audit(self.tools.engine, str(step), actor=self.tools.actor, now=now)
        return [str(step)]

    # What others did, and what we left half done

    def _reconcile(self, nodes: dict[str, Node], now: datetime) -> list[str]:
        lines = []
        for incident in incidents.open_incidents(self.tools.engine):
            node = nodes.get(incident.node)
            if incident.down_at is None and node and node.state.is_down and is_ours(node.reason):
                incidents.marked_down(self.tools.engine, incident.id or 0, now=now)
                continue
            why = _why_over(incident.down_at, incident.noticed_at, node, now)
            if why:
                incidents.given_back(self.tools.engine, incident.node, now=now, note=why)
                lines.append(f"closed the incident of {incident.node}: {why}")
        return lines


def _why_over(down_at: datetime | None, noticed_at: datetime, node: Node | None, now: datetime) -> str:
    if node is None:
        return "Slurm does not know it any more"
    if down_at is None:
        return "it was never marked down" if now - noticed_at > STALE else ""
    if not node.state.is_down and not is_taken_in(node) and now - down_at > CHANGED:
        return "somebody else gave it back"
    return ""


def _waits_for_others(steps: Iterable[Step]) -> bool:
    return any(isinstance(each, HoldBack) and each.silent_too for each in steps)


def _about(step: Step) -> tuple[str, ...]:
    nodes = step.nodes if isinstance(step, HoldBack) else (step.node,)
    return (type(step).__name__, *nodes)
