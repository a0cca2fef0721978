"""A plan's changes are made, one after the other, and what was touched can be put back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aistation_slurm.cluster.applying.catching_up import catch_up
from aistation_slurm.cluster.applying.restart import answers, restart_controller, restart_nodes
from aistation_slurm.cluster.changes import (
    Change,
    EditLines,
    EditLinesFirst,
    RestartController,
    RestartNodes,
    TellController,
    WriteFile,
    WriteRules,
)
from aistation_slurm.cluster.places import Place
from aistation_slurm.cluster.places.handed import NothingToBring
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.cluster.planning.storage import ChangeStorage
from aistation_slurm.cluster.writing.moves import Swap
from aistation_slurm.cluster.writing.replacing import Witness, content, nobody, replace_files
from aistation_slurm.errors import SlurmError, SlurmRefused, SlurmUnreachable, StalePlan
from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.connect import Slurm

PATIENCE = 15.0
"""Seconds that slurmdbd has to tell slurmctld of a new QOS; it takes a tenth of one."""


class Execution:
    """Makes the changes of one plan."""

    def __init__(
        self,
        plan: Plan,
        slurm: Slurm,
        *,
        settings: SlurmSettings | None = None,
        kept: Mapping[Path, Path] | None = None,
        place: Place | None = None,
        witness: Witness = nobody,
    ) -> None:
        self._plan, self._slurm, self._settings, self._witness = plan, slurm, settings, witness
        self._kept, self._place = kept or {}, place or NothingToBring()
        self._files = [change for change in plan.changes if isinstance(change, WriteFile)]
        first = self._files[0].path if self._files else Path()
        self._conf_dir = settings.conf.parent if settings else first.parent
        self._swaps: list[Swap] = []
        self._told: list[Change] = []
        self._tells = [each for each in plan.changes if isinstance(each, TellController | RestartNodes)]
        self._is_told = self._has_written = False
        self.by_hand: list[str] = []
        """What is left to a person, as sentences."""

    @property
    def has_touched(self) -> bool:
        """True once a file was replaced, or a daemon told."""
        return bool(self._swaps or self._told)

    @property
    def is_told(self) -> bool:
        """True once slurmctld and the nodes have taken the new files: what follows leaves them as they are."""
        return self._is_told

    def run(self) -> Iterator[Change]:
        """Yield each change once it is made.

        Raises:
            SlurmError: Slurm refused it, or a file can't be written; what was touched is as it was left.
            StalePlan: a file of the site's is not what it was when the plan was made.
        """
        for change in self._plan.changes:
            self._witness(f"before {change}")
            self._make(change)
            self._is_told = self._is_told or (bool(self._tells) and change is self._tells[-1])
            yield change

    def _make(self, change: Change) -> None:
        match change:
            case WriteRules():
                self._write_rules(change)
            case EditLinesFirst():
                self._write([change])
            case WriteFile():
                self._write_all()
            case TellController():
                self._tell(change)
            case RestartNodes():
                self._restart_nodes(change)
            case _:
                make_row(self._slurm, change)

    def _write_all(self) -> None:
        """Write all files but the rules at once: on every host, or on none."""
        if self._has_written:
            return
        self._has_written = True
        tells = [change for change in self._plan.changes if isinstance(change, TellController)]
        self._wait_for_qos(frozenset().union(*(change.qos for change in tells)))
        self._write([each for each in self._files if not isinstance(each, WriteRules | EditLinesFirst)])

    def _write(self, files: list[WriteFile]) -> None:
        _raise_if_stale(files)
        self._place.stage({each.path.name: each.text or None for each in files})
        try:
            self._replace([swap_of(each) for each in files])
            self._place.switch()
        except BaseException:
            self._place.drop()
            raise

    def _write_rules(self, change: WriteRules) -> None:
        """Write one file of the rules; after the last one, a second controller gets them all."""
        self._replace([swap_of(change)])
        rules = [each for each in self._files if isinstance(each, WriteRules)]
        if change is rules[-1]:
            self._place.stage({each.path.name: each.text or None for each in rules})
            self._place.switch()

    def _replace(self, swaps: Sequence[Swap]) -> None:
        self._swaps += swaps
        replace_files(swaps, conf_dir=self._conf_dir, witness=self._witness)

    def _wait_for_qos(self, needed: frozenset[str]) -> None:
        """Return once slurmctld knows every QOS that the files name: one that it doesn't know is fatal to it.

        Raises:
            SlurmUnreachable: slurmdbd did not tell it in time; no file was written.
        """
        give_up = time.monotonic() + PATIENCE
        while needed and (missing := needed - self._slurm.read.loaded_qos()):
            if time.monotonic() > give_up:
                text = f"slurmctld has not heard of QOS {', '.join(sorted(missing))} from slurmdbd"
                hint = "are they connected? `sacctmgr show cluster` names the controller's host"
                raise SlurmUnreachable(text, hint=hint)
            time.sleep(0.1)

    def _tell(self, change: TellController) -> None:
        self._wait_for_qos(change.qos)
        self._told.append(change)
        self._tell_again(change)

    def _tell_again(self, change: Change) -> None:
        if not isinstance(change, RestartController):
            self._slurm.write.reconfigure()
        elif self._settings:
            restart_controller(self._settings, self._slurm)
        else:
            raise SlurmRefused("slurmctld must be restarted, and nobody said how", hint="[slurm] restart_controller")

    def _restart_nodes(self, change: RestartNodes) -> None:
        self._told.append(change)
        if not (self._settings and restart_nodes(self._settings, change.nodes)):
            self.by_hand.append(f"restart slurmd on {change.nodes}: {change.why}")

    def put_back(self) -> None:
        """Make every file what it was before, on every host, and tell whom was told.

        Raises:
            SlurmError: Slurm can't be told; the files are as they were.
        """
        swaps = [each.back() for each in _joined(self._swaps)]
        replace_files(swaps, conf_dir=self._conf_dir, kept=self._kept, witness=self._witness)
        self._place.drop()
        self._place.back()
        catch_up(self._place, self._conf_dir, self._witness)
        for change in tuple(self._told):
            self._witness(f"telling again: {change}")
            if isinstance(change, RestartNodes):
                self._restart_nodes(change)
            else:
                self._tell_of_old_files(change)

    def _tell_of_old_files(self, change: Change) -> None:
        """Tell slurmctld; where the new files have ended it, start it."""
        try:
            self._tell_again(change)
        except SlurmError:
            if not self._settings or answers(self._slurm, within=2):
                raise
            restart_controller(self._settings, self._slurm)


def _raise_if_stale(files: list[WriteFile]) -> None:
    for change in files:
        if isinstance(change, EditLines) and content(change.path) != _bytes(change.old or ""):
            hint = "nothing of Slurm's files was changed; look again: aistation cluster plan"
            raise StalePlan("was changed since the plan was made", where=str(change.path), hint=hint)


def swap_of(change: WriteFile) -> Swap:
    """Return the file as it stands and as it is to be: no text is no file, other than UTF-8 stays as it was read."""
    return Swap(change.path, content(change.path), _bytes(change.text) if change.text else None)


def _joined(swaps: Sequence[Swap]) -> list[Swap]:
    """Return one swap for each file: from what stood there first to what stands there now."""
    joined: dict[Path, Swap] = {}
    for each in swaps:
        first = joined.get(each.path, each)
        joined[each.path] = Swap(each.path, first.old, each.new)
    return list(joined.values())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def make_row(slurm: Slurm, change: Change) -> None:
    """Make a change that is no file and tells no daemon: a row of slurmdbd's, or a quota of a file system.

    Raises:
        SlurmError: Slurm refused it.
        StorageError: the file system refused it.
    """
    if isinstance(change, ChangeStorage):
        change.carry_out()
    else:
        slurm.write.sacctmgr(*change.argv()[1:])
