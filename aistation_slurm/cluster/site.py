"""The site's own slurm.conf: read, never written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.errors import SpecError

CONF = "aistation.conf"
"""Our own file, which the site's includes."""

_PAIR = re.compile(r'(\w+)\s*=\s*("[^"]*"|\S+)')
_NOUNS = frozenset({"nodename", "partitionname", "nodeset", "downnodes", "frontendname"})
_MANY = 100


@dataclass(frozen=True, slots=True)
class SiteConf:
    """What the site's slurm.conf says, with what it includes (our own file left out)."""

    path: Path
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Key in lower case -> (its last value, `file:line`)."""
    partitions: dict[str, str] = field(default_factory=dict)
    """Name of a partition -> `file:line`."""
    includes: list[str] = field(default_factory=list)
    """Names of the files that it includes."""

    def value(self, key: str) -> str:
        """Return the key's value, or nothing."""
        return self.keys.get(key.lower(), ("", ""))[0]

    def where(self, key: str) -> str:
        """Return `file:line` of the key, or the file where it has none."""
        return self.keys.get(key.lower(), ("", str(self.path)))[1]


def read_site_conf(path: Path) -> SiteConf:
    """Return what the site's slurm.conf says.

    Raises:
        SpecError: it can't be read.
    """
    site = SiteConf(path)
    _read_into(site, path)
    return site


def _read_into(site: SiteConf, path: Path) -> None:
    for number, line in _logical_lines(path):
        word, _, rest = line.partition(" ")
        if word.lower() == "include":
            _include(site, path.parent / rest.strip())
            continue
        pairs = _PAIR.findall(line)
        where = f"{path}:{number}"
        if pairs and pairs[0][0].lower() == "partitionname":
            site.partitions[pairs[0][1]] = where
        if pairs and pairs[0][0].lower() not in _NOUNS:
            site.keys.update({key.lower(): (value.strip('"'), where) for key, value in pairs})


def _include(site: SiteConf, path: Path) -> None:
    site.includes.append(path.name)
    if path.name != CONF and path.is_file() and len(site.includes) < _MANY:
        _read_into(site, path)


def _logical_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, text) without comments, continued lines joined."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        hint = "say where it is: [slurm] conf in aistation.toml, or SLURM_CONF"
        raise SpecError(f"can't be read ({error.strerror})", where=str(path), hint=hint) from error
    held, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        first = first if held else number
        line = held + raw.partition("#")[0].rstrip()
        if line.endswith("\\"):
            held = line[:-1]
            continue
        held = ""
        if line.strip():
            yield first, line.strip()
