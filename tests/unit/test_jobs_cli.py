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


def test_a_bar_is_drawn_in_ascii_where_the_terminal_knows_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from aistation_slurm.cli.job import looks

    monkeypatch.setattr(looks, "speaks_utf8", lambda: True)
    assert [looks.bar(each, width=4) for each in (0.0, 0.5, 1.0)] == ["────", "━━──", "━━━━"]
    monkeypatch.setattr(looks, "speaks_utf8", lambda: False)
    assert [looks.bar(each, width=4) for each in (0.5, None)] == ["##--", ""]


def test_a_label_is_told_once_for_several_values_and_what_has_no_value_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from aistation_slurm.cli.job.looks import show_pairs

    show_pairs([("job", "7"), ("exit", ""), ("metrics", "loss 1"), ("metrics", "acc 2"), ("log", "a\nb")])
    assert capsys.readouterr().out == "    job  7\nmetrics  loss 1\n         acc 2\n    log  a\n         b\n"


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (("job", "list", "--state", "foo"), "--state foo: no such state of a job"),
        (("job", "list", "--since", "yesterday"), "--since yesterday: neither 12h, 3d nor 2w, nor a date"),
        (("job", "logs", "--grep", "(", "7"), "--grep (: no regular expression"),
        (("job", "show", "abc"), "'abc' is not the id of a job"),
        (("job", "results", "12_[1-3]"), "'12_[1-3]' is not the id of a job"),
        (("job", "events", "0"), "'0' is not the id of a job"),
    ],
)
def test_what_can_not_be_meant_gets_one_sentence(
    argv: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aistation(*argv) != 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"aistation: {complaint}")
    assert "Traceback" not in told.err


@pytest.mark.parametrize("verb", ["list", "show", "logs", "top", "events", "results"])
def test_each_command_that_watches_says_how_it_is_used(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("job", verb, "--help") == 0
    assert f"aistation job {verb}" in capsys.readouterr().out.partition("Examples:")[2]
