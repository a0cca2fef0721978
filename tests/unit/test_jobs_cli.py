"""`aistation template` and `aistation checkpoint`, as a person meets them; `job` is among the cluster tests."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoints, Run
from aistation_slurm.cli.main import main


def aistation(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(argv))
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "aistation.toml"
    config.touch()
    monkeypatch.setenv("AISTATION_CONFIG", str(config))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = Checkpoints(tmp_path / "c", run=Run("12.0-x", "12", 0))
    run.save(10, b"ten")
    run.save(20, b"twenty")
    return run.folder


def test_the_templates_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("template", "list", "--json") == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} >= {"plain", "pytorch-ddp"}


def test_a_template_says_what_it_can_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("template", "show", "pytorch-ddp") == 0
    out = capsys.readouterr().out
    assert "launcher" in out
    assert "torchrun|srun" in out


def test_the_source_of_a_template_is_a_start_for_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("template", "show", "--source", "plain") == 0
    assert capsys.readouterr().out.startswith("{#\ntitle = ")


def test_an_unknown_template_is_named_with_its_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("template", "show", "pytorch-dpd") == 1
    assert capsys.readouterr().err.splitlines() == [
        "aistation: no template called 'pytorch-dpd'",
        "           did you mean 'pytorch-ddp'?",
    ]


def test_checkpoints_are_listed_with_who_held_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("checkpoint", "list", "--json", str(folder)) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["step"] for each in told["checkpoints"]] == [10, 20]
    assert told["claims"][0]["job_id"] == "12"


def test_a_broken_checkpoint_is_named_and_a_whole_one_is_enough(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Checkpoints(folder, run=Run("12.0-x", "12", 0)).at(20)
    os.truncate(broken.file, 1)
    assert aistation("checkpoint", "verify", "--json", str(folder)) == 0
    assert [each["fault"] for each in json.loads(capsys.readouterr().out)] == ["", "state has 1 bytes instead of 6"]


def test_without_a_whole_checkpoint_the_exit_code_says_so(folder: Path) -> None:
    for step in (10, 20):
        os.truncate(Checkpoints(folder, run=Run("12.0-x", "12", 0)).at(step).file, 1)
    assert aistation("checkpoint", "verify", str(folder)) == 1


def test_a_folder_without_checkpoints_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("checkpoint", "list", str(tmp_path)) == 1
    assert "no training has kept checkpoints here" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["launcher", "=x"])
def test_a_setting_is_written_as_name_and_value(
    setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.touch()
    assert aistation("job", "submit", "--set", setting, str(script)) == 64
    assert "write it as NAME=VALUE" in capsys.readouterr().err
