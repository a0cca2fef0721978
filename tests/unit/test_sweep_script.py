"""A member finds its own parameters, whatever they hold, and nothing of them is ever run: by a real bash."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from aistation_slurm.errors import RequestError, UnprintableError
from aistation_slurm.jobs.catalogue import open_catalogue
from aistation_slurm.jobs.request import TrainingRequest, training_request
from aistation_slurm.jobs.sweep.arguments import for_member, for_script
from aistation_slurm.jobs.sweep.folder import Sweep, write_new
from aistation_slurm.jobs.sweep.script import Part, sweep_script
from aistation_slurm.jobs.sweep.values import variable, write_value

HOSTILE = [
    "", " ", "a b", "\t", "\n", "\n#SBATCH --account=root\n", "it's", '"', "'\"'", "\\", "\\n", "\\0101", "\\c",
    "$(touch owned)", "`touch owned`", "${HOME}", "$HOME", "; touch owned", "&& touch owned", "| touch owned", "%s%n",
    "*", "?", "~", "{a}", "{{a}}", "!!", "--help", "-n", "-e", "=", "a=b", "é", "模型", "\u2028", "\x1b[31m", "\x7f",
    "$'\\x41'", "x" * 5000, "trailing \n\n", "\r\n", "<<EOF", "$((1+1))", "a\tb", "#", "> owned", "\ufffd", "0x1",
]  # fmt: skip
NAMES = ("a", "b.c", "d-e", "_f")
RECORD = """import json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith("AISTATION_PARAM_")}
told |= {"argv": sys.argv[1:], "params": json.load(open(os.environ["AISTATION_PARAMS"]))}
told |= {"checkpoints": os.environ["AISTATION_CHECKPOINT_DIR"], "member": os.environ["AISTATION_SWEEP_MEMBER"]}
json.dump(told, open(os.environ["AISTATION_RUN_DIR"] + "/told.json", "w"))
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""


@pytest.fixture
def request_(tmp_path) -> TrainingRequest:
    (tmp_path / "train.py").write_text(RECORD)
    return training_request(template="plain", script=tmp_path / "train.py", group="v100")


@pytest.fixture
def run(tmp_path):
    """`run(request, members)` runs the script of each member, with srun in bash, and returns what each was told."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/sh\n"}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)

    def carry_out(request: TrainingRequest, members: list, *, first: int = 0) -> list[dict]:
        folder = tmp_path / "it's a sweep"
        write_new(Sweep(folder, "abc", "train", tmp_path, len(members)), members)
        part = Part(folder, first, f"0-{len(members) - 1}")
        script = sweep_script(request, part, members, open_catalogue())
        told = []
        for task in range(len(members) - first):
            env = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "SLURM_JOB_ID": str(100 + task),
                   "SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_NAME": "train",
                   "SLURM_JOB_NODELIST": "v100-01", "SLURM_NODEID": "0"}  # fmt: skip
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            told.append(json.loads((tmp_path / f"train-100_{task}" / "told.json").read_text()))
        return told

    return carry_out


def test_every_hostile_value_arrives_as_it_is_by_variable_by_file_and_by_argument(tmp_path, request_, run):
    members = [dict(zip(NAMES, HOSTILE[at:], strict=False)) for at in range(0, len(HOSTILE), len(NAMES))]
    assert sum(map(len, members)) == len(HOSTILE)
    request = replace(request_, args=("--a", "{a}", "--both={b.c}/{d-e}", "{_f}", "{{a}}", '{"a": 1}'))

    for params, told in zip(members, run(request, members), strict=True):
        assert told["params"] == params
        assert {name: told[variable(name)] for name in NAMES} == params
        a, b, d, f = params.values()
        assert told["argv"] == ["--a", a, f"--both={b}/{d}", f, "{a}", '{"a": 1}']
        assert tuple(told["argv"]) == for_member(request.args, params)
    assert not list(tmp_path.rglob("owned"))


def test_a_member_keeps_its_values_and_its_checkpoints_in_whichever_array_it_runs(tmp_path, request_, run):
    members = [{"lr": lr, "deep": [lr, {"a": None}], "on": True} for lr in (1, 2.5, -3e-9)]
    told = run(request_, members, first=1)
    assert [each["member"] for each in told] == ["1", "2"]
    assert [each["params"] for each in told] == members[1:]
    assert [each["AISTATION_PARAM_DEEP"] for each in told] == [write_value(each["deep"]) for each in members[1:]]
    assert {each["AISTATION_PARAM_ON"] for each in told} == {"true"}
    assert [Path(each["checkpoints"]) for each in told] == [
        tmp_path / "it's a sweep" / "checkpoints" / number for number in ("1", "2")
    ]


def test_no_value_stands_in_the_script(tmp_path, request_):
    part = Part(tmp_path, 0, "0-1%1")
    one, other = (
        sweep_script(replace(request_, args=("{x}",)), part, [{"x": value}] * 2, open_catalogue())
        for value in ("$(touch owned)", "harmless")
    )
    assert one == other
    assert "#SBATCH --array=0-1%1\n" in one


def test_every_template_takes_a_sweep(tmp_path, request_):
    catalogue = open_catalogue()
    for name in catalogue.names():
        script = sweep_script(
            replace(request_, template=name, args=("--lr", "{lr}")), Part(tmp_path, 0, "0-1"), [{"lr": 1}], catalogue
        )
        assert '--lr "${AISTATION_PARAM_LR}"' in script, name
        assert "AISTATION_SWEEP_MEMBER" in script, name


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say_of_a_sweeps_script(tmp_path, request_):
    script = sweep_script(
        replace(request_, args=("{lr}",)), Part(tmp_path / "it's", 4, "0-1"), [{"lr": 1}], open_catalogue()
    )
    done = subprocess.run(  # SC2317, SC2016: functions that traps call, and text for another bash
        ["shellcheck", "--shell=bash", "--exclude=SC2317,SC2016", "--format=gcc", "-"],
        input=script, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == ""
    assert done.returncode == 0


def test_a_folder_of_checkpoints_that_was_named_holds_one_for_each_member(tmp_path, request_, run):
    told = run(replace(request_, checkpoint_dir=tmp_path / "my $(ckpt)"), [{"lr": 1}, {"lr": 2}])
    assert [each["checkpoints"] for each in told] == [f"{tmp_path}/my $(ckpt)/0", f"{tmp_path}/my $(ckpt)/1"]


def test_a_place_without_a_value_is_one_clear_sentence():
    with pytest.raises(RequestError, match="no parameter called 'lrr'") as caught:
        for_script(["--lr={lrr}"], [{"lr": 1}])
    assert caught.value.hint == "did you mean 'lr'?"
    with pytest.raises(RequestError, match="member 1 has no 'lr'"):
        for_script(["{lr}"], [{"lr": 1}, {"batch": 1}])
    with pytest.raises(UnprintableError):
        for_script(["\n{lr}"], [{"lr": 1}])
