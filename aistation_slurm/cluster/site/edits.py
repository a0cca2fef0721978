"""The site's own files as they are to be: single lines edited where the cluster file rests on them, the rest as it was.

What is wanted is worked out from the file as the site wrote it, never from an edited one: an edit that nobody needs any
more is gone, and the site's own line stands there again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.cluster.conf import Conf, Line, read_conf
from aistation_slurm.cluster.lint.nodes import nodes_of
from aistation_slurm.cluster.site.conf import CONF, SiteConf, is_ours_by_name
from aistation_slurm.cluster.site.keys import LUA, fixed, site_keys
from aistation_slurm.cluster.site.nodes import NodeEdit, node_edits, shares_of
from aistation_slurm.cluster.site.text import SiteText
from aistation_slurm.errors import SpecError
from aistation_slurm.spec import ClusterSpec

FIRST = frozenset({"AccountingStorageTRES", "GresTypes"})
"""Keys without which slurmdbd knows no limit on GPUs: they must be in force before a QOS has one."""
_INCLUDE = f"Include {CONF}"


@dataclass(frozen=True, slots=True)
class SiteEdits:
    """What becomes of the site's files."""

    files: Mapping[Path, SiteText] = field(default_factory=dict)
    """Each as it is to be."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Key -> its new value, of those that are changed or added."""
    nodes: tuple[NodeEdit, ...] = ()
    settled: frozenset[str] = frozenset()
    """Nodes whose NodeName line is right, or becomes so by these edits."""
    taken_over: tuple[str, ...] = ()
    """Partitions whose line is taken out: we write them from now on."""
    by_hand: tuple[SpecError, ...] = ()
    """Lines that can't be edited safely, each with the exact line to write."""


def wanted_edits(spec: ClusterSpec, site: SiteConf, *, has_lua: bool | None = None) -> SiteEdits:
    """Return the site's files as the cluster file wants them; nothing where they may not be edited, or were not read.

    Where nothing in the cluster file is ours, nothing is wanted: every file is as the site wrote it.
    """
    if not site.texts or spec.slurm.edit == "never":
        return SiteEdits()
    return _Editing(spec, site, has_lua).edits()


class _Editing:
    """The site's files while they are edited."""

    def __init__(self, spec: ClusterSpec, site: SiteConf, has_lua: bool | None) -> None:
        self.spec, self.site, self.has_lua = spec, site, has_lua
        self.files = {path: SiteText(text).restore() for path, text in site.texts.items()}
        texts = {path: file.original() for path, file in self.files.items()}
        self.conf = without_ours(read_conf(site.path, {**texts, site.path.with_name(CONF): ""}))
        self.by_hand: list[SpecError] = []
        self.settled = set(nodes_of(self.conf))

    def edits(self) -> SiteEdits:
        if not self.spec.is_ours:
            return SiteEdits(self.files)
        keys = dict(self._keys())
        nodes = tuple(self._nodes())
        taken = tuple(self._partitions())
        self._include()
        return SiteEdits(self.files, keys, nodes, frozenset(self.settled), taken, tuple(self.by_hand))

    def _keys(self) -> Iterator[tuple[str, str]]:
        for key, value in site_keys(self.spec).items():
            if key in LUA and not self.has_lua:
                continue
            if not (fix := fixed(key, value, self.conf.value(key))):
                continue
            line = self.conf.line_of(key)
            said = f"{key}={fix}"
            if line is None:
                self._add(said, f"lacks {key}")
            elif len(line.pairs) > 1 or not self._is_plain(line):
                self._leave(line, f"{key}={line.name} does not do", f"change it to the line: {said}")
                continue
            else:
                self.files[line.path].set(line.number, said)
            yield key, fix

    def _nodes(self) -> Iterator[NodeEdit]:
        for edit in node_edits(self.spec, self.conf):
            if edit.hindrance or not self._is_plain(edit.line):
                why = edit.hindrance or "it can't be edited safely"
                says = f"{edit.line.name} does not have what the cluster file says"
                self._leave(edit.line, says, f"{why}: write instead: {' and '.join(edit.plain())}")
                self.settled -= set(edit.changed)
                continue
            file = self.files[edit.line.path]
            first, *more = edit.written(file.content(edit.line.number))
            file.set(edit.line.number, first)
            for line in more:
                file.add(line, after=edit.line.number)
            yield edit

    def _partitions(self) -> Iterator[str]:
        for line in self.conf.of("PartitionName"):
            if line.name not in self.spec.managed_groups():
                continue
            if not self._is_plain(line):
                self._leave(line, f"partition {line.name} stands here too", "take that line out: apply writes it anew")
                continue
            self.files[line.path].set(line.number, "")
            yield line.name

    def _include(self) -> None:
        names = {path.name for path in self.conf.files[1:]} | {lost.name for _, lost in self.conf.lost}
        if CONF not in names:
            self._add(_INCLUDE, f"does not include {CONF}")

    def _add(self, said: str, lacks: str) -> None:
        file = self.files[self.site.path]
        if file.can_grow and self.site.path not in self.site.locked:
            file.add(said)
        else:
            self.by_hand.append(SpecError(lacks, where=str(self.site.path), hint=f"add the line: {said}"))

    def _is_plain(self, line: Line) -> bool:
        """True where the line stands in one piece in a file that is ours to edit, and nothing in it is escaped."""
        if line.path in self.site.locked or line.path not in self.files or line.rest:
            return False
        return "\\" not in self.files[line.path].content(line.number).partition("#")[0]

    def _leave(self, line: Line, says: str, hint: str) -> None:
        self.by_hand.append(SpecError(says, where=line.where, hint=hint))


def shares_to_be(site: SiteConf, edits: SiteEdits) -> dict[str, dict[str, int]]:
    """Return node -> shares of its GPUs, as the site's files say once they are edited."""
    if not site.texts:
        return {}
    texts = {**site.texts, **{path: file.text() for path, file in edits.files.items()}}
    return shares_of(without_ours(read_conf(site.path, {**texts, site.path.with_name(CONF): ""})))


def without_ours(conf: Conf) -> Conf:
    """Return the files without the lines of our own."""
    lines = tuple(line for line in conf.lines if not is_ours_by_name(line.path, conf.path))
    return Conf(conf.path, lines, conf.files, conf.lost)


def only_first(now: SiteText, wanted: SiteText, keys: Sequence[str]) -> SiteText:
    """Return the file as it stands, with no more than the edits of these keys."""
    between = SiteText(now.text())
    begins = tuple(f"{key}=" for key in keys)
    for mine, theirs in zip(between.slots, wanted.slots, strict=True):
        if theirs.now is not None and theirs.now.startswith(begins):
            mine.now = theirs.now
        kept = [each for each in mine.added if not each.startswith(begins)]
        mine.added = [*kept, *(each for each in theirs.added if each.startswith(begins))]
    return between
