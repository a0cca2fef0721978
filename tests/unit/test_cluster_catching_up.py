"""Hosts that hold older files than this one are brought up to date by the next apply, whatever it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aistation_slurm.cluster.applying.catching_up import catch_up, files_here
from aistation_slurm.cluster.places.base import Files, Seen, digest
from aistation_slurm.cluster.wanted.files import preamble


@dataclass
class Folders:
    """A place whose hosts are folders of this machine."""

    folders: dict[str, Path]
    away: frozenset[str] = frozenset()
    staged: Files = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self.folders)

    def look(self, names) -> Seen:
        held = {
            host: {name: digest(_text(folder / name)) for name in names}
            for host, folder in self.folders.items()
            if host not in self.away
        }
        return Seen(held, dict.fromkeys(self.away, "no answer"))

    def stage(self, files: Files) -> None:
        self.staged = dict(files)

    def switch(self) -> None:
        for folder in self.folders.values():
            for name, text in self.staged.items():
                (folder / name).unlink(missing_ok=True)
                if text is not None:
                    (folder / name).write_text(text)


def ours(body: str, *, comment: str = "#") -> str:
    return preamble(body, "/etc/aistation/cluster.yaml", comment=comment) + body


V100 = ours("PartitionName=v100\n")


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@pytest.fixture
def conf_dir(tmp_path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "slurm.conf").write_text("ClusterName=a\nInclude aistation.conf\n")
    (folder / "aistation.conf").write_text(V100)
    (folder / "cgroup.conf").write_text("ConstrainCores=yes\n")
    (folder / "slurmdbd.conf").write_text("StoragePass=secret\n")
    return folder


@pytest.fixture
def place(tmp_path) -> Folders:
    folders = {name: tmp_path / name for name in ("gpu-01", "gpu-02")}
    for folder in folders.values():
        folder.mkdir()
    return Folders(folders)


def test_a_host_with_older_files_gets_these_and_a_second_time_nothing(conf_dir, place):
    (place.folders["gpu-01"] / "aistation.conf").write_text(ours("PartitionName=old\n"))
    said: list[str] = []
    assert catch_up(place, conf_dir, said.append)
    assert any("older files" in line for line in said)
    for folder in place.folders.values():
        assert (folder / "aistation.conf").read_text() == V100
        assert (folder / "slurm.conf").read_text() == (conf_dir / "slurm.conf").read_text()
    assert not catch_up(place, conf_dir, said.append)


def test_the_rules_go_to_the_other_controller_and_secrets_stay_here(conf_dir):
    rules = ours("return {}\n", comment="--")
    (conf_dir / "job_submit.lua").write_text(rules)
    here = files_here(conf_dir)
    assert here["job_submit.lua"] == rules
    assert not {"slurmdbd.conf", "cgroup.conf"} & here.keys(), "secrets, and what the site wrote for this host alone"


def test_a_file_of_ours_that_is_gone_here_goes_there(conf_dir, place):
    catch_up(place, conf_dir, print)
    (conf_dir / "aistation.conf").unlink()
    assert catch_up(place, conf_dir, print)
    assert not (place.folders["gpu-02"] / "aistation.conf").exists()


def test_a_host_that_only_is_away_is_no_reason_to_push(conf_dir, place):
    catch_up(place, conf_dir, print)
    place.away = frozenset({"gpu-02"})
    assert not catch_up(place, conf_dir, print)
