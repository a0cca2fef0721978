"""Hosts that hold older files get this one's: they were down, or an apply was cut off before it came to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aistation_slurm.cluster.places import Place, differing
from aistation_slurm.cluster.places.base import digest
from aistation_slurm.cluster.wanted.files import is_ours
from aistation_slurm.cluster.writing.replacing import content
from aistation_slurm.node.folder import NAMES

SLURM_CONF = "slurm.conf"


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
    """Return name -> text of what other hosts are to hold: slurm.conf, what we wrote, and None for one of ours gone.

    What the site wrote itself may differ from host to host, such as a cgroup.conf, and is none of our business.
    """
    found = {name: content(conf_dir / name) for name in sorted(NAMES)}
    texts = {name: None if text is None else text.decode("utf-8", "surrogateescape") for name, text in found.items()}
    return {name: text for name, text in texts.items() if _is_for_all(name, text)}


def _is_for_all(name: str, text: str | None) -> bool:
    if text is None:
        return name.startswith("aistation")
    return name == SLURM_CONF or is_ours(text)
