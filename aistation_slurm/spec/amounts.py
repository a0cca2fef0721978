"""What an amount or a time in the cluster file may look like: memory, durations, hours, days."""

from __future__ import annotations

import re
from datetime import date, timedelta
from fractions import Fraction

from aistation_slurm.spec.names import wrong
from aistation_slurm.spec.shown import shown

MAX_COUNT = 1_000_000_000
"""More than any cluster has of anything, and far from where Slurm's own numbers end (32 bits)."""
MAX_MIB = 1024**4
"""An exbibyte."""
MAX_DAYS = 3660
"""Ten years: a longer time is taken for a slip of the finger."""

_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([MGTP])(?:i?B)?", re.IGNORECASE | re.ASCII)
_MIB = {"M": 1, "G": 1024, "T": 1024**2, "P": 1024**3}
_DURATION = re.compile(r"(?:(\d{1,6})d)? ?(?:(\d{1,6})h)? ?(?:(\d{1,9})m)? ?(?:(\d{1,9})s)?", re.ASCII)
_SLURM_TIME = re.compile(r"(?:(\d{1,6})-)?(\d{1,6}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}")
_CLOCKS = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)


def read_memory(value: object, noun: str = "memory") -> int:
    """Return `256G` in MiB, rounded down."""
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise wrong(f"{shown(value)} is no amount of {noun}", "say the unit, such as 256G or 7500M")
    mib = int(Fraction(match[1]) * _MIB[match[2].upper()])
    if mib > MAX_MIB:
        raise wrong(f"{shown(value)} is more than there is", "say the unit, such as 256G or 1.5T")
    return mib


def read_size(value: object) -> int:
    """Return how much of a disk `1.5T` is, in MiB."""
    return read_memory(value, "space")


def write_memory(mib: int) -> str:
    """Return MiB in the largest whole unit."""
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"


def read_duration(value: object) -> timedelta:
    """Return `4h`, `1d12h`, `90m` or Slurm's own `1-12:00:00` as a duration."""
    text = value.strip() if isinstance(value, str) else ""
    if (match := _SLURM_TIME.fullmatch(text)) or (text and (match := _DURATION.fullmatch(text))):
        days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
    else:
        raise wrong(f"{shown(value)} is no duration", "say the unit, such as 30m, 4h or 2d")
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise wrong(f"{shown(value)} is no time at all", "leave the key out where there is to be no limit")
    if duration > timedelta(days=MAX_DAYS):
        raise wrong(f"{shown(value)} is more than {MAX_DAYS} days", "leave the key out where there is to be no limit")
    return duration


def whole_minutes(value: timedelta) -> timedelta:
    """Return the duration once it is one that Slurm can tell: its partitions count in minutes."""
    if value.total_seconds() % 60:
        raise wrong(
            f"{write_duration(value)} is not a whole number of minutes", "Slurm counts minutes here; round it up"
        )
    return value


def write_duration(value: timedelta) -> str:
    """Return the duration as `1d12h30m`."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = {"d": days, "h": hours, "m": minutes, "s": seconds}
    return "".join(f"{number}{unit}" for unit, number in parts.items() if number)


def read_clocks(text: str) -> str:
    """Return a span of the day, `20:00-08:00`."""
    match = _CLOCKS.fullmatch(text)
    if not match:
        raise wrong(f"{shown(text)} is no span of the day", "write it as 20:00-08:00")
    if match[1] == match[2]:
        raise wrong(f"{shown(text)} begins when it ends", "write it as 20:00-08:00")
    return text


def read_date(value: object) -> date:
    """Return `2026-12-24` as a date."""
    text = value if isinstance(value, str) else ""
    try:
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError as error:
        raise wrong(f"{shown(value)} is no day of the calendar", "write it as 2026-12-24") from error


def read_country(text: str) -> str:
    """Return the two letters of a country."""
    if not _COUNTRY.fullmatch(text):
        raise wrong(f"{shown(text)} is no country", "write its two letters, such as CN or DE")
    return text


def read_timezone(text: str) -> str:
    """Return the name of a time zone that this machine knows."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415  5 ms, for one key

    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:
        raise wrong(f"no time zone called {shown(text)}", "write it as Asia/Shanghai or UTC") from error
    return text
