"""A plan is carried out: QOS and accounts first, then whole files, one reconfigure, rules, deletions last."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aistation_slurm.cluster.changes import Reconfigure, WriteFile, WriteRules
from aistation_slurm.cluster.plan import Plan
from aistation_slurm.cluster.storage import ChangeStorage
from aistation_slurm.errors import NotPermitted, SlurmError, SlurmUnreachable, UnsafePlan
from aistation_slurm.render import write_whole
from aistation_slurm.slurm.connect import Slurm

PATIENCE = 15.0
"""Seconds that slurmdbd has to tell slurmctld of a new QOS; it takes a tenth of one."""
TURNS = 50
AS_ROOT = "run it as root, or as whoever Slurm's files belong to"


def apply(plan: Plan, slurm: Slurm, *, force: bool = False) -> Iterator[str]:
    """Carry the plan out, and yield each change once it is done.

    Where slurmctld refuses the new files, the old ones are put back. What was done before a failure stays: the next
    plan begins there.

    Raises:
        UnsafePlan: it would kill a job or, without `force`, take away too much; nothing was done.
        SlurmError: Slurm refused a change.
    """
    plan.raise_if_unsafe(force=force)
    files = [change for change in plan.changes if isinstance(change, WriteFile)]
    with _alone(files):
        for change in plan.changes:
            if isinstance(change, WriteRules):
                _write_newer(change)
            elif isinstance(change, WriteFile):
                _wait_for_qos(plan, slurm)
                _write(change)
            elif isinstance(change, Reconfigure):
                _wait_for_qos(plan, slurm)
                _reconfigure(slurm, files)
            elif isinstance(change, ChangeStorage):
                change.carry_out()
            else:
                slurm.write.sacctmgr(*change.argv()[1:])
            yield str(change)


def _write(change: WriteFile) -> None:
    try:
        if change.old:
            write_whole(change.path.with_name(f"{change.path.name}.old"), change.old)
        write_whole(change.path, change.text)
    except OSError as error:
        raise NotPermitted(f"can't be written ({error.strerror})", where=str(change.path), hint=AS_ROOT) from error


def _write_newer(change: WriteRules) -> None:
    """Write the file, and date it after the one before: slurmctld reads what is newer by a whole second, no other."""
    try:
        before = int(change.path.stat().st_mtime)
    except FileNotFoundError:
        before = 0
    _write(change)
    newer = max(int(time.time()), before + 1)
    os.utime(change.path, (newer, newer))


def _wait_for_qos(plan: Plan, slurm: Slurm) -> None:
    """Return once slurmctld knows every QOS that the files name: one that it doesn't know is fatal to it.

    Raises:
        SlurmUnreachable: slurmdbd did not tell it in time; no file was written.
    """
    needed = frozenset[str]().union(*(change.qos for change in plan.changes if isinstance(change, Reconfigure)))
    give_up = time.monotonic() + PATIENCE
    while needed and (missing := needed - slurm.read.loaded_qos()):
        if time.monotonic() > give_up:
            text = f"slurmctld has not heard of QOS {', '.join(sorted(missing))} from slurmdbd"
            raise SlurmUnreachable(text, hint="are they connected? `sacctmgr show cluster` names the controller's host")
        time.sleep(0.1)


def _reconfigure(slurm: Slurm, files: list[WriteFile]) -> None:
    try:
        slurm.write.reconfigure()
    except SlurmError:
        for change in files:
            if isinstance(change, WriteRules):  # not written yet
                continue
            write_whole(change.path, change.old or "")
        with suppress(SlurmError):
            slurm.write.reconfigure()
        raise


@contextmanager
def _alone(files: list[WriteFile]) -> Iterator[None]:
    """Hold the folder's lock: two at a time would write each other's files."""
    if not files:
        yield
        return
    path: Path = files[0].path.parent / ".aistation.lock"
    try:
        file = path.open("w")
    except OSError as error:
        raise NotPermitted(f"can't be written ({error.strerror})", where=str(path), hint=AS_ROOT) from error
    with file:
        for attempt in range(TURNS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == TURNS - 1:
                    raise UnsafePlan("another apply is at work", where=str(path), hint="wait for its end") from None
                time.sleep(0.1)
        yield
