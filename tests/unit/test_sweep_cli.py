"""`aistation job sweep` as a person meets it, before Slurm is asked anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from aistation_slurm.cli.main import main


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "aistation.toml").touch()
    (tmp_path / "train.py").touch()
    monkeypatch.setenv("AISTATION_CONFIG", str(tmp_path / "aistation.toml"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)


def aistation(*argv: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["job", "sweep", *argv])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("train.py", 64, "say what to try, in one way"),
        ("--grid lr=1 --csv p.csv train.py", 64, "say what to try, in one way"),
        ("--grid lr=1 --seed 3 train.py", 64, "--draw and --seed go with --random"),
        ("--grid lr=1", 64, "name the script that is to run"),
        ("--grid lr=1 none.py", 1, "none.py: there is no such file"),
        ("--grid lr=1 train.py --lr {l}", 1, "{l}: no parameter called 'l'"),
        ("--grid lr train.py", 1, "--grid: 'lr' names no values"),
        ("--csv p.csv train.py", 1, "p.csv: can't be read: No such file"),
        ("--random 3 --draw lr=log:0..1 train.py", 1, "--draw lr: nothing lies in 0..1"),
        ("show", 1, "no sweep was submitted in this folder"),
        ("retry", 1, "no sweep was submitted in this folder"),
        ("limit many", 64, "many: name a sweep, or none, and how many members"),
    ],
)
def test_bad_input_is_one_clear_sentence(capsys: pytest.CaptureFixture[str], words: str, code: int, said: str) -> None:
    assert aistation(*words.split()) == code
    told = capsys.readouterr()
    assert told.err.startswith(f"aistation: {said}") or said in told.err.splitlines()[0]
    assert told.out == ""
    assert "Traceback" not in told.err


def test_the_word_start_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert aistation("--help") == 0
    assert "retry" in capsys.readouterr().out
    assert aistation("start", "--help") == 0
    helped = capsys.readouterr().out
    assert all(option in helped for option in ("--grid", "--at-once", "--gpus-per-node", "--mem", "--auto-resume"))
    assert not any(option in helped for option in ("--again", "--wait", "--sbatch"))
