"""Slurm's files as they would be are checked before they are written: by the linter, then by a shadow slurmctld."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from aistation_slurm.cluster.changes import CreateQos, DeleteQos, RestartController, WriteFile
from aistation_slurm.cluster.lint import Files, Finding, Running, lint
from aistation_slurm.cluster.lint.look import look_at, read_files
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.cluster.shadow.conf import Known
from aistation_slurm.cluster.shadow.shadow import Verdict, try_files
from aistation_slurm.errors import UnsafePlan
from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.connect import Slurm

HINT = "nothing was changed"
_ENDS_AT_RECONFIGURE = ("nodes-added-needs-restart", "restart")
"""Slurm starts with such files; before 23.11 it ends where it runs and is told to read them (slurm.conf(5))."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks of Slurm's files found."""

    findings: tuple[Finding, ...] = ()
    shadow: Verdict | None = None
    """None where the linter had found enough, or it was not wanted."""
    restarts: bool = False
    """True where the plan restarts slurmctld, instead of telling it to read its files again."""

    def lines(self) -> list[str]:
        """Return each finding as one line, the worst first, and what became of the shadow."""
        return [*map(str, self.findings), *([str(self.shadow)] if self.shadow else [])]

    def refusals(self) -> list[str]:
        """Return why these files must not be written."""
        said = [str(each) for each in self.findings if each.level in {"fatal", "kills jobs"}]
        is_refused = self.shadow and self.shadow.tried and not self.shadow.started
        return [*said, str(self.shadow)] if is_refused else said

    def as_dict(self) -> dict[str, object]:
        """Return the report for `--json`."""
        shadow = asdict(self.shadow) if self.shadow else None
        return {"findings": [asdict(each) for each in self.findings], "shadow": shadow, "refusals": self.refusals()}

    def raise_if_refused(self) -> None:
        """Do nothing where the files may be written, and slurmctld told to read them.

        Raises:
            UnsafePlan: slurmctld would end, or a job.
        """
        found = () if self.restarts else self.findings
        at_reconfigure = [str(each) for each in found if (each.rule, each.level) == _ENDS_AT_RECONFIGURE]
        if refusals := [*self.refusals(), *at_reconfigure]:
            raise UnsafePlan(refusals[0], hint="\n".join([*refusals[1:], HINT]))


def check_files(
    settings: SlurmSettings,
    *,
    slurm: Slurm | None = None,
    plan: Plan | None = None,
    shadow: bool = True,
) -> Report:
    """Return what is wrong with Slurm's files as they are, or as they would be after this plan.

    Raises:
        SpecError: slurm.conf can't be read.
        SlurmError: Slurm can't be asked what it runs with.
    """
    texts = {change.path: change.text for change in _changes(plan, WriteFile)}
    files = read_files(settings.conf, texts)
    running = _after(plan, look_at(files, settings, texts, slurm))
    findings, restarts = tuple(lint(files, running)), any(_changes(plan, RestartController))
    if not shadow or any(each.level == "fatal" for each in findings):
        return Report(findings, restarts=restarts)
    return Report(findings, _shadow(files, texts, running, settings), restarts=restarts)


def _shadow(files: Files, texts: Mapping[Path, str], running: Running, settings: SlurmSettings) -> Verdict:
    return try_files(files.conf, texts, known=known_of(running), bin=settings.bin)


def known_of(running: Running) -> Known:
    """Return what slurmdbd has, as the linter has seen it."""
    tres = running.config.get("AccountingStorageTRES", "").lower()
    return Known(qos=running.qos or frozenset(), tres=frozenset(tres.split(",")) if tres else None)


def _after(plan: Plan | None, running: Running) -> Running:
    """Return what Slurm will run with once the plan has made its QOS, which it does before it writes a file."""
    if running.qos is None or plan is None:
        return running
    made = {name.lower() for change in _changes(plan, CreateQos) for name in change.names}
    gone = {name.lower() for change in _changes(plan, DeleteQos) for name in change.names}
    return replace(running, qos=(running.qos | made) - gone)


def _changes(plan: Plan | None, kind: type[T]) -> Iterable[T]:
    return [change for change in plan.changes if isinstance(change, kind)] if plan else []


def changes_files(plan: Plan) -> bool:
    """True where the plan writes a file, and so needs these checks."""
    return any(isinstance(change, WriteFile) for change in plan.changes)
