"""Slurm's configuration files by Slurm's own grammar, each line with the file and the number where it stands.

Keys in any case, `\\` at a line's end, `#` but not `\\#`, values in quotes, `Include FILE` with `%c` for the cluster's
name (slurm.conf(5)). An Include knows no wildcards, and is looked for beside the file that it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.errors import SpecError

_PAIR = re.compile(r'\s*([A-Za-z0-9_.]+)\s*[-*+/]?=\s*(?:"([^"]*)"|(\S+))(?=\s|$)')
_INCLUDE = re.compile(r"include\s+(\S+)(.*)", re.IGNORECASE)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)#.*")
_CONTINUED = re.compile(r"(?<!\\)((?:\\\\)*)\\\s*$")
_DEEPEST = 20
NOUNS = frozenset({"nodename", "partitionname", "nodeset", "downnodes", "frontendname", "switchname", "name"})
"""Keys that begin a line of their own; whatever begins with another is a key of the whole cluster."""


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line: continued lines are joined, comments gone."""

    path: Path
    number: int
    text: str
    pairs: Mapping[str, str] = field(default_factory=dict)
    """Key in lower case -> value, without its quotes."""
    rest: str = ""
    """What can't be read as KEY=VALUE, and all behind it."""

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.path}:{self.number}"

    @property
    def noun(self) -> str:
        """What the line is about: `nodename`, `partitionname`, or the key that it sets."""
        return next(iter(self.pairs), "")

    @property
    def name(self) -> str:
        """The value of its first key."""
        return next(iter(self.pairs.values()), "")

    def get(self, key: str) -> str:
        """Return the key's value, or nothing."""
        return self.pairs.get(key.lower(), "")


@dataclass(frozen=True, slots=True)
class Conf:
    """A file of Slurm's, with all that it includes, in the order in which Slurm reads it."""

    path: Path
    lines: tuple[Line, ...] = ()
    files: tuple[Path, ...] = ()
    """Every file that was read, the first one first."""
    lost: tuple[tuple[Line, Path], ...] = ()
    """Each Include whose file is not there."""
    _by_noun: dict[str, list[Line]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.lines:
            self._by_noun.setdefault(line.noun, []).append(line)

    def of(self, noun: str) -> tuple[Line, ...]:
        """Return the lines about this noun."""
        return tuple(self._by_noun.get(noun.lower(), ()))

    def line_of(self, key: str) -> Line | None:
        """Return the line that sets a key of the whole cluster: the last one, which wins."""
        return next(reversed(self.of(key)), None)

    def value(self, key: str) -> str:
        """Return the value of a key of the whole cluster, or nothing."""
        line = self.line_of(key)
        return line.name if line else ""

    def where(self, key: str) -> str:
        """Return `file:line` of a key, or the file where it has none."""
        line = self.line_of(key)
        return line.where if line else str(self.path)


def read_conf(path: Path, texts: Mapping[Path, str] | None = None) -> Conf:
    """Return what the file says; `texts` are files as they are to be, read instead of what is on disk.

    Raises:
        SpecError: it can't be read.
    """
    reading = _Reading(texts or {})
    reading.read(path)
    return Conf(path, tuple(reading.lines), tuple(reading.files), tuple(reading.lost))


@dataclass(slots=True)
class _Reading:
    texts: Mapping[Path, str]
    lines: list[Line] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    lost: list[tuple[Line, Path]] = field(default_factory=list)

    def read(self, path: Path, depth: int = 0) -> None:
        self.files.append(path)
        for number, text in logical_lines(_text_of(path, self.texts)):
            if found := _INCLUDE.match(text):
                self._include(Line(path, number, text, rest=found[2].strip()), found[1], depth)
                continue
            line = read_line(text, path=path, number=number)
            self.lines.append(line)

    def _include(self, line: Line, name: str, depth: int) -> None:
        path = line.path.parent / name.replace("%c", self._cluster())
        if depth >= _DEEPEST or not (path in self.texts or path.is_file()):
            self.lost.append((line, path))
            return
        self.read(path, depth + 1)

    def _cluster(self) -> str:
        return next((line.name.lower() for line in self.lines if line.noun == "clustername"), "%c")


def _text_of(path: Path, texts: Mapping[Path, str]) -> str:
    if path in texts:
        return texts[path]
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        hint = "say where it is: [slurm] conf in aistation.toml, or SLURM_CONF"
        raise SpecError(f"can't be read ({error.strerror})", where=str(path), hint=hint) from error


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of its first line, text) of each line that says something."""
    held, first = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        first = first if held else number
        line = held + _COMMENT.sub(r"\1", raw.rstrip("\r"))
        if _CONTINUED.search(line):
            held = _CONTINUED.sub(r"\1", line) or " "
            continue
        held = ""
        if line.strip():
            yield first, re.sub(r"\\(.)", r"\1", line).strip()
    if held.strip():
        yield first, held.strip()


def read_line(text: str, *, path: Path, number: int) -> Line:
    """Return one logical line, split into its pairs."""
    pairs, at = {}, 0
    while found := _PAIR.match(text, at):
        pairs[found[1].lower()] = found[3] if found[2] is None else found[2]
        at = found.end()
    return Line(path, number, text, pairs, text[at:].strip())
