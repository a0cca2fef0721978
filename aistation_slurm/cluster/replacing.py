"""Slurm's files are replaced on this host, one whole file after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.cluster.whole import AS_ROOT, beside, drop, stage, switch
from aistation_slurm.errors import NotPermitted

Witness = Callable[[str], None]
"""Is told of every moment at which a death would leave something else behind."""


def nobody(_: str) -> None:
    """Watch nothing."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One file as it is, and as it is to be; None where there is none."""

    path: Path
    old: bytes | None
    new: bytes | None

    def back(self) -> Swap:
        """Return the way back."""
        return Swap(self.path, self.new, self.old)


def content(path: Path) -> bytes | None:
    """Return what stands in the file; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace_files(swaps: Sequence[Swap], *, kept: Mapping[Path, Path] | None = None, witness: Witness = nobody) -> None:
    """Replace these files, in this order; `kept` are copies of what they are to be, for a disk that is full.

    Raises:
        NotPermitted: one can't be written; those before it are replaced.
    """
    for swap in swaps:
        witness(f"replacing {swap.path.name}")
        try:
            _replace(swap, (kept or {}).get(swap.path), witness)
        except OSError as error:
            drop([swap.path])
            where = str(swap.path)
            raise NotPermitted(f"can't be written ({error.strerror})", where=where, hint=AS_ROOT) from error


def _replace(swap: Swap, kept: Path | None, witness: Witness) -> None:
    if swap.new is None:
        swap.path.resolve().unlink(missing_ok=True)
        return
    before = _written(swap.path)
    is_kept = kept is not None and content(kept) == swap.new
    stage(swap.path, swap.new, kept=kept if is_kept else None)
    if swap.path.suffix == ".lua":  # slurmctld reads what is newer by a whole second, no other
        newer = max(int(time.time()), before + 1)
        os.utime(beside(swap.path), (newer, newer))
    witness(f"staged {swap.path.name}")
    switch(swap.path)


def _written(path: Path) -> int:
    """Return when the file was last written, in whole seconds since 1970."""
    with suppress(FileNotFoundError):
        return int(path.stat().st_mtime)
    return 0
