"""A reviewed plan is carried out on a live cluster: the lock, the history, the look before and after, the way back."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from aistation_slurm.cluster.applying.canary import try_canary
from aistation_slurm.cluster.applying.catching_up import catch_up
from aistation_slurm.cluster.applying.execution import Execution, swap_of
from aistation_slurm.cluster.applying.health import WATCH, Health, look_again, look_at_health, with_slurmds
from aistation_slurm.cluster.applying.lock import alone
from aistation_slurm.cluster.applying.recover import recover
from aistation_slurm.cluster.applying.restart import restarts_by_reconfigure
from aistation_slurm.cluster.applying.slurmds import port_of
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.cluster.applying.undo import undo
from aistation_slurm.cluster.changes import Change, RestartController, RestartNodes, TellController, WriteFile
from aistation_slurm.cluster.history.entry import Entry, State, whoever
from aistation_slurm.cluster.history.history import end, note_step
from aistation_slurm.cluster.places import Place
from aistation_slurm.cluster.places.handed import NothingToBring
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.cluster.planning.unfinished import tells_of
from aistation_slurm.cluster.writing.replacing import Witness, nobody
from aistation_slurm.errors import AistationError, StalePlan, UnsafePlan
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.spec import ClusterSpec
from aistation_slurm.spec.edit import read_text, write_spec

LOOK_AGAIN = "look again: aistation cluster plan"
SETTLES = 10.0
"""Seconds that a slurmctld which was told may take until all of it shows."""


class Watcher(Protocol):
    """Is told how far an apply has come."""

    def begins(self, number: int, of: int, change: Change) -> None:
        """Hear that a step begins."""
        ...

    def done(self, number: int, of: int, change: Change, seconds: float) -> None:
        """Hear that a step is done, and how long it took."""
        ...

    def say(self, text: str) -> None:
        """Hear anything else, as a sentence."""
        ...


class Silence:
    """Listens to nothing."""

    def begins(self, number: int, of: int, change: Change) -> None:
        """Do nothing."""

    def done(self, number: int, of: int, change: Change, seconds: float) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be applied, and how."""

    spec: ClusterSpec
    text: str | None
    """The cluster file's text, for the history; None where nothing of ours is to be left."""
    checksum: str = ""
    """Of the plan that was reviewed; empty: whatever the plan is."""
    force: bool = False
    canary: bool = True
    watch: bool = True
    """False where no node is there yet that could fall."""
    kind: str = "apply"
    undoes: int = 0
    """Of a rollback: the first apply that it takes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of it."""

    plan: Plan
    number: int = 0
    """Of the entry in the history; 0 where nothing was to do."""
    left: Plan = field(default_factory=lambda: Plan(changes=()))
    """What Slurm still is not; empty as a rule."""
    by_hand: tuple[str, ...] = ()
    canary: tuple[str, ...] = ()
    seconds: float = 0.0


def carry_out(target: Target, wish: Wish, *, watcher: Watcher | None = None, witness: Witness = nobody) -> Outcome:
    """Make Slurm what is wished, and return what became of it.

    An apply that was interrupted is taken up first. Where Slurm is worse off afterwards, all is taken back.

    Raises:
        StalePlan: the plan is no longer the one that was reviewed.
        UnsafePlan: it would hurt a job, or take away too much; or another apply is at work.
        TakenBack: Slurm was worse off, and is as it was before.
        SlurmError: Slurm refused a change; what was done before it stays, and the history says so.
    """
    watcher = watcher or Silence()
    with alone(target.conf_dir):
        interrupted = recover(target, watcher.say)
        place = target.place()
        plan = target.plan(wish.spec)
        if wish.checksum and plan.checksum != wish.checksum:
            raise StalePlan(f"the plan is now {plan.checksum}, not {wish.checksum}", hint=LOOK_AGAIN)
        plan.raise_if_unsafe(force=wish.force)
        _raise_if_by_hand(plan, target)
        if catch_up(place, target.conf_dir, watcher.say):
            target.slurm.write.reconfigure()  # the nodes read them
        work = _Work(target, wish, plan, place=place, watcher=watcher, witness=witness)
        return work.run(interrupted) if plan else work.note(interrupted)


def note(target: Target, wish: Wish) -> None:
    """Let the history have the cluster file's text where Slurm is all that it says; no file, daemon or host is touched.

    Nothing is noted where nothing was applied yet, or an apply was interrupted: the next one begins with that.

    Raises:
        UnsafePlan: another apply is at work.
        SlurmError: Slurm can't be asked.
    """
    with alone(target.conf_dir):
        history = target.history
        if history.interrupted() or history.last_applied() is None:
            return
        if not (plan := target.plan(wish.spec)):
            _Work(target, wish, plan, place=NothingToBring(), watcher=Silence(), witness=nobody).note(None)


def _raise_if_by_hand(plan: Plan, target: Target) -> None:
    """Refuse before anything is changed what would stop in the middle."""
    needed = any(isinstance(each, RestartController) for each in plan.changes)
    if needed and not target.settings.slurm.restart_controller:
        text = "slurmctld must be restarted for it, and aistation.toml names no command"
        raise UnsafePlan(text, hint='say how: [slurm] restart_controller = ["systemctl", "restart", "slurmctld"]')


def _put_back_spec(path: Path, text: str | None) -> None:
    """Let the cluster file say what Slurm is about to be; first, so that an interrupted one is finished that way."""
    if text is not None and read_text(path) != text:
        write_spec(path, text)


class _Work:
    """One plan, carried out with the lock held."""

    def __init__(
        self, target: Target, wish: Wish, plan: Plan, *, place: Place, watcher: Watcher, witness: Witness
    ) -> None:
        self._target, self._wish, self._plan, self._place = target, wish, plan, place
        self._watcher, self._witness = watcher, witness
        self._begun = time.monotonic()
        self._config = target.slurm.read.config()

    def note(self, interrupted: Entry | None) -> Outcome:
        """Note a cluster file that says the same in other words; without it, a rollback would lose them."""
        if interrupted is None and self._target.history.last_applied() == self._wish.text:
            return Outcome(plan=self._plan)
        entry = self._begin(interrupted)
        return Outcome(plan=self._plan, number=end(entry, State.DONE).number)

    def run(self, interrupted: Entry | None) -> Outcome:
        """Carry the plan out, and look again."""
        before = self._look()
        canary = try_canary(self._target, self._wish.spec, before) if self._needs_canary else None
        entry = self._begin(interrupted)
        execution = self._execute(entry)
        found = self._look_again(before)
        said = canary.again(self._target, look_at_health(self._target.slurm)) if canary and not found else None
        if found or (said and said.worse):
            undo(self._target, entry, execution, "; ".join([*found, *(said.worse if said else [])]), self._watcher.say)
        self._witness("before the end")
        end(entry, State.DONE)
        return self._outcome(entry, execution, said.notes if said else ())

    @property
    def _needs_canary(self) -> bool:
        return self._wish.canary and any(isinstance(each, WriteFile) for each in self._plan.changes)

    def _begin(self, interrupted: Entry | None) -> Entry:
        files = {each.path: swap_of(each) for each in self._plan.changes if isinstance(each, WriteFile)}
        entry = Entry(
            kind=self._wish.kind,
            undoes=self._wish.undoes,
            when=datetime.now(UTC),
            who=whoever(),
            cluster_file=self._target.cluster_file.absolute(),
            checksum=self._plan.checksum,
            steps=tuple(map(str, self._plan.changes)),
            tells=tells_of(self._plan.changes),
            lines=tuple(self._plan.lines()),
            effect=str(self._plan.effect),
        )
        self._witness("before the history")
        entry = self._target.history.begin(entry, spec=self._wish.text, files=list(files.values()))
        if interrupted:
            end(interrupted, State.FAILED, f"{interrupted.told()}; {entry.kind} {entry.number} went on from there")
        if self._wish.kind == "rollback":
            _put_back_spec(self._target.cluster_file, self._wish.text)
        return entry

    def _execute(self, entry: Entry) -> Execution:
        execution = self._execution(entry)
        try:
            self._steps(entry, execution)
        except AistationError as error:
            if execution.has_touched and not execution.is_told:
                undo(self._target, entry, execution, str(error), self._watcher.say)
            with suppress(AistationError):
                done = end(entry, State.FAILED, str(error)).done
                self._watcher.say(
                    f"{done} of {len(entry.steps)} steps were done, and stay; no file of Slurm is half new"
                )
                self._watcher.say("the next apply goes on from there, `aistation cluster rollback` takes them back")
            raise
        return execution

    def _execution(self, entry: Entry) -> Execution:
        place = self._place
        names = [each.path.name for each in self._plan.changes if isinstance(each, WriteFile)]
        down = [f"down, with the files that they have: {fold(place.left_out)}"] if place.left_out else []
        for text in (*place.cannot_carry(names), *down):
            self._watcher.say(f"note: {text}")
        return Execution(
            self._plan,
            self._target.slurm,
            settings=self._target.settings.slurm,
            kept={each.path: entry.before_path(each) for each in entry.files if each.was_there},
            place=place,
            witness=self._witness,
        )

    def _steps(self, entry: Entry, execution: Execution) -> None:
        of, steps = len(self._plan.changes), execution.run()
        for number, change in enumerate(self._plan.changes, start=1):
            begun = time.monotonic()
            self._watcher.begins(number, of, change)
            next(steps)
            self._witness(f"after {change}")
            note_step(entry, str(change))
            self._watcher.done(number, of, change, time.monotonic() - begun)

    def _look(self) -> Health:
        found = look_at_health(self._target.slurm)
        return with_slurmds(found, port=self._port) if self._tells and self._wish.watch else found

    @property
    def _tells(self) -> bool:
        return any(isinstance(each, TellController | RestartNodes) for each in self._plan.changes)

    @property
    def _port(self) -> int:
        return port_of(self._config.get("SlurmdPort", ""))

    def _look_again(self, before: Health) -> list[str]:
        user = self._config.get("SlurmUser", "").partition("(")[0]
        watch = WATCH if self._tells and self._wish.watch else 0.0
        return look_again(self._target.slurm, before, slurm_user=user, watch=watch, port=self._port)

    def _outcome(self, entry: Entry, execution: Execution, notes: tuple[str, ...]) -> Outcome:
        by_hand = () if restarts_by_reconfigure(self._config) else tuple(execution.by_hand)
        return Outcome(
            plan=self._plan,
            number=entry.number,
            left=self._left(),
            by_hand=by_hand,
            canary=notes,
            seconds=time.monotonic() - self._begun,
        )

    def _left(self) -> Plan:
        """Return what Slurm still is not; slurmdbd and each slurmd tell slurmctld in their own time."""
        give_up = time.monotonic() + SETTLES
        while (left := self._target.plan(self._wish.spec)) and self._tells and time.monotonic() < give_up:
            time.sleep(0.5)
        return left
