"""Hosts that hold older files get this one's: they were down, or an apply was cut off before it came to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aistation_slurm.cluster.places import Place, differing
from aistation_slurm.cluster.places.base import digest
from aistation_slurm.cluster.replacing import content
from aistation_slurm.node.folder import NAMES


def catch_up(place: Place, conf_dir: Path, say: Callable[[str], None]) -> bool:
    """Return True once hosts that held other files hold these; False where there were none.

    Raises:
        PlaceError: some host could not take them; nothing has changed on any.
    """
    if not place.hosts:
        return False
    here = files_here(conf_dir)
    seen = place.look(here)
    if not any(held.get(name) != digest(text) for held in seen.files.values() for name, text in here.items()):
        return False
    for line in differing(seen, here):
        say(line)
    place.stage(here)
    place.switch()
    return True


def files_here(conf_dir: Path) -> dict[str, str | None]:
    """Return name -> text of what other hosts are to hold: the files that stand here, and None for one of ours gone."""
    names = sorted(name for name in NAMES if name.startswith("aistation") or (conf_dir / name).exists())
    found = {name: content(conf_dir / name) for name in names}
    return {name: None if text is None else text.decode("utf-8", "surrogateescape") for name, text in found.items()}
