"""The site's own slurm.conf: read, never written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.cluster.conf import NOUNS, read_conf

CONF = "aistation.conf"
"""Our own file, which the site's includes."""


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
    conf = read_conf(path)
    includes = [*conf.files[1:], *(lost for _, lost in conf.lost)]
    site = SiteConf(path, includes=[each.name for each in includes])
    for line in conf.lines:
        if line.path.name == CONF and line.path != path:
            continue
        if line.noun == "partitionname":
            site.partitions[line.name] = line.where
        if line.noun not in NOUNS:
            site.keys.update({key: (value, line.where) for key, value in line.pairs.items()})
    return site
