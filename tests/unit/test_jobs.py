"""Requests, what fits, what is submitted, and what is said of it; Slurm is a stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aistation_slurm.errors import RequestError, SlurmRefused
from aistation_slurm.jobs import submit as submit_module
from aistation_slurm.jobs.catalogue import open_catalogue
from aistation_slurm.jobs.fit import Adjustment, Group, find_group, fit
from aistation_slurm.jobs.request import TrainingRequest, training_request
from aistation_slurm.jobs.submit import draft, submit
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Job, Node, Partition
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import Gres

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
V100 = Group(name="v100", nodes=8, gpus_in_a_node=8, cpus_in_a_node=64)


def a_request(**wanted: Any) -> TrainingRequest:
    return TrainingRequest.model_validate({"script": "/data/ann/train.py", **wanted})


def a_job(**known: Any) -> Job:
    return Job(**{"job_id": 12, "name": "train", "user": "ann", "state": JobState.RUNNING, **known})


def a_node(name: str, *, gpus: int = 8, cpus: int = 64, partitions: tuple[str, ...] = ("v100",)) -> Node:
    gres = (Gres(name="gpu", type="v100", count=gpus),) if gpus else ()
    return Node(name=name, state=NodeState.parse("IDLE"), gres=gres, cpus=cpus, partitions=partitions)


@dataclass
class FakeReader:
    partitions_: Sequence[Partition] = (Partition(name="v100", is_default=True), Partition(name="cpu"))
    nodes_: Sequence[Node] = (a_node("v-01"), a_node("v-02"), a_node("c-01", gpus=0, partitions=("cpu",)))
    jobs_: list[Job] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def partitions(self) -> Sequence[Partition]:
        return self.partitions_

    def nodes(self) -> Sequence[Node]:
        return self.nodes_

    def jobs(self, *, with_over: bool = False) -> list[Job]:
        return self.jobs_

    def history(self, **asked: Any) -> list[Job]:
        self.asked.append(asked)
        return self.jobs_

    def job(self, job_id: int) -> Job:
        return self.jobs_.pop(0) if len(self.jobs_) > 1 else self.jobs_[0]


@dataclass
class FakeWriter:
    refusal: str = ""
    submitted: list[tuple[str, Path | None]] = field(default_factory=list)

    def sbatch(self, script: str, *options: str, cwd: Path | None = None) -> int:
        if self.refusal:
            raise SlurmRefused(self.refusal)
        self.submitted.append((script, cwd))
        return 77


def a_slurm(reader: FakeReader | None = None, writer: FakeWriter | None = None) -> Slurm:
    return Slurm(read=reader or FakeReader(), write=writer or FakeWriter())  # type: ignore[arg-type]


# -- what fits --------------------------------------------------------------------------------------------------------


def test_what_fits_is_left_as_it_is():
    request = a_request(nodes=2, gpus_per_node=8)
    assert fit(request, V100) == (request, [])


@pytest.mark.parametrize(
    ("nodes", "gpus", "given"), [(1, 16, (2, 8)), (1, 12, (2, 6)), (1, 9, (2, 5)), (2, 16, (4, 8)), (1, 64, (8, 8))]
)
def test_more_gpus_than_a_node_has_become_more_nodes(nodes: int, gpus: int, given: tuple[int, int]):
    fitting, changes = fit(a_request(nodes=nodes, gpus_per_node=gpus), V100)
    assert (fitting.nodes, fitting.gpus_per_node) == given
    assert given[0] * given[1] >= nodes * gpus
    assert [each.what for each in changes] == ["gpus_per_node", "nodes"]


def test_an_adjustment_says_itself_in_one_line():
    _, changes = fit(a_request(nodes=1, gpus_per_node=16), V100)
    assert [str(each) for each in changes] == [
        "gpus_per_node: 16 -> 8 (a node of v100 has no more)",
        "nodes: 1 -> 2 (so that there are 16 GPUs in all)",
    ]


def test_more_nodes_than_the_group_has_become_fewer():
    fitting, changes = fit(a_request(nodes=9, gpus_per_node=8), V100)
    assert fitting.nodes == 8
    assert changes == [Adjustment("nodes", 9, 8, "v100 has no more")]


def test_more_cpus_than_a_node_has_become_fewer():
    fitting, changes = fit(a_request(nodes=1, gpus_per_node=8, cpus_per_gpu=16), V100)
    assert fitting.cpus_per_gpu == 8
    assert str(changes[0]) == "cpus_per_gpu: 16 -> 8 (a node of v100 has 64 CPUs)"


def test_gpus_in_a_group_without_any_are_refused():
    with pytest.raises(RequestError, match="the nodes of 'cpu' have no GPUs"):
        fit(a_request(gpus_per_node=1), replace(V100, name="cpu", gpus_in_a_node=0))


def test_a_group_without_nodes_is_refused():
    with pytest.raises(RequestError, match="'v100' has no nodes"):
        fit(a_request(), replace(V100, nodes=0))


def test_the_group_is_the_one_named_or_the_default():
    reader = FakeReader()
    assert find_group(None, reader.partitions(), reader.nodes()) == Group("v100", 2, 8, 64)
    assert find_group("cpu", reader.partitions(), reader.nodes()) == Group("cpu", 1, 0, 64)


def test_an_unknown_group_is_named_with_its_nearest():
    with pytest.raises(RequestError, match="no GPU group called 'v10'") as error:
        find_group("v10", FakeReader().partitions(), ())
    assert error.value.hint == "did you mean 'v100'?"


def test_without_a_default_the_groups_are_named():
    with pytest.raises(RequestError, match="there is no default one") as error:
        find_group(None, [Partition(name="a"), Partition(name="b")], ())
    assert error.value.hint == "there are: a, b"


# -- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "name"), [("train.py", "train"), ("it's $(me).py", "it_s_me"), ("数据.py", "training"), (".x", "x")]
)
def test_a_job_is_named_after_its_script(script: str, name: str):
    assert a_request(script=script).name == name


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
        ({"colour": "red"}, "--colour: Extra inputs are not permitted"),
    ],
)
def test_a_value_that_can_not_be_used_is_one_sentence(tmp_path: Path, wanted: dict[str, Any], complaint: str):
    script = tmp_path / "train.py"
    script.touch()
    with pytest.raises(RequestError, match=complaint.replace("(", r"\(")) as error:
        training_request(script=script, **wanted)
    assert "\n" not in str(error.value)


def test_what_is_none_was_not_asked_for(tmp_path: Path):
    script = tmp_path / "train.py"
    script.touch()
    assert training_request(script=script, group=None, name=None) == TrainingRequest(script=script)


# -- submit -----------------------------------------------------------------------------------------------------------


def test_a_draft_names_the_default_group_and_the_templates_defaults():
    ready = draft(a_slurm(), a_request(), open_catalogue())
    assert "#SBATCH --partition=v100\n" in ready.script
    assert "#SBATCH --nodes=1\n" in ready.script
    assert "#SBATCH --gpus-per-node=1\n" in ready.script


def test_a_plain_job_in_a_group_without_gpus_asks_for_none():
    ready = draft(a_slurm(), a_request(template="plain", group="cpu"), open_catalogue())
    assert "gpus-per-node" not in ready.script


def test_a_plain_job_that_would_need_two_nodes_is_refused():
    with pytest.raises(RequestError, match="'plain' has no parameter 'nodes'"):
        draft(a_slurm(), a_request(template="plain", gpus_per_node=9), open_catalogue())


def test_a_submission_runs_in_the_folder_and_knows_its_log(tmp_path: Path):
    writer = FakeWriter()
    slurm = a_slurm(writer=writer)
    made = submit(slurm, draft(slurm, a_request(output="logs/%x-%j.log"), open_catalogue()), folder=tmp_path)
    assert made.job_id == 77
    assert made.log == tmp_path / "logs" / "train-77.log"
    assert made.log.parent.is_dir()
    assert writer.submitted[0][1] == tmp_path


@pytest.mark.parametrize(("uid", "complaint"), [(0, "root belongs to no team"), (1000, "Invalid account")])
def test_root_without_a_team_is_told_to_submit_as_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, complaint: str
):
    monkeypatch.setattr(submit_module.os, "geteuid", lambda: uid)
    slurm = a_slurm(writer=FakeWriter(refusal="Invalid account or account/partition combination specified"))
    with pytest.raises(SlurmRefused, match=complaint):
        submit(slurm, draft(slurm, a_request(), open_catalogue()), folder=tmp_path)
