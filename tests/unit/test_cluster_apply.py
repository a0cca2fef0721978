"""A plan is carried out in its order, or leaves the files as they were."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aistation_slurm.cluster.applying import execution, lock
from aistation_slurm.cluster.applying.apply import apply
from aistation_slurm.cluster.changes import RECONFIGURE, Change, CreateQos, DeleteQos, Reconfigure, WriteFile
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.errors import SlurmRefused, SlurmUnreachable, UnsafePlan
from aistation_slurm.slurm.commands import show_loaded_qos
from aistation_slurm.slurm.connect import Slurm


@dataclass
class Pretended:
    """A Slurm that notes what it is told; `refuses` the next so many reconfigures."""

    folder: Path
    loaded: frozenset[str] = frozenset({"group-a"})
    refuses: int = 0
    told: list[str] = field(default_factory=list)

    def loaded_qos(self) -> frozenset[str]:
        return self.loaded

    def sacctmgr(self, *words: str) -> str:
        self.told.append(" ".join(words[:3]))
        return ""

    def reconfigure(self) -> None:
        self.told.append(f"reconfigure with {(self.folder / 'aistation.conf').read_text().strip()}")
        if self.refuses:
            self.refuses -= 1
            raise SlurmRefused("no")

    @property
    def slurm(self) -> Slurm:
        return Slurm(read=self, write=self)


@pytest.fixture
def pretended(tmp_path) -> Pretended:
    (tmp_path / "aistation.conf").write_text("old\n")
    return Pretended(tmp_path)


def plan_for(folder: Path, *more: Change) -> Plan:
    file = WriteFile(folder / "aistation.conf", "new\n", "old\n", effect=RECONFIGURE)
    changes = (CreateQos(("group-a",), {}), file, Reconfigure("its files change", frozenset({"group-a"})), *more)
    return Plan(changes=changes)


def test_qos_then_files_then_reconfigure_then_deletions(pretended):
    done = list(apply(plan_for(pretended.folder, DeleteQos(("group-old",))), pretended.slurm))
    assert pretended.told == ["add qos group-a", "reconfigure with new", "delete qos where"]
    assert [line[:6] for line in done] == ["+ qos ", "~ file", "~ slur", "- qos "]
    assert (pretended.folder / "aistation.conf").read_text() == "new\n"


def test_files_that_slurmctld_refuses_are_put_back(pretended):
    pretended.refuses = 1
    with pytest.raises(SlurmRefused):
        list(apply(plan_for(pretended.folder, DeleteQos(("group-old",))), pretended.slurm))
    assert pretended.told == ["add qos group-a", "reconfigure with new", "reconfigure with old"]
    assert (pretended.folder / "aistation.conf").read_text() == "old\n"


def test_no_file_names_a_qos_that_slurmctld_has_not_heard_of(pretended, monkeypatch):
    monkeypatch.setattr(execution, "PATIENCE", 0.2)
    pretended.loaded = frozenset({"normal"})
    with pytest.raises(SlurmUnreachable, match="has not heard of QOS group-a"):
        list(apply(plan_for(pretended.folder), pretended.slurm))
    assert (pretended.folder / "aistation.conf").read_text() == "old\n"
    assert pretended.told == ["add qos group-a"]


def test_an_unsafe_plan_does_nothing(pretended):
    plan = Plan(changes=(DeleteQos(("a", "b", "c", "d")),), existing=5)
    with pytest.raises(UnsafePlan):
        list(apply(plan, pretended.slurm))
    assert pretended.told == []


HOLDER = """
import sys
from pathlib import Path
from aistation_slurm.cluster.applying.lock import alone

with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_of_two_at_a_time_the_second_is_told_who_is_at_work(pretended, monkeypatch):
    monkeypatch.setattr(lock, "TURNS", 2)
    argv = (sys.executable, "-c", HOLDER, str(pretended.folder))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(UnsafePlan, match=f"another apply is at work: .*, process {first.pid}, since"):
            list(apply(plan_for(pretended.folder), pretended.slurm))
        assert pretended.told == []
        first.kill()
    assert list(apply(plan_for(pretended.folder), pretended.slurm)), "who was killed holds nothing"


def test_slurmctlds_own_qos_are_read_from_its_cache():
    text = "QOS Records\n\nQOS=normal(1)\n    UsageRaw=0.0\n    GrpJobs=N(0)\nQOS=group-v100(12)\n"
    assert show_loaded_qos().read(text) == {"normal", "group-v100"}
