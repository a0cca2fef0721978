"""An apply that left Slurm worse off is taken back: QOS and accounts that the old files name, the files, the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from aistation_slurm.cluster.applying.execution import Execution, make_row
from aistation_slurm.cluster.applying.restart import answers
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.cluster.changes import EditLines, RestartNodes, TellController, WriteFile
from aistation_slurm.cluster.history.entry import Entry, State
from aistation_slurm.cluster.history.history import end, note_undoing
from aistation_slurm.errors import AistationError, SlurmRefused, TakenBack
from aistation_slurm.spec import load_spec


def undo(target: Target, entry: Entry, execution: Execution, why: str, say: Callable[[str], None]) -> NoReturn:
    """Take back what was done, as far as it was done.

    Raises:
        TakenBack: always; Slurm is as it was before.
        SlurmRefused: it could not be taken back; the next apply begins with that.
    """
    say(f"Slurm is worse off: {why}")
    say("it is taken back ...")
    note_undoing(entry, why)
    kept: list[str] = []
    try:
        if answers(target.slurm):  # QOS first: the old files may name one that was deleted
            kept += _accounting_back(target, entry, ahead=True)
        execution.put_back()
        kept += _accounting_back(target, entry, ahead=False)
    except AistationError as error:
        hint = f"it is tried again by the next `aistation cluster apply`; what was wrong at first: {why}"
        raise SlurmRefused(f"{entry.kind} {entry.number} could not be taken back: {error}", hint=hint) from error
    end(entry, State.UNDONE, why)
    stays = "; ".join([*dict.fromkeys(kept), "the cluster file was left as it is"])
    raise TakenBack(f"{entry.kind} {entry.number} was taken back: {why}", hint=f"Slurm is as before; {stays}")


def _accounting_back(target: Target, entry: Entry, *, ahead: bool) -> list[str]:
    """Bring back what slurmdbd had, and return what stays as it is now.

    `ahead`: only what comes before the files; else all that is left.
    """
    path = entry.spec_before_path
    if path is None:
        return ["QOS and accounts that it made stay, since none were applied before"]
    for change in target.plan(load_spec(path)).changes:
        is_row = not isinstance(change, WriteFile | TellController | RestartNodes)
        if is_row and (change.rank < EditLines.rank or not ahead):
            make_row(target.slurm, change)
    return []
