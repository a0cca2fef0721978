"""What a person asks for: read, checked, said what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.request import FIELDS, TrainingRequest, read_request, request_json, training_request


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("script", "name"), [("train.py", "train"), ("it's $(me).py", "it_s_me"), ("数据.py", "training"), (".x", "x")]
)
def test_a_job_is_named_after_its_script(script: str, name: str):
    assert read_request({"script": script}).name == name
    assert TrainingRequest(script=Path(script)).name == name


def test_a_script_that_is_not_there_is_said(tmp_path: Path):
    with pytest.raises(RequestError, match=r"nope\.py: there is no such file"):
        training_request(script=tmp_path / "nope.py")


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"name": "a b"}, "--name: 'a b' can't be used here"),
        ({"time": "soon"}, "--time: 'soon' is no Slurm time"),
        ({"checkpoint_dir": Path("/data/a\nb")}, "holds the character"),
        ({"args": ("a\nb",)}, "holds the character"),
        ({"colour": "red"}, "--colour: is not known"),
        ({"grup": "v100"}, "did you mean 'group'?"),
        ({"gpus": -1}, "--gpus: -1 is no whole number from 0"),
        ({"nodes": "1-4"}, "--nodes: '1-4' is no whole number"),
        ({"nodes": True}, "--nodes: True is no whole number"),
        ({"mem": "64 G"}, "--mem: '64 G' can't be used here: it is no amount of memory"),
        ({"mail": "END;id"}, "--mail-type: 'END;id' can't be used here"),
        ({"constraint": "a b"}, "--constraint: 'a b' can't be used here"),
        ({"exports": {"A-B": "x"}}, "is no name of a variable"),
        ({"exports": {"A": "x\ny"}}, "holds the character"),
        ({"datasets": {"in": ""}}, "--dataset: is to be a text"),
        ({"args": "one two"}, "--args: is to be a list"),
        ({"shares": 1, "gpus": 1}, "--share: shares of a GPU and whole GPUs exclude each other"),
    ],
)
def test_a_value_that_can_not_be_used_is_one_sentence(script: Path, wanted: dict[str, Any], complaint: str):
    with pytest.raises(RequestError) as error:
        training_request(script=script, **wanted)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_all_that_is_wrong_is_said_at_once(script: Path):
    with pytest.raises(RequestError, match="--name: ") as error:
        training_request(script=script, name="a b", gpus="many", time="soon")
    assert [line.partition(":")[0] for line in error.value.hint.splitlines()] == ["--gpus", "--time"]


def test_what_is_none_was_not_asked_for(script: Path):
    assert training_request(script=script, group=None, name=None) == TrainingRequest(script=script)


EVERYTHING = {
    "template": "plain", "script": "/d/t.py", "args": ["--x", ""], "name": "n", "group": "v100", "nodes": 2, "gpus": 16,
    "gpus_per_node": 8, "gpu_type": "v100", "cpus_per_gpu": 2, "cpus": 4, "mem": "64G", "time": "1-0",
    "account": "face", "qos": "night", "reservation": "r", "constraint": "a&b", "python": "py", "image": "i.sif",
    "datasets": {"in": "/data/in"}, "output": "%x.log", "checkpoint_dir": "/c", "mail": ["END", "FAIL"],
    "exports": {"A": "1"}, "settings": {"launcher": "srun"},
}  # fmt: skip


def test_a_request_comes_back_from_json_as_it_was():
    request = read_request(EVERYTHING)
    assert set(EVERYTHING) == set(FIELDS) - {"shares"}
    assert request_json(request) == EVERYTHING
    assert read_request(request_json(request)) == request
