"""Incidents of our tables, as the page tells them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.store.engine import open_store, session
from aistation_slurm.store.tables import Incident, LostJob
from aistation_slurm.web.recoveries import NEWEST, StoreRecoveries, recovery

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def an_incident(**more: object) -> Incident:
    given: dict[str, object] = {"node": "n1", "why": "aistation: no heartbeat", "last_beat_at": NOON}
    return Incident(**(given | {"noticed_at": after(3), "down_at": after(3.1)} | more))


def a_job(job_id: int, **more: object) -> LostJob:
    return LostJob(incident_id=1, job_id=job_id, **more)


def test_a_recovery_takes_from_the_last_heartbeat_to_the_last_job_running() -> None:
    found = recovery(an_incident(), [a_job(1, running_at=after(4)), a_job(2, running_at=after(5))])
    assert found.recovered_in == timedelta(seconds=5)
    assert [words for words, _ in found.steps] == ["last heartbeat", "marked down", "running again"]
    assert (found.what, found.job_ids) == ("no heartbeat", (1, 2))


def test_what_was_seen_is_told_without_what_stands_beside_it() -> None:
    why = "down n1: no heartbeat for 2.1 s, slurmd does not answer; jobs 5000002 on it"
    assert recovery(an_incident(why=why), []).what == "no heartbeat for 2.1 s, slurmd does not answer"


def test_a_recovery_is_not_over_while_one_job_is_on_its_way() -> None:
    assert recovery(an_incident(), [a_job(1, running_at=after(4)), a_job(2)]).recovered_in is None


def test_a_job_that_was_cancelled_meanwhile_holds_nothing_up() -> None:
    found = recovery(an_incident(), [a_job(1, running_at=after(4)), a_job(2, ended_at=after(9))])
    assert found.recovered_in == timedelta(seconds=4)


def test_the_newest_incidents_come_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    engine = open_store(url)
    with session(engine) as work:
        for number in range(NEWEST + 3):
            work.add(an_incident(node=f"n{number}", noticed_at=after(number)))
        work.add(an_incident(node="only-suspected", noticed_at=after(99), down_at=None))
    engine.dispose()
    read = StoreRecoveries(url)
    found = read()
    read.close()
    assert [each.node for each in found] == [f"n{number}" for number in range(NEWEST + 2, 2, -1)]


def test_without_a_database_there_are_no_incidents_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read = StoreRecoveries(f"sqlite:///{tmp_path}/none.db")
    assert read() == read() == ()
    assert caplog.text.count("incidents are not shown") == 1
    assert not (tmp_path / "none.db").exists()
