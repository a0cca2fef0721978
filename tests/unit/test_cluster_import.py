"""A cluster file written from a running Slurm is one that can be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster import imported, load
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Account, Association, Limits, Node, Partition, Qos
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import Gres


@dataclass
class Site:
    """What a site's Slurm shows."""

    name: str = "Station"
    found_nodes: list[Node] = field(default_factory=list)
    found_partitions: list[Partition] = field(default_factory=list)
    found_associations: list[Association] = field(default_factory=list)
    found_qos: list[Qos] = field(default_factory=list)

    def config(self) -> dict[str, str]:
        return {"ClusterName": self.name}

    def nodes(self) -> list[Node]:
        return self.found_nodes

    def partitions(self) -> list[Partition]:
        return self.found_partitions

    def associations(self, cluster: str | None = None) -> list[Association]:
        return self.found_associations

    def accounts(self) -> list[Account]:
        names = dict.fromkeys(each.account for each in self.found_associations)
        return [Account(name=name, description="the site's") for name in names]

    def qos(self) -> list[Qos]:
        return self.found_qos

    @property
    def slurm(self) -> Slurm:
        return Slurm(read=self, write=None)


def a_node(name: str, *, gpu: str = "v100", gpus: int = 8, shards: int = 0, memory: int = 1000) -> Node:
    gres = [Gres(name="gpu", type=gpu, count=gpus)] if gpus else []
    gres += [Gres(name="shard", count=shards)] if shards else []
    return Node(name=name, state=NodeState.parse("IDLE"), cpus=64, memory=memory, gres=tuple(gres))


def member(account: str, user: str, *qos: str) -> Association:
    return Association(cluster="station", account=account, user=user, qos=qos)


@pytest.fixture
def read(tmp_path):
    def read_back(site: Site):
        path = tmp_path / "imported.yaml"
        path.write_text(imported(site.slurm))
        return load(path), path.read_text()

    return read_back


def test_a_partition_becomes_a_group_and_an_account_a_team(read):
    quota = Qos(name="q", limits=Limits(max_tres_per_user={"gres/gpu": 16}))
    gpu = Partition(name="GPU", nodes="g-[1-2]", qos="q", is_default=True, allow_accounts=("robot", "nobody"))
    accounts = [member("root", ""), member("root", "root"), member("robot", ""), member("robot", "ann", "emergency")]
    spec, _ = read(Site("Station", [a_node("g-1", shards=32), a_node("g-2", shards=32)], [gpu], accounts, [quota]))
    assert (spec.cluster, spec.default_group) == ("station", "GPU")
    group = spec.groups["GPU"]
    assert (group.node_names(), group.gpus_per_node, group.shards_per_gpu) == (("g-1", "g-2"), 8, 4)
    assert (group.teams, group.quota.per_user.gpu) == (["robot"], 16)
    assert (spec.teams["robot"].members, spec.teams["robot"].emergency) == (["ann"], ["ann"])


def test_what_can_not_be_said_stands_in_the_comments(read):
    nodes = [
        a_node("g-1"),
        a_node("g-2"),
        a_node("odd-1", gpu="a100"),
        a_node("cpu-1", gpus=0),
        a_node("m-1", memory=0),
    ]
    partitions = [
        Partition(name="gpu", nodes="g-[1-2],odd-1"),
        Partition(name="every", nodes="g-[1-2],odd-1,cpu-1"),
        Partition(name="cpu", nodes="cpu-1"),
        Partition(name="small", nodes="m-1"),
    ]
    accounts = [member("Wörter", ""), member("robot", ""), member("robot", "DOMAIN\\ann")]
    spec, text = read(Site("station", nodes, partitions, accounts))
    assert list(spec.groups) == ["gpu"]
    assert "# Left out: odd-1 of partition gpu: GPUs of another kind than its other nodes" in text
    assert "# Left out: partition every: its nodes are in group gpu already" in text
    assert "RealMemory=0: does its slurm.conf say what it has?" in text
    assert "# Left out: account Wörter: its name can't be a team's" in text
    assert "# Left out: users DOMAIN\\ann of account robot: no Unix names" in text


def test_a_slurm_without_gpus_is_told_so():
    site = Site("station", [a_node("cpu-1", gpus=0)], [Partition(name="cpu", nodes="cpu-1")])
    with pytest.raises(SpecError, match="no partition has a node with GPUs"):
        imported(site.slurm)


NAMES = st.sampled_from(
    ["no", "on", "null", "1e3", "08", "ann", "Ann", "a b", "root", "all", "-x", "x:y", "é", "~", "#x"]
)


@given(st.lists(st.tuples(NAMES, NAMES)), NAMES, NAMES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_names_that_yaml_or_slurm_would_mistake_are_quoted_or_left_out(read, rows, partition, kind):
    accounts = [each for account, user in rows for each in (member(account, ""), member(account, user))]
    partitions = [Partition(name=partition, nodes="g-1"), Partition(name="plain", nodes="h-1")]
    spec, _ = read(Site("station", [a_node("g-1", gpu=kind), a_node("h-1")], partitions, accounts))
    assert "plain" in spec.groups
