"""What changes in the rules' table, as the plan tells it to people."""

from __future__ import annotations

from pathlib import Path

from aistation_slurm.cluster.rules.difference import table_changes
from aistation_slurm.cluster.rules.table import table_text
from aistation_slurm.spec import load_spec

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"


def changes(tmp_path: Path, example: str, *edits: tuple[str, str]) -> tuple[str, ...]:
    text = (EXAMPLES / f"{example}.yaml").read_text()
    edited = text
    for old, new in edits:
        assert old in edited
        edited = edited.replace(old, new)
    (tmp_path / "old.yaml").write_text(text)
    (tmp_path / "new.yaml").write_text(edited)
    return table_changes(*(table_text(load_spec(tmp_path / name)) for name in ("old.yaml", "new.yaml")))


def test_a_group_is_told_by_what_changes_of_it(tmp_path):
    assert changes(tmp_path, "small", ("shards_per_gpu: 4", "shards_per_gpu: 2")) == ("~ dev  shards 8 -> 4",)


def test_a_quota_is_told_with_what_follows_from_it(tmp_path):
    (line,) = changes(tmp_path, "small", ("quota: {per_user: {gpu: 4}}", "quota: {per_user: {gpu: 3}}"))
    assert line.startswith("~ v100  user {gpus = 4, ")
    assert " -> {gpus = 3, " in line


def test_what_comes_and_goes_is_told_whole(tmp_path):
    said = changes(tmp_path, "small", ("  dev: ", "  lab: "))
    assert any(line.startswith("- dev = {") for line in said)
    assert any(line.startswith("+ lab = {") for line in said)


def test_nothing_is_told_where_nothing_changes(tmp_path):
    assert changes(tmp_path, "six-teams") == ()
