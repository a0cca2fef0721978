from __future__ import annotations

import math
from pathlib import Path

import pytest

from aistation_slurm import progress


def test_a_report_is_one_line_that_can_be_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISTATION_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    assert progress.report(1, 10, loss=0.5)
    assert progress.report(2, 10, loss=0.25, accuracy=0.9)

    first, second = progress.read(tmp_path / progress.FILE)
    assert (first.step, first.total, first.restart_count, first.metrics) == (1, 10, 2, {"loss": 0.5})
    assert progress.latest(tmp_path / progress.FILE) == second
    assert (tmp_path / progress.FILE).read_text().count("\n") == 2


def test_without_a_folder_nothing_is_written_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AISTATION_RUN_DIR", raising=False)
    assert not progress.report(1, 10)


def test_a_folder_that_can_not_be_written_does_not_end_the_training(tmp_path: Path) -> None:
    assert not progress.report(1, path=tmp_path / "missing" / "p.jsonl")


def test_a_loss_that_is_no_number_is_reported_as_it_is(tmp_path: Path) -> None:
    progress.report(1, path=tmp_path / "p", loss=math.nan)
    found = progress.latest(tmp_path / "p")
    assert found is not None
    assert found.total is None
    assert math.isnan(found.metrics["loss"])


@pytest.mark.parametrize("rubbish", [b"", b"{", b"\xff\xfe\n", b"[]\n", b'{"step": "x"}\n', b"null\n"])
def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "p"
    progress.report(5, 9, path=path)
    path.write_bytes(path.read_bytes() + rubbish)
    assert [each.step for each in progress.read(path)] == [5]
    found = progress.latest(path)
    assert found is not None
    assert found.step == 5


def test_there_is_no_report_where_there_is_no_file(tmp_path: Path) -> None:
    assert progress.latest(tmp_path / "p") is None
    assert list(progress.read(tmp_path / "p")) == []


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"x" * 200_000 + b"\n")
    progress.report(7, path=path)
    found = progress.latest(path)
    assert found is not None
    assert found.step == 7
