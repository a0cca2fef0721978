"""The files between the receiver and whoever watches."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.node.beats import BeatWriter, read_beats
from aistation_slurm.node.heartbeat import Heartbeat

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEAT = Heartbeat("n1", "boot", 1, 0.0)


def at(seconds):
    return NOON.timestamp() + seconds


def write(folder, *, last, since, at_work=None, receiver_since=-600.0):
    writer = BeatWriter(folder)
    writer.heard(BEAT, now=at(since), since=at(since))
    writer.touch("n1", at(last))
    if at_work is not None:
        writer.at_work(now=at(at_work), since=at(receiver_since))
        os.utime(folder / "heartbeats" / ".receiver", (at(at_work), at(at_work)))
    return read_beats(folder)


def test_what_was_written_is_read(tmp_path):
    beats = write(tmp_path, last=-1, since=-60, at_work=-0.2)
    beat = beats.seen["n1"]
    assert (beat.last, beat.since, beat.boot_id) == (
        NOON - timedelta(seconds=1),
        NOON - timedelta(seconds=60),
        "boot",
    )
    assert beats.silence("n1", NOON) == timedelta(seconds=1)


def test_where_nothing_was_ever_written_nobody_was_heard(tmp_path):
    beats = read_beats(tmp_path / "none")
    assert (beats.seen, beats.is_blind(NOON)) == ({}, True)


def test_without_a_receiver_nobody_is_silent(tmp_path):
    assert write(tmp_path, last=-60, since=-600).silence("n1", NOON) is None


def test_with_a_receiver_that_stopped_nobody_is_silent(tmp_path):
    assert write(tmp_path, last=-60, since=-600, at_work=-1.6).silence("n1", NOON) is None


def test_silence_is_counted_from_when_the_receiver_began(tmp_path):
    beats = write(tmp_path, last=-60, since=-600, at_work=-0.1, receiver_since=-3)
    assert beats.silence("n1", NOON) == timedelta(seconds=3)


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"since": "x"}', '{"since": 1e30}', '{"since": -1}'])
def test_a_file_that_somebody_spoiled_still_tells_when_it_was_touched(tmp_path, rubbish):
    write(tmp_path, last=-1, since=-60, at_work=-0.1)
    path = tmp_path / "heartbeats" / "n1"
    path.write_text(rubbish)
    os.utime(path, (at(-1), at(-1)))
    beat = read_beats(tmp_path).seen["n1"]
    assert beat.last == beat.since == NOON - timedelta(seconds=1)


def test_files_that_are_no_nodes_are_passed_over(tmp_path):
    write(tmp_path, last=-1, since=-60, at_work=-0.1)
    (tmp_path / "heartbeats" / ".n2.new").write_text("{}")
    (tmp_path / "heartbeats" / "a b").write_text("{}")
    assert set(read_beats(tmp_path).seen) == {"n1"}
