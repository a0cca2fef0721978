"""The floor under every noun: one value of an answer, in the shape of any API version.

Up to v0.0.38 a number is a number, null where there is none; from v0.0.39 on most are `{"set", "infinite", "number"}`.
States are one word, then a list of words; TRES are text or a list of objects. Each function here takes all of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.tres import Tres, read_tres

Record = dict[str, object]
"""One thing of an answer: a job, a node, ..."""

# NO_VAL and INFINITE of slurm.h in 32 and 64 bits, which the older versions print as they are; -1 stands for both.
_NO_NUMBER = frozenset({-2, -1, 2**32 - 2, 2**32 - 1, 2**64 - 2, 2**64 - 1})
_NOTHING = frozenset({"(null)", "N/A", "n/a", "None", "NONE", "None assigned"})


def record(value: object) -> Record:
    """Return the value as one thing of an answer.

    Raises:
        SlurmUnreadable: it is none.
    """
    if not isinstance(value, dict):
        raise SlurmUnreadable(f"{_short(value)} is no object")
    return value


def records(value: object) -> list[Record]:
    """Return the value as a list of things.

    Raises:
        SlurmUnreadable: it is none.
    """
    if not isinstance(value, list):
        raise SlurmUnreadable(f"{_short(value)} is no list")
    return [record(each) for each in value]


def get(thing: Record, *path: str) -> object:
    """Return what stands at the path: `get(association, "max", "jobs", "active")`.

    Raises:
        SlurmUnreadable: nothing stands there; what a version has not is never asked of it.
    """
    found: object = thing
    for key in path:
        if not isinstance(found, dict) or key not in found:
            raise SlurmUnreadable(f"no {'/'.join(path)} in {_short(thing)}")
        found = found[key]
    return found


def either(thing: Record, *keys: str) -> object:
    """Return what stands under the first of these keys that is there: versions call it differently.

    Raises:
        SlurmUnreadable: none of them is.
    """
    for key in keys:
        if key in thing:
            return thing[key]
    raise SlurmUnreadable(f"no {' nor '.join(keys)} in {_short(thing)}")


def text(value: object) -> str:
    """Return the text; nothing for null.

    Raises:
        SlurmUnreadable: it is no text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SlurmUnreadable(f"{_short(value)} is no text")
    return value


def bare(value: object) -> str:
    """Return the text; nothing where Slurm says in a word that there is none."""
    said = text(value)
    return "" if said in _NOTHING else said


def words(value: object) -> tuple[str, ...]:
    """Return the words of `["a", "b"]` or `a,b`.

    Raises:
        SlurmUnreadable: it is neither.
    """
    if isinstance(value, list):
        return tuple(text(each) for each in value)
    return tuple(filter(None, text(value).split(",")))


def number(value: object) -> int | None:
    """Return the number, be it below zero; None where none is set, or none would be large enough.

    Raises:
        SlurmUnreadable: it is no number.
    """
    found = fraction(value)
    return None if found is None else int(found)


def fraction(value: object) -> float | None:
    """Return the number with its fraction; None where none is set, or none would be large enough.

    Raises:
        SlurmUnreadable: it is no number.
    """
    if isinstance(value, dict):
        return fraction(get(value, "number")) if get(value, "set") and not is_infinite(value) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise SlurmUnreadable(f"{_short(value)} is no number")
    return value


def limit(value: object) -> int | None:
    """Return the number, never below zero; None where there is no limit, also as the older versions say it.

    Raises:
        SlurmUnreadable: it is no number.
    """
    found = number(value)
    return None if found in _NO_NUMBER else found


def count(value: object) -> int:
    """Return the number, 0 where there is none.

    Raises:
        SlurmUnreadable: it is no number.
    """
    return limit(value) or 0


def is_infinite(value: object) -> bool:
    """Return whether the value says that there is no limit, and not only that none is set."""
    return bool(value.get("infinite")) if isinstance(value, dict) else value in {None, -1, 2**32 - 1}


def moment(value: object) -> datetime | None:
    """Return the moment, aware and in UTC; None where there is none.

    Raises:
        SlurmUnreadable: it is no moment.
    """
    seconds = limit(value)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError) as error:
        raise SlurmUnreadable(f"{_short(value)} is no moment") from error


def minutes(value: object) -> timedelta | None:
    """Return the duration; None where there is no limit.

    Raises:
        SlurmUnreadable: it is no number.
    """
    found = limit(value)
    return None if found is None else timedelta(minutes=found)


def seconds(value: object) -> timedelta | None:
    """Return the duration; None where there is no limit.

    Raises:
        SlurmUnreadable: it is no number.
    """
    found = limit(value)
    return None if found is None else timedelta(seconds=found)


def microseconds(value: object) -> timedelta:
    """Return the duration.

    Raises:
        SlurmUnreadable: it is no number.
    """
    return timedelta(microseconds=count(value))


def tres(value: object) -> Tres:
    """Return `cpu=4,mem=7G` or `[{"type": "mem", "count": 7168}]` as a mapping; memory in MiB.

    Raises:
        SlurmUnreadable: it is neither.
    """
    if not isinstance(value, list):
        return read_tres(bare(value))
    amounts = {tres_name(each): limit(get(each, "count")) for each in records(value)}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def tres_name(thing: Record) -> str:
    """Return `gres/gpu:v100` of `{"type": "gres", "name": "gpu:v100"}`.

    Raises:
        SlurmUnreadable: it has no type.
    """
    kind, name = text(get(thing, "type")), text(thing.get("name"))
    return f"{kind}/{name}" if name else kind


def exit_code(value: object) -> str:
    """Return `1:0`, exit code and signal; up to v0.0.38 a job has wait(2)'s status, such as 256.

    Raises:
        SlurmUnreadable: it is neither.
    """
    if not isinstance(value, dict):
        status = count(value)
        return f"{status >> 8 & 0xFF}:{status & 0x7F}"
    ended = get(value, "signal")
    by = either(record(ended), "id", "signal_id") if isinstance(ended, dict) else ended
    return f"{count(get(value, 'return_code'))}:{count(by)}"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
