"""What stands in a training's folder of checkpoints, who may be writing there, and what of it may go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.checkpoint import Checkpoint, CheckpointError, Checkpoints, Claim, Manifest, to_prune
from aistation_slurm.errors import RequestError, SlurmError, UnknownToSlurm
from aistation_slurm.slurm.model import Job

TAKEOVER_AT_MOST = 24 * 3600.0
"""A folder that no run has claimed may be one that a run is just filling; nobody takes a day for that."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One checkpoint, as it looks without reading its state."""

    step: int
    bytes: int
    saved: float | None
    """Seconds since 1970; None where the manifest can't say."""
    run_id: str
    parts: int
    fault: str
    """Why it must not be used, as far as manifest and sizes tell; a flipped bit goes unseen."""
    folder: Path


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that may go, and what it is."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"- {self.path}  ({self.why})"


@dataclass(frozen=True, slots=True)
class Pruning:
    """What would be removed from a folder, what stays, and the bytes that come free."""

    removals: list[Removal]
    kept: list[int]
    """Steps, oldest first."""
    bytes: int

    def __str__(self) -> str:
        steps = ", ".join(map(str, self.kept)) or "none"
        return f"{len(self.removals)} to remove, {self.bytes / 1e6:,.1f} MB come free; steps kept: {steps}"


def open_checkpoints(folder: Path) -> Checkpoints:
    """Return the checkpoints of a folder that a training has used.

    Raises:
        RequestError: none has, or this user may not look.
    """
    try:
        checkpoints = Checkpoints(folder)
        if checkpoints.claims():
            return checkpoints
    except CheckpointError as error:
        raise RequestError(str(error)) from error
    raise RequestError(
        "no training has kept checkpoints here", where=str(folder), hint="it has a folder `claims` in it"
    )


def standing(checkpoints: Checkpoints) -> list[Standing]:
    """Return what stands on the lineage, oldest first."""
    return [_look_at(each) for each in checkpoints.checkpoints()]


def _look_at(each: Checkpoint) -> Standing:
    try:
        manifest = each.manifest()
    except CheckpointError:
        manifest = Manifest({})
    return Standing(
        step=each.step,
        bytes=sum(size for _, size, _ in _inodes([each.folder])),
        saved=manifest.time or None,
        run_id=manifest.run_id,
        parts=manifest.parts,
        fault=each.fault_at_a_glance(),
        folder=each.folder,
    )


def held_by(checkpoints: Checkpoints, job_of: Callable[[int], Job]) -> str:
    """Return who may be writing here, in words; an empty text where nobody can be.

    Args:
        checkpoints: the folder.
        job_of: asks Slurm; called only where the last run has not said that it ended.
    """
    newest = checkpoints.claims()[-1]
    if checkpoints.has_ended(newest):
        return ""
    if not newest.job_id.isdecimal():
        return f"{newest} has not said that it ended, and is no Slurm job that could be asked for"
    try:
        return _alive(newest, job_of(int(newest.job_id)))
    except UnknownToSlurm:
        return ""
    except SlurmError as error:
        return f"{newest} has not said that it ended, and Slurm can't be asked: {error}"


def _alive(newest: Claim, job: Job) -> str:
    return "" if job.state.is_over or job.state.is_waiting else f"{newest} holds it, and is {job.state.value}"


def plan_pruning(
    checkpoints: Checkpoints, *, keep: int, every: int | None, now: float, seen: Callable[[int], object] | None = None
) -> Pruning:
    """Return what may go, having read from the newest checkpoint back to the first whole one: that one never goes."""
    found = checkpoints.checkpoints()
    whole = next((each for each in reversed(found) if not each.fault(seen)), None)
    doomed = [each for each in to_prune(found, keep=keep, every=every) if each != whole]
    removals = [Removal(each.folder, f"step {each.step}, older than the last {keep}") for each in doomed]
    removals += _left_over(checkpoints, now)
    return Pruning(
        removals, [each.step for each in found if each not in doomed], _freed(each.path for each in removals)
    )


def _left_over(checkpoints: Checkpoints, now: float) -> Iterator[Removal]:
    """Yield what no run reads again: folders of replaced runs, and what a killed one has not finished."""
    *older, newest = (claim.run_id for claim in checkpoints.claims())
    for path in sorted((checkpoints.folder / "runs").iterdir()):
        if path.name == newest:
            yield from (Removal(each, "unfinished") for each in sorted(path.glob(".new-*")))
        elif path.name in older:
            yield Removal(path, "of a run that was replaced")
        elif now - path.stat().st_mtime > TAKEOVER_AT_MOST:
            yield Removal(path, "of a run that never took over")


def carry_out(pruning: Pruning) -> None:
    """Remove it; a checkpoint loses its name first, so that half of it never stands under it.

    Raises:
        RequestError: something can't be removed; what came before it is gone.
    """
    for each in pruning.removals:
        aside = each.path.with_name(f".new-old-pruned-{each.path.name}")
        try:
            each.path.rename(aside)
            shutil.rmtree(aside)
        except FileNotFoundError:
            continue  # the training has pruned it itself
        except OSError as error:
            raise RequestError(f"can't be removed: {error.strerror}", where=str(each.path)) from error


def _freed(paths: Iterable[Path]) -> int:
    """Return the bytes that come free: a file counts once its last name goes, and runs share files by hard links."""
    names: dict[int, list[int]] = {}
    for inode, size, links in _inodes(paths):
        names.setdefault(inode, [size, links, 0])[2] += 1
    return sum(size for size, links, going in names.values() if going >= links)


def _inodes(paths: Iterable[Path]) -> Iterator[tuple[int, int, int]]:
    """Yield (inode, bytes, links) of every file below."""
    for path in paths:
        for folder, _, files in os.walk(path):
            for name in files:
                try:
                    found = os.lstat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue  # pruned before our eyes
                yield found.st_ino, found.st_size, found.st_nlink
