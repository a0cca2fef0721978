"""Trackable resources: `cpu=4,mem=7G,gres/gpu=2`, and the GRES strings beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.units import read_memory, write_memory

Tres = dict[str, int]
"""TRES name -> amount. Memory (`mem`) is in MiB, everything else is a count."""

_GRES = re.compile(
    r"(?:gres[:/])?(?P<name>[a-z_]+)"
    r"(?::(?P<type>[A-Za-z_][\w.\-]*|\(null\)|\d+[A-Za-z_][\w.\-]*))?"
    r"(?:[:=](?P<count>\d+)(?P<unit>[KMG]?))?"
    r"(?:\((?:S|IDX):(?P<where>[^)]*)\))?"
)


def read_tres(text: str) -> Tres:
    """Return `cpu=4,mem=7G,gres/gpu:v100=2` as a mapping; an empty text is an empty mapping.

    Raises:
        SlurmUnreadable: a part has no `=`.
    """
    tres: Tres = {}
    for part in filter(None, text.split(",")):
        name, equals, amount = part.rpartition("=")
        if not equals:
            raise SlurmUnreadable(f"{part!r} is no TRES")
        if amount in {"", "-1", "N/A"}:
            continue
        tres[name] = read_memory(amount) if name in {"mem", "fs/disk"} else int(float(amount))
    return tres


def write_tres(tres: Mapping[str, int]) -> str:
    """Return the mapping as Slurm writes it, sorted by name."""
    return ",".join(
        f"{name}={write_memory(amount) if name == 'mem' else amount}" for name, amount in sorted(tres.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gres:
    """One generic resource of a node: `gpu:v100:8(S:0-1)`."""

    name: str
    type: str = ""
    count: int = 1
    where: str = ""
    """Socket list (`S:`) of a configured GRES, index list (`IDX:`) of a used one; without its letters."""


def read_gres(text: str) -> tuple[Gres, ...]:
    """Return `gpu:v100:8(S:0-1),shard:v100:16` as a tuple; `(null)` and an empty text are empty.

    Raises:
        SlurmUnreadable: a part is no GRES.
    """
    if text in {"", "(null)", "N/A", "none"}:
        return ()
    return tuple(_one_gres(part) for part in re.split(r",(?![^(]*\))", text))


def _one_gres(part: str) -> Gres:
    match = _GRES.fullmatch(part.strip())
    if not match:
        raise SlurmUnreadable(f"{part!r} is no GRES")
    scale = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}[match["unit"] or ""]
    kind = match["type"] or ""
    return Gres(
        name=match["name"],
        type="" if kind == "(null)" else kind,
        count=int(match["count"] or 1) * scale,
        where=match["where"] or "",
    )
