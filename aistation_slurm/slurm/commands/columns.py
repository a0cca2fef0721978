"""A long table read by columns, some rows at a time: each distinct text once, each field of many objects in one go.

A queue of 10,000 jobs is 350,000 cells, most of them texts that stood in the row above too. Read row by row, that took
longer than squeue takes to print them; by columns, in pieces that stay in the processor's cache, a third of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Reading, shortened

T = TypeVar("T")

Columns = dict[str, list[str]]
"""Field -> its cells, in the order of the rows."""
PIECE = 32 * 1024
"""Characters that are read in one go; more is slower, since then the cells leave the cache before they are used."""


class Table:
    """Reads a text in which each field is followed by `mark`, and each row by a newline; as it comes."""

    def __init__(self, names: Sequence[str], mark: str) -> None:
        self._names = names
        self._mark = mark
        self._cells: list[str] = []
        self._rest = ""
        self._seen = 0

    def feed(self, text: str) -> Columns | None:
        """Return the columns of the rows that are whole now and were not before; None where no row is.

        Raises:
            SlurmUnreadable: something stands between two rows.
        """
        *more, self._rest = (self._rest + text).split(self._mark)
        self._cells += more
        whole = len(self._cells) - len(self._cells) % len(self._names)
        if not whole:
            return None
        found = self._columns(self._cells[:whole])
        del self._cells[:whole]
        self._seen += whole
        return found

    def end(self) -> None:
        """Return where the last row was whole, its newline too.

        Raises:
            SlurmUnreadable: it was cut short.
        """
        if self._cells or self._rest.strip() or (self._seen and not self._rest):
            cells = self._seen + len(self._cells)
            raise SlurmUnreadable(f"{cells} cells of {len(self._names)} fields, then {shortened(self._rest)}")

    def _columns(self, cells: list[str]) -> Columns:
        """Return the columns of whole rows, without the newline that ended the row before each."""
        width = len(self._names)
        found = {name: cells[start::width] for start, name in enumerate(self._names)}
        first = found[self._names[0]]
        if not self._seen:
            first[0] = "\n" + first[0]
        for cell in first:
            if not cell.startswith("\n"):
                raise SlurmUnreadable(f"a row begins with {shortened(cell)}")
        found[self._names[0]] = [cell[1:] for cell in first]
        return found


def whole(reading: Reading[T], text: str, *, piece: int = PIECE) -> T:
    """Return what the reading makes of a text that is there already, fed in pieces.

    Raises:
        SlurmUnreadable: it can't be read.
    """
    for start in range(0, len(text), piece):
        reading.feed(text[start : start + piece])
    return reading.end()


class _Known(dict[str, T]):
    """What each text says, once it was read."""

    def __init__(self, read: Callable[[str], T]) -> None:
        self._read = read

    def __missing__(self, text: str) -> T:
        said = self[text] = self._read(text)
        return said


def once(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return a function that answers like `read`, and asks it once for each distinct text: equal cells share an answer.

    It keeps every text: for one table, not for ever.
    """
    return _Known(read).__getitem__


def built(kind: type[T], values: Mapping[str, Sequence[Any]], count: int) -> list[T]:
    """Return so many objects of a frozen dataclass with slots, from the values of each of its fields.

    The fields are set as the class's own `__init__` sets them, but one field of all objects after the other: three
    times as fast.

    Raises:
        TypeError: a field has no values, or one is not the class's.
        ValueError: a field has not so many values.
    """
    if values.keys() != {each.name for each in fields(kind)}:  # type: ignore[arg-type]
        raise TypeError(f"not the fields of {kind.__name__}: {sorted(values)}")
    objects = [object.__new__(kind) for _ in range(count)]
    for name, column in values.items():
        if len(column) != count:
            raise ValueError(f"{len(column)} values of {name} for {count} objects")
        deque(map(getattr(kind, name).__set__, objects, column), maxlen=0)
    return objects
