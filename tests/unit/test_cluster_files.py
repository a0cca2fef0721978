"""What a cluster file becomes: Slurm's files and the commands that make its accounts, held as folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.accounting import accounting_changes
from aistation_slurm.cluster.rules.compiled import COMPILED, compiled_text
from aistation_slurm.cluster.rules.policy import TABLE, rules_files
from aistation_slurm.cluster.site.conf import SiteConf, read_site_conf
from aistation_slurm.cluster.site.keys import site_keys
from aistation_slurm.cluster.wanted.desired import desired
from aistation_slurm.cluster.wanted.files import gres_to_keep, is_edited, is_ours, line_changes, wanted_files
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.spec import ClusterSpec, load_spec

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "cluster"


def render_all(spec: ClusterSpec) -> dict[str, str]:
    """Return every file, and the commands on an empty slurmdbd, by name."""
    nothing = Observed(cluster=spec.cluster, site=SiteConf(Path("slurm.conf")), files={})
    commands = [" ".join(change.argv()) for change in accounting_changes(desired(spec), nothing)]
    keys = [f"{key}={value}" for key, value in site_keys(spec).items()]
    files = wanted_files(spec, gpu_device="/dev/nvidia", source="/etc/aistation/cluster.yaml")
    files[TABLE] = rules_files(spec, source="/etc/aistation/cluster.yaml", exempt=64030)[TABLE]
    files[COMPILED] = compiled_text(spec, source="/etc/aistation/cluster.yaml", release="22.05.8")
    return {**files, "accounting.txt": "\n".join(commands) + "\n", "site-keys.txt": "\n".join(keys) + "\n"}


def read_all(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("case", sorted(GOLDEN.iterdir()), ids=lambda case: case.name)
def test_a_cluster_file_becomes_these_files(case):
    found = render_all(load_spec(case / "cluster.yaml"))
    if os.environ.get("AISTATION_GOLDEN") == "write":
        (case / "expected").mkdir(exist_ok=True)
        for name, text in found.items():
            (case / "expected" / name).write_text(text)
    assert found == read_all(case / "expected")


@pytest.mark.parametrize("case", sorted(GOLDEN.iterdir()), ids=lambda case: case.name)
def test_a_file_that_we_wrote_is_known_again(case):
    for text in wanted_files(load_spec(case / "cluster.yaml"), gpu_device="/dev/nvidia", source="x").values():
        assert is_ours(text)
        assert not is_edited(text)
        assert is_edited(text.replace("=", "=x", 1))
        assert line_changes(text, text) == ()


def test_a_node_that_left_the_file_keeps_its_lines_for_as_long_as_slurm_has_it():
    spec = load_spec(GOLDEN / "one-of-each" / "cluster.yaml")
    group = next(iter(spec.groups.values()))
    mine, gone = group.node_names()[0], "old-02"
    old = (
        f"NodeName={mine},old-[01-02] Name=gpu Type=v100 File=/dev/nvidia[0-1]\n"
        "NodeName=old-[01-02] Name=shard Count=4\n"
    )
    idle, gres = NodeState.parse("IDLE"), read_gres("gpu:v100:2")
    nodes = {name: Node(name=name, state=idle, gres=gres) for name in (mine, gone)}

    kept = gres_to_keep(old, spec, nodes)

    assert kept == [
        "NodeName=old-02 Name=gpu Type=v100 File=/dev/nvidia[0-1]",
        "NodeName=old-02 Name=shard Count=4",
    ]
    text = wanted_files(spec, gpu_device="/dev/nvidia", source="x", kept_gres=kept)["gres.conf"]
    assert gres_to_keep(text, spec, nodes) == kept


def test_what_changes_in_a_file_is_told_by_its_partitions_switches_and_keys():
    old = "ConstrainCores=NO\nAllowedRAMSpace=100\nSwitchName=a Nodes=n1\n"
    new = "ConstrainCores=YES\nCgroupPlugin=autodetect\nSwitchName=a Nodes=n[1-2]\n"
    assert line_changes(old, new) == (
        "- AllowedRAMSpace",
        "~ ConstrainCores NO -> YES",
        "+ CgroupPlugin=autodetect",
        "~ switch a  Nodes n1 -> n[1-2]",
    )


def test_a_file_of_somebody_else_is_not_ours():
    assert not is_ours("NodeName=x Name=gpu File=/dev/nvidia0\n")
    assert is_ours("# nothing here\n\n")


def test_the_sites_file_is_read_with_what_it_includes(tmp_path):
    (tmp_path / "slurm.conf").write_text(
        "ClusterName=a  # the name\nGresTypes = gpu\nInclude more.conf\nInclude aistation.conf\n"
        "SchedulerParameters=bf_interval=1,\\\nsched_interval=1\nNodeName=DEFAULT CPUs=1\nPartitionName=p Nodes=ALL\n"
    )
    (tmp_path / "more.conf").write_text('gresTypes=gpu,mps PreemptType="preempt/qos"\n')
    (tmp_path / "aistation.conf").write_text("PartitionName=ours Nodes=ALL\n")
    site = read_site_conf(tmp_path / "slurm.conf")
    assert site.value("GresTypes") == "gpu,mps"
    assert site.where("GRESTYPES") == f"{tmp_path}/more.conf:1"
    assert site.value("PreemptType") == "preempt/qos"
    assert site.value("SchedulerParameters") == "bf_interval=1,sched_interval=1"
    assert site.partitions == {"p": f"{tmp_path}/slurm.conf:8"}
    assert site.includes == ["more.conf", "aistation.conf"]
    assert site.value("CPUs") == ""
