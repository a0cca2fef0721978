"""In which order Slurm's files are replaced, so that slurmctld could start with what stands there at every moment.

A partition that the site's slurm.conf gives to `aistation.conf`, or takes back, must stand in exactly one of the two at
any time: in both, slurmctld does not start; in neither, it starts and ends that partition's jobs. No two files can be
replaced in one step, so slurmctld is led by one line of one file: for a moment the site's slurm.conf includes the new
`aistation.next.conf`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.cluster.site.conf import CONF

NEXT = "aistation.next.conf"
MAIN = "slurm.conf"
_INCLUDE = re.compile(rb"^([ \t]*include[ \t]+)aistation\.conf(?=[ \t\r]*(?:#.*)?$)", re.IGNORECASE | re.MULTILINE)
_INCLUDE_NEXT = re.compile(rb"^[ \t]*include[ \t]+aistation\.next\.conf\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Swap:
    """One file as it is, and as it is to be; None where there is none."""

    path: Path
    old: bytes | None
    new: bytes | None

    def back(self) -> Swap:
        """Return the way back."""
        return Swap(self.path, self.new, self.old)


@dataclass(frozen=True, slots=True)
class Move:
    """One file that is replaced in one step."""

    path: Path
    content: bytes | None
    """None where it is taken away."""


def moves(swaps: Sequence[Swap], *, conf_dir: Path) -> list[Move]:
    """Return the files in the order in which they are replaced.

    What others may name comes before them, and goes after them: `topology.conf` before the line that wants it.
    """
    main, ours = conf_dir / MAIN, conf_dir / CONF
    pair = {each.path: each for each in swaps if each.path in (main, ours)}
    others = [each for each in swaps if each.path not in pair]
    made = [Move(each.path, each.new) for each in others if each.new is not None]
    gone = [Move(each.path, None) for each in others if each.new is None]
    if main in pair and ours in pair:
        return [*made, *_pair(pair[main], pair[ours]), *gone]
    return [*made, *(Move(each.path, each.new) for each in pair.values()), *gone]


def _pair(main: Swap, ours: Swap) -> list[Move]:
    site, own = Move(main.path, main.new), Move(ours.path, ours.new)
    if not _INCLUDE.search(main.old or b""):
        return [own, site]
    if not _INCLUDE.search(main.new or b""):
        return [site, own]
    following = ours.path.with_name(NEXT)
    led = Move(main.path, _INCLUDE.sub(rb"\1" + NEXT.encode(), main.new or b""))
    return [Move(following, own.content), led, own, site, Move(following, None)]


def is_between(main: bytes) -> bool:
    """True where the site's slurm.conf was left including the file that leads from the old to the new one."""
    return bool(_INCLUDE_NEXT.search(main))
