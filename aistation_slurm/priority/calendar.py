"""When people are away: nights, weekends, holidays. Pure; the clock comes in as an argument.

A span is counted by instants, not by what a clock on the wall shows: when summer time begins or ends, a night is an
hour shorter or longer, and nothing opens twice. A time that the wall skips is as long after midnight as if it had not.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from aistation_slurm.errors import SettingsError, SpecError
from aistation_slurm.spec import Calendar

DAY = timedelta(days=1)
YEAR = timedelta(days=366)
FARTHEST = 400
"""So many days are looked at: every public holiday comes within a year."""
_SATURDAY = 5
Span = tuple[datetime, datetime]
"""From when until when, in UTC; the end belongs to it no more."""


def is_open(calendar: Calendar, timezone: str, now: datetime) -> bool:
    """Return whether people are away now.

    Raises:
        SettingsError: the calendar names a country, and the package that knows its holidays is missing.
        SpecError: that package does not know the country.
    """
    return any(begin <= now < end for begin, end in _spans(calendar, ZoneInfo(timezone), now, days=2))


def next_change(calendar: Calendar, timezone: str, now: datetime) -> datetime | None:
    """Return when that changes next, in UTC; None where it does not within a year.

    Raises:
        SettingsError: the calendar names a country, and the package that knows its holidays is missing.
        SpecError: that package does not know the country.
    """
    for begin, end in _merged(_spans(calendar, ZoneInfo(timezone), now, days=FARTHEST)):
        if now < begin:
            return begin
        if now < end:
            return end if end - now < YEAR else None
    return None


def _spans(calendar: Calendar, zone: ZoneInfo, now: datetime, *, days: int) -> Iterator[Span]:
    """Yield when people are away, from the day before on, in the order of their beginnings."""
    first = now.astimezone(zone).date() - DAY
    for number in range(days):
        yield from _of_day(calendar, zone, first + number * DAY)


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans, those that touch or overlap as one."""
    held: Span | None = None
    for begin, end in spans:
        if held and begin <= held[1]:
            held = held[0], max(held[1], end)
            continue
        if held:
            yield held
        held = begin, end
    if held:
        yield held


def _of_day(calendar: Calendar, zone: ZoneInfo, day: date) -> Iterator[Span]:
    """Yield the whole day where it is one off, and the night that begins on it."""
    if is_day_off(calendar, day):
        yield _instant(day, time(), zone), _instant(day + DAY, time(), zone)
    if calendar.nights is not None:
        begin, end = (time.fromisoformat(each) for each in calendar.nights.split("-"))
        span = _instant(day, begin, zone), _instant(day + DAY if end < begin else day, end, zone)
        if span[0] < span[1]:
            yield span


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def is_day_off(calendar: Calendar, day: date) -> bool:
    """Return whether the whole day is off: a workday never is, whatever else it may be.

    Raises:
        SettingsError: the calendar names a country, and the package that knows its holidays is missing.
        SpecError: that package does not know the country.
    """
    if day in calendar.workdays:
        return False
    if day in calendar.extra or (calendar.weekends and day.weekday() >= _SATURDAY):
        return True
    return calendar.holidays is not None and day in public_holidays(calendar.holidays)


@lru_cache(maxsize=4)
def public_holidays(country: str) -> Container[date]:
    """Return the public holidays of a country, of any year; regional ones are left out.

    Raises:
        SettingsError: the package that knows them is missing.
        SpecError: it does not know the country.
    """
    try:
        import holidays  # noqa: PLC0415  0.1 s, for those whose calendar names a country
    except ImportError as error:
        hint = "pip install 'aistation-slurm[server]', or leave `holidays` out and name the days in `extra`"
        raise SettingsError(f"the holidays of {country} are not known: no package `holidays`", hint=hint) from error
    try:
        found: Container[date] = holidays.country_holidays(country)
    except NotImplementedError as error:
        raise SpecError(f"nobody knows the holidays of {country}", hint="name the days in `extra` instead") from error
    return found
