"""What is sent is drawn when it changes, and not more often."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.states import JobState
from aistation_slurm.web.contexts import Overview
from aistation_slurm.web.overview import overview
from aistation_slurm.web.published import AGAIN_AFTER, Body, Publisher
from aistation_slurm.web.snapshots import Snapshot

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Press:
    """A publisher whose snapshot and clock the test moves, and which counts its drawings."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(taken_at=NOON, cluster="station")
        self.now = NOON
        self.drawings = self.dumps = 0
        self.publisher = Publisher(
            current=lambda: self.snapshot,
            build=overview,
            draw=self.draw,
            wrap=lambda _, part: f"<{part.etag}>",
            dump=self.dump,
            now=lambda: self.now,
        )

    def draw(self, page: Overview) -> str:
        self.drawings += 1
        return f"{page.cluster} {len(page.jobs)} {page.is_stale}"

    def dump(self, snapshot: Snapshot, _: Overview) -> str:
        self.dumps += 1
        return snapshot.cluster

    def later(self, **changes: object) -> Body:
        self.now += timedelta(seconds=1)
        self.snapshot = replace(self.snapshot, taken_at=self.now, **changes)  # type: ignore[arg-type]
        return self.publisher.latest().fragment


@pytest.fixture
def press() -> Press:
    return Press()


def test_a_hundred_viewers_are_one_drawing(press: Press) -> None:
    assert len({press.publisher.latest().fragment.etag for _ in range(100)}) == 1
    assert press.drawings == 1


def test_a_new_look_that_says_the_same_is_no_new_drawing(press: Press) -> None:
    first = press.publisher.latest().fragment
    assert press.later() is first
    assert press.drawings == 1


def test_a_change_is_a_new_drawing_with_a_new_mark(press: Press) -> None:
    first = press.publisher.latest().fragment
    job = Job(job_id=1, name="a", user="ann", state=JobState.PENDING)
    assert press.later(jobs=(job,)).etag != first.etag
    assert press.drawings == 2


def test_the_latest_snapshot_is_told_though_the_drawing_is_older(press: Press) -> None:
    press.publisher.latest()
    press.later()
    assert press.publisher.latest().snapshot.taken_at == NOON + timedelta(seconds=1)


def test_a_snapshot_that_grows_old_is_drawn_again_as_stale(press: Press) -> None:
    assert press.publisher.latest().fragment.plain.endswith(b"False")
    press.now += timedelta(seconds=11)
    assert press.publisher.latest().fragment.plain.endswith(b"True")


def test_relative_times_are_written_again_after_a_while_and_keep_their_mark(press: Press) -> None:
    first = press.publisher.latest().fragment
    press.now += AGAIN_AFTER
    press.snapshot = replace(press.snapshot, taken_at=press.now)
    assert press.publisher.latest().fragment.etag == first.etag
    assert press.drawings == 2


def test_json_is_written_once_per_snapshot_and_only_for_who_asks(press: Press) -> None:
    press.later()
    assert press.dumps == 0
    assert press.publisher.for_programs() is press.publisher.for_programs()
    press.later()
    press.publisher.for_programs()
    assert press.dumps == 2


def test_the_compressed_copy_is_the_same_text() -> None:
    body = Body.of("müde" * 100)
    assert gzip.decompress(body.packed) == body.plain == ("müde" * 100).encode()
    assert body.etag == Body.of("müde" * 100).etag
