"""Trackable resources: `cpu=4,mem=7G,gres/gpu=2`, and the GRES strings beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.units import read_duration, read_memory, write_memory

Tres = dict[str, int]
"""TRES name -> amount. Memory (`mem`) is in MiB, everything else is a count."""

_GRES = re.compile(
    r"(?:gres[:/])?(?P<name>[A-Za-z_]\w*)"
    r"(?::(?P<type>[A-Za-z_][\w.\-]*|\(null\)|(?!\d+[KMGTP](?:$|\())\d+[A-Za-z_.\-][\w.\-]*))?"
    r"(?:[:=](?P<count>\d{1,19})(?P<unit>[KMGTP]?))?"
    r"(?:\((?:S:|IDX:|CNT:)?(?P<where>[^()]*)\))?"
)
_BETWEEN_GRES = re.compile(r",(?![^(]*\))")
_AMOUNT = re.compile(r"(?P<number>\d{1,19}(?:\.\d{1,6})?)(?P<unit>[KMGTP]?)")
_SCALE = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4, "P": 1024**5}
_NO_AMOUNT = frozenset({"", "-1", "N/A", "NONE"})
_NO_GRES = frozenset({"", "(null)", "N/A", "none"})


def read_tres(text: str) -> Tres:
    """Return `cpu=4,mem=7G,gres/gpu:v100=2` as a mapping; an empty text is an empty mapping.

    Raises:
        SlurmUnreadable: a part is no `name=amount`.
    """
    return dict(_read_tres(text)) if text else {}


@lru_cache(maxsize=1024)
def _read_tres(text: str) -> tuple[tuple[str, int], ...]:
    tres: Tres = {}
    for part in filter(None, text.split(",")):
        name, equals, amount = part.rpartition("=")
        if not equals:
            raise SlurmUnreadable(f"{part!r} is no TRES")
        if amount not in _NO_AMOUNT:
            tres[name] = read_memory(amount) if _is_memory(name) else read_amount(amount)
    return tuple(tres.items())


def read_tres_usage(text: str) -> Tres:
    """Return what sacct's TRESUsage fields say was used: CPU in seconds, memory of every kind in MiB.

    With `--noconvert`; without it sacct rounds. `fs/disk` is bytes, `energy` joules.

    Raises:
        SlurmUnreadable: a part is no `name=amount`.
    """
    used: Tres = {}
    for part in filter(None, text.split(",")):
        name, equals, amount = part.rpartition("=")
        if not equals:
            raise SlurmUnreadable(f"{part!r} is no TRES")
        if amount in _NO_AMOUNT:
            continue
        if name == "cpu":
            used[name] = int((read_duration(amount) or timedelta()).total_seconds())
        else:
            used[name] = read_amount(amount) // (_SCALE["M"] if _is_used_memory(name) else 1)
    return used


def write_tres(tres: Mapping[str, int]) -> str:
    """Return the mapping as Slurm writes it, sorted by name."""
    return ",".join(
        f"{name}={write_memory(amount) if _is_memory(name) else amount}" for name, amount in sorted(tres.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gres:
    """One generic resource of a node: `gpu:v100:8(S:0-1)`."""

    name: str
    type: str = ""
    count: int = 1
    where: str = ""
    """Sockets of a configured GRES (`S:`), indices of a used one (`IDX:`), shares on each GPU (`1/4,0/4`, 23.11 on)."""


@lru_cache(maxsize=1024)
def read_gres(text: str) -> tuple[Gres, ...]:
    """Return `gpu:v100:8(S:0-1),shard:v100:16` as a tuple; `(null)` and an empty text are empty.

    Raises:
        SlurmUnreadable: a part is no GRES.
    """
    return () if text in _NO_GRES else tuple(_one_gres(part) for part in _BETWEEN_GRES.split(text))


def _is_memory(name: str) -> bool:
    """True where Slurm counts in MiB and writes a unit (slurmdb_make_tres_string_from_simple)."""
    return name in {"mem", "gres/gpumem"} or name.startswith("bb/")


def _is_used_memory(name: str) -> bool:
    """True where a TRESUsage field counts in bytes that we call MiB (jobacct_gather)."""
    return name in {"mem", "vmem", "gres/gpumem"}


def read_amount(text: str) -> int:
    """Return the number of `12`, `1K` or `1.5K`, which Slurm writes for 1536.

    Raises:
        SlurmUnreadable: it is no amount.
    """
    match = _AMOUNT.fullmatch(text)
    if not match:
        raise SlurmUnreadable(f"{text!r} is no amount")
    return int(float(match["number"]) * _SCALE[match["unit"]]) if "." in text or match["unit"] else int(text)


def _one_gres(part: str) -> Gres:
    match = _GRES.fullmatch(part.strip())
    if not match:
        raise SlurmUnreadable(f"{part!r} is no GRES")
    kind, where, count = match["type"] or "", match["where"] or "", match["count"]
    return Gres(
        name=match["name"],
        type="" if kind == "(null)" else kind,
        count=int(count) * _SCALE[match["unit"]] if count else 1,
        where="" if where == "N/A" else where,
    )
