"""Where in a shell script a value stands: as a word of its own, or where quoting it would not help.

`shell_word` makes one word of a value where the shell reads words. Inside quotes, in a here-document or in arithmetic
the same quotes are text, and what stands between them is expanded. This finds such places in a template's source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Place = Literal["word", "comment", "'...'", '"..."', "`...`", "$((...))", "${...}", "here-document"]
_HEREDOC = re.compile(r"<<(?P<dash>-?)[ \t]*(?P<quote>['\"\\]?)(?P<end>[A-Za-z_][A-Za-z0-9_]*)")
_OPENS: tuple[tuple[str, Place], ...] = (("$((", "$((...))"), ("((", "$((...))"), ("${", "${...}"), ("$(", "word"))


@dataclass(slots=True)
class Scanner:
    """Reads a script from its beginning, and knows where it is."""

    text: str
    at: int = 0
    stack: list[tuple[Place, str]] = field(default_factory=lambda: [("word", "")])
    """The place, and what ends it."""
    heredocs: list[str] = field(default_factory=list)
    """The ends of the here-documents that begin at the next line."""

    def places(self, mark: re.Pattern[str]) -> Iterator[tuple[re.Match[str], Place]]:
        """Yield each match of the mark, and where it stands."""
        while self.at < len(self.text):
            if match := mark.match(self.text, self.at):
                yield match, self.place
                self.at = match.end()
            else:
                self._step()

    @property
    def place(self) -> Place:
        """Where it is now."""
        return self.stack[-1][0]

    def _step(self) -> None:
        place, end = self.stack[-1]
        rest = self.text[self.at : self.at + 3]
        if place == "here-document":
            self._heredoc_line(end)
        elif end and rest.startswith(end):
            self.stack.pop()
            self.at += 0 if place == "comment" else len(end)
        elif place in ("comment", "'...'"):
            self.at += 1
        elif rest[0] == "\\":
            self.at += 2
        elif place == '"..."':
            self._opens(rest) or self._plain()
        else:
            self._quotes(rest) or self._opens(rest) or self._code(rest) or self._plain()

    def _plain(self) -> bool:
        if self.text[self.at] == "\n" and self.heredocs:
            self.stack.extend(("here-document", each) for each in reversed(self.heredocs))
            self.heredocs.clear()
        self.at += 1
        return True

    def _push(self, place: Place, end: str, length: int) -> bool:
        self.stack.append((place, end))
        self.at += length
        return True

    def _quotes(self, rest: str) -> bool:
        if rest[0] == "'":
            return self._push("'...'", "'", 1)
        if rest[0] == '"':
            return self._push('"..."', '"', 1)
        return False

    def _opens(self, rest: str) -> bool:
        """A substitution, which in double quotes begins a new script."""
        for begin, place in _OPENS:
            if rest.startswith(begin) and (begin[0] == "$" or self.place == "word"):
                return self._push(place, {"word": ")", "${...}": "}"}.get(place, "))"), len(begin))
        return rest[0] == "`" and self._push("`...`", "`", 1)

    def _code(self, rest: str) -> bool:
        """What only a place of words has: comments, here-documents, brackets."""
        if self.place != "word":
            return False
        if rest[0] == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\n;&|("):
            return self._push("comment", "\n", 1)
        if rest[0] == "(":
            return self._push("word", ")", 1)
        if match := None if rest.startswith("<<<") else _HEREDOC.match(self.text, self.at):
            self.heredocs.append(match["end"])
            self.at = match.end() + len(match["quote"])
            return True
        return False

    def _heredoc_line(self, end: str) -> None:
        """Go on by a character; at the beginning of a line, see whether it is the end of the here-document."""
        stop = self.text.find("\n", self.at)
        line = self.text[self.at : stop if stop >= 0 else None]
        if self.text[self.at - 1] == "\n" and line.lstrip("\t") == end:
            self.stack.pop()
            self.at += len(line)
        else:
            self.at += 1


def places(script: str, mark: re.Pattern[str]) -> Iterator[tuple[re.Match[str], Place]]:
    """Yield each match of the mark in the script, and the place where it stands."""
    return Scanner(script).places(mark)
