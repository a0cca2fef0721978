"""The snapshot for programs."""

from __future__ import annotations

import pytest

from aistation_slurm.errors import (
    AistationError,
    InUse,
    QuotaExceeded,
    SlurmUnreachable,
    SpecError,
    UnknownNameError,
)
from aistation_slurm.web.errors import status_of


def test_the_snapshot_has_everything_typed(serve, six_teams) -> None:
    answer = serve(six_teams).get("/api/snapshot")
    found = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert (found["cluster"], found["is_stale"], found["problem"]) == ("station", False, "")
    assert (len(found["nodes"]), len(found["jobs"]), len(found["groups"])) == (95, 400, 5)
    assert found["totals"]["gpus"] == 760
    assert found["jobs"][0]["why"] == "others are ahead"


def test_the_snapshot_is_described_in_openapi(serve, small) -> None:
    schema = serve(small).get("/openapi.json").json()
    assert set(schema["paths"]) == {"/api/snapshot", "/healthz"}
    job = schema["components"]["schemas"]["JobOut"]["properties"]
    assert job["time_limit"]["description"] == "Seconds; null is no limit."


def test_a_slurm_that_is_away_is_said_and_no_error(serve, small) -> None:
    small.is_away = True
    answer = serve(small).get("/api/snapshot")
    assert answer.status_code == 200
    assert answer.json()["problem"] == "slurmctld does not answer"
    assert answer.json()["taken_at"] is None


def test_health_asks_slurm_nothing(serve, small) -> None:
    client = serve(small)
    assert client.get("/healthz").json()["status"] == "ok"
    assert small.looks == 0


def test_a_fault_of_our_own_is_a_problem_without_its_traceback(serve, small, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("aistation_slurm.web.app.snapshot_out", broken)
    answer = serve(small).get("/api/snapshot")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SpecError("x"), 422),
        (UnknownNameError("group", "x", where="", known=()), 422),
        (QuotaExceeded("x"), 409),
        (SlurmUnreachable("x"), 503),
        (InUse("x"), 502),
        (AistationError("x"), 400),
        (ValueError("x"), 500),
    ],
)
def test_an_error_has_the_status_of_the_nearest_class_above_it(error, status) -> None:
    assert status_of(error) == status
