"""Slurm's files are replaced on this host, one whole file after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aistation_slurm.cluster.writing.moves import Move, Swap, moves
from aistation_slurm.cluster.writing.whole import AS_ROOT, beside, drop, stage, switch
from aistation_slurm.errors import NotPermitted

Witness = Callable[[str], None]
"""Is told of every moment at which a death would leave something else behind."""


def nobody(_: str) -> None:
    """Watch nothing."""


def content(path: Path) -> bytes | None:
    """Return what stands in the file; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace_files(
    swaps: Sequence[Swap], *, conf_dir: Path, kept: Mapping[Path, Path] | None = None, witness: Witness = nobody
) -> None:
    """Replace these files; `kept` are copies of what they are to be, for a disk that is full.

    Raises:
        NotPermitted: one can't be written; those before it are replaced.
    """
    for move in moves(swaps, conf_dir=conf_dir):
        witness(f"replacing {move.path.name}")
        try:
            _replace(move, (kept or {}).get(move.path), witness)
        except OSError as error:
            drop([move.path])
            where = str(move.path)
            raise NotPermitted(f"can't be written ({error.strerror})", where=where, hint=AS_ROOT) from error


def _replace(move: Move, kept: Path | None, witness: Witness) -> None:
    if move.content is None:
        move.path.resolve().unlink(missing_ok=True)
        return
    before = _written(move.path)
    is_kept = kept is not None and content(kept) == move.content
    stage(move.path, move.content, kept=kept if is_kept else None)
    if move.path.suffix == ".lua":  # slurmctld reads what is newer by a whole second, no other
        newer = max(int(time.time()), before + 1)
        os.utime(beside(move.path), (newer, newer))
    witness(f"staged {move.path.name}")
    switch(move.path)


def _written(path: Path) -> int:
    """Return when the file was last written, in whole seconds since 1970."""
    with suppress(FileNotFoundError):
        return int(path.stat().st_mtime)
    return 0
