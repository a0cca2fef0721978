"""Slurm's ways of writing amounts and times, read and written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from aistation_slurm.errors import SlurmUnreadable

_DURATION = re.compile(r"(?:(?P<days>[0-9]{1,8})-)?(?P<clock>[0-9]{1,10}(?::[0-9]{1,10}){0,2})(?:\.[0-9]+)?")
_MEMORY = re.compile(r"(?P<number>[0-9]{1,19}(?:\.[0-9]{1,6})?)(?P<unit>[KMGTP]?)[Bncij]*", re.IGNORECASE)
_MIB = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
_NO_TIME = frozenset({"", "UNLIMITED", "INFINITE", "NOT_SET", "PARTITION_LIMIT", "INVALID", "NONE", "N/A"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_FRACTION = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_NO_NUMBER = frozenset({"", "N/A", "(NULL)"})
_NO_LIMIT = frozenset({"", "UNLIMITED", "INFINITE", "NONE", "N/A", "-1", "(NULL)"})
_NO_DATE = frozenset({"", "UNKNOWN", "NONE", "N/A", "(NULL)"})
_REPEATED = 8192
"""How many texts are kept as read: the same few stand in most rows of a long queue."""


@lru_cache(maxsize=_REPEATED)
def read_duration(text: str) -> timedelta | None:
    """Return the duration of `2-03:04:05`, `04:05` (minutes first) or `90` (minutes); None where there is no limit.

    Raises:
        SlurmUnreadable: it is none of these.
    """
    if text.upper() in _NO_TIME:
        return None
    match = _DURATION.fullmatch(text)
    if not match:
        raise SlurmUnreadable(f"{text!r} is no Slurm time")
    parts = [int(each) for each in match["clock"].split(":")]
    if match["days"] is not None:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 1:  # minutes
        hours, minutes, seconds = 0, parts[0], 0
    else:  # [hours:]minutes:seconds
        hours, minutes, seconds = [0, *parts][-3:]
    return timedelta(days=int(match["days"] or 0), hours=hours, minutes=minutes, seconds=seconds)


def read_cpu_time(text: str) -> timedelta | None:
    """Return the time of `00:00.250` or `1-02:03:04`, with the fraction that sacct prints below an hour; None of none.

    Raises:
        SlurmUnreadable: it is no time.
    """
    whole, point, fraction = text.partition(".")
    if point and not (fraction.isascii() and fraction.isdecimal()):
        raise SlurmUnreadable(f"{text!r} is no time")
    duration = read_duration(whole)
    return duration + timedelta(seconds=float(f"0.{fraction}")) if fraction and duration is not None else duration


def write_duration(value: timedelta | None) -> str:
    """Return the duration as Slurm writes it, `1-02:03:04`; None is UNLIMITED."""
    if value is None:
        return "UNLIMITED"
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}"
    return f"{days}-{clock}" if days else clock


@lru_cache(maxsize=_REPEATED)
def read_memory(text: str) -> int:
    """Return MiB: `7G` is 7168, `500M` and plain `500` are 500.

    Raises:
        SlurmUnreadable: it is no amount of memory.
    """
    match = _MEMORY.fullmatch(text)
    if not match:
        raise SlurmUnreadable(f"{text!r} is no amount of memory")
    return int(float(match["number"]) * _MIB[match["unit"].upper()])


def read_bytes(text: str) -> int | None:
    """Return MiB of a number of bytes, as sacct prints with `--noconvert`; None where nothing was counted.

    Raises:
        SlurmUnreadable: it is no number.
    """
    return read_count(text) // 1024**2 if text else None


def write_memory(mib: int) -> str:
    """Return MiB in the largest whole unit: 7168 is `7G`, 500 is `500M`."""
    for unit in ("T", "G"):
        size = int(_MIB[unit])
        if mib and mib % size == 0:
            return f"{mib // size}{unit}"
    return f"{mib}M"


def read_integer(text: str) -> int:
    """Return the number; 0 where Slurm prints that there is none.

    Raises:
        SlurmUnreadable: it is no number.
    """
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    if text.upper() in _NO_NUMBER:
        return 0
    if not _INTEGER.fullmatch(text):
        raise SlurmUnreadable(f"{text!r} is no number")
    return int(text)


def read_count(text: str) -> int:
    """Return the number, never negative; 0 where Slurm prints that there is none.

    Raises:
        SlurmUnreadable: it is no number, or below zero.
    """
    number = read_integer(text)
    if number < 0:
        raise SlurmUnreadable(f"{text!r} is below zero")
    return number


def read_limit(text: str) -> int | None:
    """Return the number; None where Slurm prints that there is no limit.

    Raises:
        SlurmUnreadable: it is no number.
    """
    return None if text.upper() in _NO_LIMIT else read_count(text)


def read_factor(text: str) -> float:
    """Return the number with its fraction; 1 where Slurm prints that there is none.

    Raises:
        SlurmUnreadable: it is no number.
    """
    if text.upper() in _NO_NUMBER:
        return 1.0
    if not _FRACTION.fullmatch(text):
        raise SlurmUnreadable(f"{text!r} is no number")
    return float(text)


def read_load(text: str) -> float | None:
    """Return a node's load; None before its slurmd registered.

    Raises:
        SlurmUnreadable: it is no number.
    """
    return None if text.upper() in _NO_NUMBER else read_factor(text)


def read_exit_code(text: str) -> str:
    """Return `1:0`, exit code and signal; up to 23.02 `squeue -O` prints wait(2)'s status, such as 256, instead.

    Raises:
        SlurmUnreadable: it is neither.
    """
    if ":" in text or text in {"", "(null)", "N/A"}:
        return text if ":" in text else ""
    status = read_count(text)
    return f"{status >> 8 & 0xFF}:{status & 0x7F}"


@lru_cache(maxsize=_REPEATED)
def read_time(text: str) -> datetime | None:
    """Return the moment, aware and in UTC; None for `Unknown` and its kin.

    Slurm prints local time without a zone, or seconds since 1970 where `SLURM_TIME_FORMAT=%s` is set, which our
    runner sets: only that one is free of doubt when clocks are put back.

    Raises:
        SlurmUnreadable: it is neither.
    """
    if text.upper() in _NO_DATE:
        return None
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC) if int(text) else None
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SlurmUnreadable(f"{text!r} is no Slurm date") from error


def write_time(value: datetime) -> str:
    """Return the moment as seconds since 1970, `uts1795471498`: the one date that needs no time zone (parse_time.c)."""
    return f"uts{int(value.timestamp())}"
