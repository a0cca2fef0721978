"""A file of the site's with single lines edited, so that what stood there can be told from the file alone.

An edited line ends with `# aistation: was` and the line as it stood; one that we added, with `# aistation: added`; one
that we took out is nothing but such a comment. Every other byte stays: a file is read as bytes, whatever they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.cluster.changes import LineEdit
from aistation_slurm.errors import SpecError

OUR_MARK = "# aistation: "
WAS, ADDED = f"{OUR_MARK}was ", f"{OUR_MARK}added"


@dataclass(slots=True)
class Slot:
    """One line as the site wrote it, what stands there now, and what we put behind it."""

    original: str
    end: str
    """`\\n`, `\\r\\n`, or nothing at the end of a file without a last line end."""
    now: str | None = None
    """What stands there instead; empty where the line was taken out, None where it is as the site wrote it."""
    added: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        """What Slurm reads there."""
        return self.original if self.now is None else self.now


class SiteText:
    """The text of one file of the site's; line numbers are those of the file as the site wrote it, from 1."""

    def __init__(self, text: str) -> None:
        self.slots = [Slot("", "")]  # the first one holds what we put above the first line
        last = "\n"
        for content, end in _lines(text):
            said, mark, was = _taken_apart(content)
            last = end
            if mark == ADDED:
                self.slots[-1].added.append(said)
            elif mark == WAS:
                self.slots.append(Slot(was, end, said))
            else:
                self.slots.append(Slot(content, end))
        if len(self.slots) > 1 and self.slots[-1].added:
            self.slots[-1].end = last  # of the file, whose last line is ours

    def original(self) -> str:
        """Return the text as the site wrote it."""
        return "".join(slot.original + slot.end for slot in self.slots)

    def text(self) -> str:
        """Return the text with our edits."""
        return "".join(content + end for content, end in self._written())

    def restore(self) -> SiteText:
        """Return the file without any edit of ours."""
        return SiteText(self.original())

    def contents(self) -> Iterator[str]:
        """Yield each line as Slurm reads it: without our marks, with the lines that we added."""
        for slot in self.slots:
            yield from (slot.content, *slot.added)

    def set(self, number: int, content: str) -> None:
        """Let this stand in the line, or nothing: it is taken out."""
        slot = self.slots[number]
        slot.now = None if content == slot.original else content

    def add(self, content: str, *, after: int | None = None) -> None:
        """Put a line behind this one, or at the end."""
        self.slots[-1 if after is None else after].added.append(content)

    def content(self, number: int) -> str:
        """Return the line as the site wrote it, without its end."""
        return self.slots[number].original

    @property
    def can_grow(self) -> bool:
        """True where a line can be added at the end: the last one is not to be continued."""
        return not self.slots[-1].original.partition("#")[0].rstrip().endswith("\\")

    def edits_to(self, other: SiteText, path: Path) -> tuple[LineEdit, ...]:
        """Return what changes from this state of the file to another one, by the lines as they stand now."""
        return tuple(self._edits(other, path))

    def _edits(self, other: SiteText, path: Path) -> Iterator[LineEdit]:
        number = 0
        for index, (mine, theirs) in enumerate(zip(self.slots, other.slots, strict=True)):
            number += index > 0
            if mine.content != theirs.content:
                yield LineEdit(path, number, mine.content or None, theirs.content or None)
            more = {_key(line): line for line in theirs.added if line not in mine.added}
            for line in mine.added:
                number += 1
                if line not in theirs.added:
                    yield LineEdit(path, number, line, more.pop(_key(line), None))
            for line in more.values():
                yield LineEdit(path, number + 1, None, line)

    def _written(self) -> Iterator[tuple[str, str]]:
        usual = next((slot.end for slot in self.slots if slot.end), "\n")
        for index, slot in enumerate(self.slots):
            lines = [f"{each}  {ADDED}" for each in slot.added]
            if index:
                lines.insert(0, _marked(slot))
            for line in lines[:-1]:
                yield line, slot.end or usual
            if lines:
                yield lines[-1], slot.end if index else usual


def _key(line: str) -> str:
    """Return what a line of ours is about: its key, and of a node its name too."""
    return line.split(maxsplit=1)[0] if line.lower().startswith(("nodename", "include")) else line.partition("=")[0]


def _marked(slot: Slot) -> str:
    return slot.original if slot.now is None else f"{slot.now}  {WAS}{slot.original}".lstrip()


def _taken_apart(content: str) -> tuple[str, str, str]:
    """Return what stands in the line, the mark that it bears, and what stood there before."""
    said, mark, rest = content.partition(OUR_MARK)
    if mark and rest.startswith("was "):
        return said.rstrip(), WAS, rest.removeprefix("was ")
    if mark and rest.rstrip() == "added":
        return said.rstrip(), ADDED, ""
    return content, "", ""


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield each line and its end; a carriage return before the end belongs to it, one elsewhere does not."""
    at = 0
    while at < len(text):
        found = text.find("\n", at)
        stop = len(text) if found < 0 else found + 1
        line = text[at:stop]
        end = "\r\n" if line.endswith("\r\n") else "\n" if line.endswith("\n") else ""
        yield line.removesuffix(end) if end else line, end
        at = stop


def read_exactly(path: Path) -> str:
    """Return the file's text so that writing it again gives the same bytes (`render.write_whole`).

    Raises:
        SpecError: it can't be read.
    """
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except OSError as error:
        hint = "say where it is: [slurm] conf in aistation.toml, or SLURM_CONF"
        raise SpecError(f"can't be read ({error.strerror})", where=str(path), hint=hint) from error
