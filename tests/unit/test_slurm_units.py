"""Slurm's ways of writing amounts and times."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm import units

SECONDS = st.integers(0, 10**9)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:02", 2),
        ("10:00", 600),
        ("1:00:00", 3600),
        ("90", 5400),
        ("2-00:00:00", 172800),
        ("365-00:00:00", 31536000),
        ("1-2", 93600),
        ("1-2:30", 95400),
        ("00:00:30", 30),
        ("00:00.250", 0),
    ],
)
def test_a_duration_reads_as_man_squeue_and_man_sbatch_write_it(text, seconds):
    assert units.read_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["UNLIMITED", "INVALID", "NOT_SET", "Partition_Limit", "NONE", "N/A", ""])
def test_no_limit_is_none(text):
    assert units.read_duration(text) is None


@given(SECONDS)
def test_a_duration_survives_writing_and_reading(seconds):
    duration = timedelta(seconds=seconds)
    assert units.read_duration(units.write_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("7G", 7168),
        ("500M", 500),
        ("500", 500),
        ("62.50G", 64000),
        ("1T", 1048576),
        ("2048K", 2),
        ("4000Mn", 4000),
        ("0", 0),
    ],
)
def test_memory_is_read_in_mib(text, mib):
    assert units.read_memory(text) == mib


@given(st.integers(0, 10**12))
def test_memory_survives_writing_and_reading(mib):
    assert units.read_memory(units.write_memory(mib)) == mib


@given(MOMENTS)
def test_a_moment_in_seconds_is_the_moment_whatever_the_time_zone(moment):
    whole = moment.replace(microsecond=0)
    assert units.read_time(str(int(whole.timestamp()))) == whole


@pytest.mark.parametrize("text", ["Unknown", "None", "N/A", "NONE", "(null)", "0", ""])
def test_a_moment_that_slurm_does_not_know_is_none(text):
    assert units.read_time(text) is None


def test_a_local_time_without_zone_becomes_utc():
    assert units.read_time("2026-11-23T22:04:58") == datetime(2026, 11, 23, 22, 4, 58).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "read"), [("256", "1:0"), ("768", "3:0"), ("9", "0:9"), ("0", "0:0"), ("1:0", "1:0"), ("", "")]
)
def test_an_exit_code_reads_the_same_from_every_release(text, read):
    assert units.read_exit_code(text) == read


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00.250", 0.25), ("00:00:00", 0), ("01:02.003", 62.003), ("1-00:00:01", 86401)]
)
def test_cpu_time_keeps_the_fraction_that_sacct_prints(text, seconds):
    assert units.read_cpu_time(text) == timedelta(seconds=seconds)
    assert units.read_cpu_time("") is None


def test_bytes_are_read_in_mib_and_nothing_counted_is_none():
    assert (units.read_bytes("20971520"), units.read_bytes("1048575"), units.read_bytes("")) == (20, 0, None)


@pytest.mark.parametrize("text", ["", "-1", "UNLIMITED", "INFINITE", "N/A"])
def test_a_number_without_limit_is_none(text):
    assert units.read_limit(text) is None


@pytest.mark.parametrize(
    "read",
    [
        units.read_duration, units.read_memory, units.read_time, units.read_count, units.read_integer, units.read_limit,
        units.read_factor, units.read_load, units.read_exit_code, units.read_cpu_time, units.read_bytes,
    ],
)  # fmt: skip
@given(text=st.one_of(st.text(), st.from_regex(r"[0-9:.\-TGMK+ ]{0,40}", fullmatch=True)))
def test_whatever_slurm_prints_is_read_or_refused_as_unreadable(read, text):
    with suppress(SlurmUnreadable):
        read(text)
