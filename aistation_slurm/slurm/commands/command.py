"""A command line together with the reader of its answer, and the two shapes in which Slurm answers.

*Rows* (squeue, sacct): fields in an order that we name. A user can put any character into a job's name or comment, so
the fields are set apart by a mark that is drawn anew for each call: nobody can have written it into a name before.

*Keyed* (scontrol -o): `Key=value` in an order that Slurm chooses, values with blanks and `=` in them. Only the keys
that we know are looked for, and the first of each counts: Slurm prints what a person wrote (Reason, Comment) last, and
after it nothing but what is known to follow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

from aistation_slurm.errors import SlurmUnreadable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Row = dict[str, str]
"""Field -> what Slurm printed for it."""

_NOTHING = frozenset({"(null)", "N/A", "n/a", "None assigned", "None", "NONE"})
_KEY = re.compile(r"(?<!\S)(\w+)=")
_NONE_THERE = re.compile(r"\s*No \w+ in the system\s*")


class Reading(Protocol[T_co]):
    """Reads an answer while it comes."""

    def feed(self, text: str) -> object:
        """Read one more piece, of any length.

        Raises:
            SlurmUnreadable: it can't be read.
        """
        ...

    def end(self) -> T_co:
        """Return what the whole answer says.

        Raises:
            SlurmUnreadable: it is cut short.
        """
        ...


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """A command line, and how to read what it prints."""

    argv: tuple[str, ...]
    read: Callable[[str], T]
    reading: Callable[[], Reading[T]] | None = None
    """For a long answer: reads it while the command still prints. Says the same as `read`."""

    @property
    def name(self) -> str:
        """The command without its arguments, for a message."""
        return " ".join(word for word in self.argv[:3] if not word.startswith("-"))


def fresh_mark() -> str:
    """Return a field mark that stands in no name: a unit separator and letters that nobody could foresee.

    No digit and no comma: `squeue -O` reads a digit after the colon as a width, and a comma as the next field.
    """
    return "\x1f" + os.urandom(6).hex().translate(str.maketrans("0123456789", "ghijklmnop")) + "\x1f"


def rows(text: str, fields: Sequence[str], mark: str) -> list[Row]:
    """Return the rows of a text in which each field is followed by `mark`, and each row by a newline.

    Raises:
        SlurmUnreadable: the last row is cut short, or something stands between two rows.
    """
    *cells, rest = text.split(mark)
    if rest.strip() or len(cells) % len(fields) or (cells and not rest):
        raise SlurmUnreadable(f"{len(cells)} cells of {len(fields)} fields, then {shortened(rest)}")
    return [
        dict(zip(fields, _first_cut(cells[start : start + len(fields)], is_first=not start), strict=True))
        for start in range(0, len(cells), len(fields))
    ]


def _first_cut(cells: list[str], *, is_first: bool) -> list[str]:
    """Take the newline that ended the row before off the first cell."""
    if is_first:
        return cells
    if not cells[0].startswith("\n"):
        raise SlurmUnreadable(f"a row begins with {shortened(cells[0])}")
    cells[0] = cells[0][1:]
    return cells


def piped(text: str, fields: Sequence[str]) -> list[Row]:
    r"""Return the rows of `sacctmgr -nP`, which knows no mark but `|`: the last field may hold bars or newlines.

    Raises:
        SlurmUnreadable: a row has too few fields, or the last one is cut short.
    """
    _check_whole(text)
    found: list[Row] = []
    last = fields[-1]
    for line in text.splitlines():
        cells = line.split("|", len(fields) - 1)
        if len(cells) == len(fields):
            found.append(dict(zip(fields, cells, strict=True)))
        elif found:  # the rest of a description with a newline in it
            found[-1][last] += "\n" + line
        elif line.strip():
            raise SlurmUnreadable(f"{len(cells)} of {len(fields)} fields in {shortened(line)}")
    return found


def keyed(line: str, keys: Sequence[str], *, needs: Sequence[str], written: Sequence[str] = ()) -> Row:
    """Return the known keys of `Key=value Key=value`; a key that is not there is not in the answer.

    A key that was seen already is no key but a part of somebody's text, such as `Reason=was State=IDLE before`. So is,
    after one of those that a person's words follow (`written`, in the order in which they are printed), every other.

    Raises:
        SlurmUnreadable: one of those that it needs is not there.
    """
    row: Row = {}
    known, last = _known(tuple(keys)), ""
    parts = _KEY.split(line)
    for key, text in zip(parts[1::2], parts[2::2], strict=True):
        if key in known and key not in row and (last not in written or key in _after(last, written)):
            row[key], last = text, key
        elif last:
            row[last] += f"{key}={text}"
    row = {key: text.strip() for key, text in row.items()}
    if missing := [each for each in needs if each not in row]:
        raise SlurmUnreadable(f"no {' nor '.join(missing)} in {shortened(line)}")
    return row


def _after(key: str, written: Sequence[str]) -> Sequence[str]:
    return written[list(written).index(key) + 1 :]


def records(text: str, first_key: str) -> Iterator[str]:
    """Yield what `scontrol -o` printed for each thing; a record begins where a line begins with `first_key=`.

    Raises:
        SlurmUnreadable: the last record is cut short, or something stands before the first.
    """
    _check_whole(text)
    if _NONE_THERE.fullmatch(text):
        return
    for part in re.split(rf"^(?={re.escape(first_key)}=)", text, flags=re.MULTILINE):
        if part.startswith(f"{first_key}="):
            yield part.rstrip("\n")
        elif part.strip():
            raise SlurmUnreadable(f"no {first_key}= in {shortened(part)}")


def bare(text: str) -> str:
    """Return the text, or nothing where Slurm says that there is none."""
    return "" if text in _NOTHING else text


def written(text: str) -> str:
    """Return what a person wrote, be it `None`; nothing only where there is nothing."""
    return "" if text == "(null)" else text


def names(text: str) -> tuple[str, ...]:
    """Return the names of `a,b`; nothing where Slurm says that there is none, or that all are meant."""
    return () if text == "ALL" else tuple(filter(None, bare(text).split(",")))


def _check_whole(text: str) -> None:
    if text and not text.endswith("\n"):
        raise SlurmUnreadable(f"the answer ends in the middle of a line: {shortened(text[-40:])}")


@lru_cache
def _known(keys: tuple[str, ...]) -> frozenset[str]:
    return frozenset(keys)


def shortened(text: str) -> str:
    """Return the text as a message can quote it."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
