"""What a look at a running Slurm finds, from what its configuration and nodes say."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from aistation_slurm.cluster.doctor import examine
from aistation_slurm.errors import SlurmUnreachable
from aistation_slurm.slurm.connect import Slurm
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.slurm.writer import SlurmWriter

GOOD = {
    "ClusterName": "site",
    "SLURM_VERSION": "25.11.8",
    "SelectType": "select/cons_tres",
    "JobRequeue": "1",
    "PriorityType": "priority/multifactor",
    "PreemptType": "preempt/qos",
    "ProctrackType": "proctrack/cgroup",
    "AccountingStorageType": "accounting_storage/slurmdbd",
    "AccountingStorageEnforce": "associations,limits,qos",
}


@dataclass
class Said:
    """A reader that says what it is told to; what the doctor doesn't ask for isn't there."""

    settings: dict[str, str] = field(default_factory=lambda: dict(GOOD))
    gres: str = "gpu:v100:8"
    dbd: bool = True

    def config(self) -> dict[str, str]:
        return self.settings

    def nodes(self) -> list[Node]:
        return [Node(name="v100-01", state=NodeState.parse("IDLE"), gres=read_gres(self.gres))]

    def partitions(self) -> list[object]:
        return []

    def accounts(self) -> list[object]:
        if not self.dbd:
            raise SlurmUnreachable("slurmdbd does not answer", hint="is it running?")
        return []

    users = accounts


def look(said: Said) -> list[str]:
    return [str(each) for each in examine(Slurm(cast("SlurmReader", said), cast("SlurmWriter", None)))]


def test_a_site_in_order_has_nothing_but_good_lines():
    assert [line[:2] for line in look(Said())] == ["ok"] * 9


@pytest.mark.parametrize(
    ("version", "open_"),
    [
        ("25.11.8", False),
        ("25.11.7", True),
        ("22.05.8", True),
        ("25.05.9", False),
        ("26.05.4", False),
        ("24.11.9", True),
    ],
)
def test_releases_with_the_open_cves_are_named(version, open_):
    text = "\n".join(look(Said(settings={**GOOD, "SLURM_VERSION": version})))
    assert ("CVEs" in text) is open_


def test_a_release_older_than_what_we_were_tried_with_is_bad():
    assert look(Said(settings={**GOOD, "SLURM_VERSION": "21.08.8"}))[0].startswith("!!")


@pytest.mark.parametrize("key", ["SelectType", "JobRequeue", "PriorityType", "PreemptType", "ProctrackType"])
def test_a_setting_that_hinders_comes_with_the_one_that_would_not(key):
    line = next(each for each in look(Said(settings={**GOOD, key: "other"})) if f"{key}=other" in each)
    assert line.startswith("note")
    assert f"{key}=" in line.splitlines()[1]


def test_without_gpus_there_is_nothing_for_us_to_do():
    assert any("no node has a GPU" in line for line in look(Said(gres="")))


def test_without_accounting_there_are_no_quotas():
    lines = look(Said(settings={**GOOD, "AccountingStorageType": "accounting_storage/none"}))
    assert lines[-1].startswith("!!   no accounting by slurmdbd")


def test_a_slurmdbd_that_does_not_answer_is_said_with_what_to_do():
    assert look(Said(dbd=False))[-1] == "!!   slurmdbd: slurmdbd does not answer\n     is it running?"


def test_by_which_reader_slurm_is_asked_and_why_is_said():
    assert "ok   Slurm is asked by cli: nothing else was asked for" in look(Said())
