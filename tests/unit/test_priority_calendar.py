"""When people are away: nights, weekends and holidays, through summer time and over midnight."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.errors import SettingsError, SpecError
from aistation_slurm.priority.calendar import is_open, next_change, public_holidays
from aistation_slurm.spec import Calendar

BERLIN, SHANGHAI = "Europe/Berlin", "Asia/Shanghai"
NIGHTS = Calendar(nights="20:00-08:00")


def at(text: str, zone: str = BERLIN, fold: int = 0) -> datetime:
    """Return the time on that city's clocks."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("clock", "is_night"),
    [("19:59", False), ("20:00", True), ("23:59", True), ("00:00", True), ("07:59", True), ("08:00", False)],
)
def test_a_night_begins_in_the_evening_and_ends_in_the_morning(clock, is_night):
    assert is_open(NIGHTS, BERLIN, at(f"2026-11-25T{clock}")) is is_night


def test_a_night_that_does_not_cross_midnight_is_one_too():
    early = Calendar(nights="01:00-05:30")
    assert [is_open(early, BERLIN, at(f"2026-11-25T{each}")) for each in ("00:59", "01:00", "05:29", "05:30")] == [
        False,
        True,
        True,
        False,
    ]


def test_the_hours_are_those_of_the_clusters_own_place():
    noon_in_berlin = at("2026-11-25T13:00")
    assert is_open(NIGHTS, SHANGHAI, noon_in_berlin)
    assert not is_open(NIGHTS, BERLIN, noon_in_berlin)


def test_a_weekend_lasts_from_the_night_before_it_to_the_morning_after():
    weekend = Calendar(nights="20:00-08:00", weekends=True)
    friday = at("2026-11-27T12:00")
    assert next_change(weekend, BERLIN, friday) == at("2026-11-27T20:00")
    assert next_change(weekend, BERLIN, at("2026-11-27T20:00")) == at("2026-11-30T08:00")


def test_a_weekend_without_nights_is_two_whole_days():
    weekend = Calendar(weekends=True)
    assert next_change(weekend, BERLIN, at("2026-11-26T12:00")) == at("2026-11-28T00:00")
    assert next_change(weekend, BERLIN, at("2026-11-28T00:00")) == at("2026-11-30T00:00")
    assert not is_open(weekend, BERLIN, at("2026-11-30T00:00"))


def test_a_public_holiday_of_the_country_is_off_and_the_day_after_is_not():
    china = Calendar(holidays="CN")
    assert is_open(china, SHANGHAI, at("2026-10-01T12:00", SHANGHAI))
    assert not is_open(china, SHANGHAI, at("2026-11-25T12:00", SHANGHAI))
    assert not is_open(Calendar(holidays="DE"), BERLIN, at("2026-10-01T12:00"))


def test_a_workday_is_none_of_the_holidays_but_has_its_night():
    shifted = Calendar(nights="20:00-08:00", weekends=True, holidays="CN", workdays=["2026-10-10", "2026-10-01"])
    assert not is_open(shifted, SHANGHAI, at("2026-10-10T12:00", SHANGHAI))
    assert not is_open(shifted, SHANGHAI, at("2026-10-01T12:00", SHANGHAI))
    assert is_open(shifted, SHANGHAI, at("2026-10-10T21:00", SHANGHAI))
    assert is_open(shifted, SHANGHAI, at("2026-10-11T12:00", SHANGHAI))


def test_an_extra_day_off_is_off():
    christmas_eve = Calendar(extra=["2026-12-24"])
    assert is_open(christmas_eve, BERLIN, at("2026-12-24T12:00"))
    assert next_change(christmas_eve, BERLIN, at("2026-11-26T12:00")) == at("2026-12-24T00:00")
    assert next_change(christmas_eve, BERLIN, at("2026-12-26T12:00")) is None


def test_the_night_on_which_summer_time_begins_is_an_hour_shorter():
    begin = at("2026-03-28T20:00")
    end = next_change(NIGHTS, BERLIN, begin)
    assert end == at("2026-03-29T08:00")
    assert end - begin == timedelta(hours=11)


def test_the_night_on_which_it_ends_is_an_hour_longer_and_opens_once():
    half_past = Calendar(nights="20:00-02:30")
    end = next_change(half_past, BERLIN, at("2026-10-24T21:00"))
    assert end == at("2026-10-25T02:30", fold=0)
    assert not is_open(half_past, BERLIN, at("2026-10-25T02:15", fold=1))


def test_a_day_whose_midnight_the_clocks_skip_begins_when_they_go_on():
    beirut = "Asia/Beirut"
    off = Calendar(extra=["2026-03-29"])
    assert next_change(off, beirut, at("2026-03-28T12:00", beirut)) == at("2026-03-29T01:00", beirut)


def test_who_is_away_but_for_a_minute_is_back_for_that_minute():
    nearly = Calendar(nights="00:00-23:59")
    assert next_change(nearly, "UTC", at("2026-11-25T12:00", "UTC")) == at("2026-11-25T23:59", "UTC")
    assert next_change(nearly, "UTC", at("2026-11-25T23:59", "UTC")) == at("2026-11-26T00:00", "UTC")


def test_a_country_that_nobody_knows_is_told_with_what_to_write_instead():
    with pytest.raises(SpecError, match="nobody knows the holidays of XX") as caught:
        is_open(Calendar(holidays="XX"), "UTC", datetime(2026, 11, 25, tzinfo=UTC))
    assert caught.value.hint == "name the days in `extra` instead"


def test_a_missing_package_is_told_with_what_to_install(monkeypatch):
    public_holidays.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(SettingsError, match="no package `holidays`") as caught:
        is_open(Calendar(holidays="DE"), "UTC", datetime(2026, 11, 25, tzinfo=UTC))
    assert "pip install 'aistation-slurm[server]'" in caught.value.hint


def test_who_names_no_country_needs_no_such_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    assert is_open(Calendar(weekends=True), "UTC", datetime(2026, 11, 28, tzinfo=UTC))


CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 30, 59]))
DAYS = st.lists(st.integers(27, 31).map(lambda day: f"2026-03-{day}"), max_size=3)
CALENDARS = st.builds(
    lambda begin, end, weekends, extra, workdays: Calendar(
        nights=None if begin == end else f"{begin:%H:%M}-{end:%H:%M}", weekends=weekends, extra=extra, workdays=workdays
    ),
    CLOCKS,
    CLOCKS,
    st.booleans(),
    DAYS,
    DAYS,
)
ZONES = st.sampled_from([BERLIN, SHANGHAI, "UTC", "America/New_York", "Asia/Beirut", "Australia/Lord_Howe"])
MOMENTS = st.integers(0, 10 * 24 * 60).map(lambda minutes: at("2026-03-27T00:00", "UTC") + timedelta(minutes=minutes))


@given(CALENDARS, ZONES, MOMENTS)
@settings(max_examples=150, deadline=None)
def test_until_the_next_change_nothing_changes_and_then_it_does(calendar, zone, now):
    change = next_change(calendar, zone, now)
    state = is_open(calendar, zone, now)
    end = min(change or now + timedelta(days=3), now + timedelta(days=3))
    step = timedelta(minutes=17)
    between = [now + number * step for number in range(int((end - now) / step) + 1)]
    assert all(is_open(calendar, zone, each) is state for each in between if each < end)
    if change is not None:
        assert change > now
        assert is_open(calendar, zone, change) is not state
        assert is_open(calendar, zone, change - timedelta(seconds=1)) is state
