"""The site's own slurm.conf, with the files that it includes: what it says, and the very text of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.cluster.conf import NOUNS, Conf, read_conf
from aistation_slurm.cluster.site.text import read_exactly

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
    texts: Mapping[Path, str] = field(default_factory=dict)
    """The text of each of these files, byte for byte (`site_text.read_exactly`); empty where nobody has read them."""
    locked: frozenset[Path] = frozenset()
    """Those that are not ours to edit, since they stand in another folder."""

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
    texts = {each: read_exactly(each) for each in conf.files if not is_ours_by_name(each, path)}
    return site_of(conf, texts, locked=frozenset(each for each in texts if _is_locked(each, path)))


def site_of(conf: Conf, texts: Mapping[Path, str], *, locked: frozenset[Path] = frozenset()) -> SiteConf:
    """Return what these files of the site say, our own left out."""
    includes = [*conf.files[1:], *(lost for _, lost in conf.lost)]
    site = SiteConf(conf.path, includes=[each.name for each in includes], texts=texts, locked=locked)
    for line in conf.lines:
        if is_ours_by_name(line.path, conf.path):
            continue
        if line.noun == "partitionname":
            site.partitions[line.name] = line.where
        if line.noun not in NOUNS:
            site.keys.update({key: (value, line.where) for key, value in line.pairs.items()})
    return site


def is_ours_by_name(path: Path, slurm_conf: Path) -> bool:
    """True where the file is the one that we write, not the site's."""
    return path.name == CONF and path != slurm_conf


def _is_locked(path: Path, slurm_conf: Path) -> bool:
    return path.resolve().parent != slurm_conf.resolve().parent
