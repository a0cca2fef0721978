"""`aistation cluster` where no Slurm is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aistation_slurm.cli.cluster import cluster
from aistation_slurm.cli.main import main

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"


@pytest.fixture
def aistation(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("AISTATION_CONFIG", str(tmp_path / "aistation.toml"))
    (tmp_path / "aistation.toml").write_text(f'cluster_file = "{EXAMPLES / "small.yaml"}"\n')

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_a_right_file_is_summed_up_in_one_line(aistation):
    code, out, _ = aistation("cluster", "check", str(EXAMPLES / "six-teams.yaml"))
    assert code == 0
    assert out.endswith("cluster station: 5 groups, 95 nodes, 760 GPUs, 6 teams, 120 users\n")


def test_without_a_file_it_is_the_one_that_the_settings_name(aistation):
    assert "cluster small: 2 groups" in aistation("cluster", "check")[1]


def test_a_wrong_file_is_complained_of_line_by_line_without_traceback(aistation, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("cluster: x\ngroups:\n  v100: {nodes: 1}\nteems: {}\n")
    code, out, err = aistation("cluster", "check", str(path))
    assert (code, out) == (1, "")
    assert f"{path}:4:1: unknown key 'teems'; did you mean 'teams'?" in err
    assert "Traceback" not in err


def test_a_warning_goes_to_stderr(aistation, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text((EXAMPLES / "small.yaml").read_text().replace("v100-[01-03]", "v100[01-03]"))
    code, _, err = aistation("cluster", "check", str(path))
    assert code == 0
    assert err.startswith(f"warning: {path}:6:10: ")


def test_show_says_what_the_file_says(aistation):
    _, out, _ = aistation("cluster", "show", str(EXAMPLES / "six-teams.yaml"))
    assert "p100-[01-30]" in out
    assert "gpu=16 per user" in out
    assert "User Behaviour Analysis" in out
    shown = json.loads(aistation("cluster", "show", "--json")[1])
    assert shown["groups"]["v100"]["memory"] == "16G"


def test_the_schema_names_every_key(aistation):
    schema = json.loads(aistation("cluster", "schema")[1])
    assert schema["additionalProperties"] is False
    assert "gpus_per_node" in schema["$defs"]["GpuGroup"]["properties"]


def test_without_a_slurm_the_plan_says_what_is_missing(aistation, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    code, out, err = aistation("cluster", "plan")
    assert (code, out) == (1, "")
    assert "slurm.conf" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("verb", ["", *cluster.commands])
def test_every_help_ends_with_two_examples(verb, aistation):
    _, out, _ = aistation("cluster", *filter(None, [verb]), "--help")
    examples = out.partition("Examples:")[2].partition("Options:")[0].strip().splitlines()
    assert len(examples) == 2
    assert all("aistation cluster" in each or "cluster.schema.json" in each for each in examples)
