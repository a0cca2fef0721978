"""The members of an array as Slurm writes them: `[0-9:3,12%2]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aistation_slurm.errors import RequestError

_PART = re.compile(r"(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9})(?::(?P<stride>[1-9][0-9]{0,8}))?)?")


def fold(tasks: Iterable[int]) -> str:
    """Return `0-4,7` for 0, 1, 2, 3, 4 and 7."""
    runs: list[list[int]] = []
    for task in sorted(set(tasks)):
        if runs and task == runs[-1][1] + 1:
            runs[-1][1] = task
        else:
            runs.append([task, task])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def unfold(text: str) -> list[int]:
    """Return the tasks in `0-4,7`, `[0-9:3%2]` or `3`, in their order.

    A list that Slurm cut short (`[1,3,5,...]`, in accounting after some 64 characters) gives what it still says.
    """
    found: list[int] = []
    for part in text.strip("[]").partition("%")[0].split(","):
        if match := _PART.fullmatch(part.strip("[]")):
            first, last = int(match["first"]), int(match["last"] or match["first"])
            found += range(first, last + 1, int(match["stride"] or 1))
    return found


def counted(count: int) -> str:
    """Return `1 member` or `7 members`."""
    return f"{count} member{'' if count == 1 else 's'}"


def is_cut(text: str) -> bool:
    """True where Slurm cut the list of tasks short."""
    return "..." in text


def chosen(text: str, *, count: int) -> list[int]:
    """Return the members that a person named: `3,5-9` of so many.

    Raises:
        RequestError: it is no such list, or there are not so many members.
    """
    if not all(_PART.fullmatch(part) for part in text.split(",")):
        raise RequestError(f"{text!r} names no members", where="--members", hint="write them as 3,5-9")
    if max(int(number) for number in re.findall(r"[0-9]+", text)) >= count:
        raise RequestError(f"there are {count} members", where="--members", hint=f"they are 0 to {count - 1}")
    return unfold(text)
