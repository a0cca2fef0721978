"""The linter: each rule finds what is broken in a small file, and nothing in a good one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aistation_slurm.cluster.check import Report
from aistation_slurm.cluster.conf import read_conf
from aistation_slurm.cluster.lint import RULES, Files, Finding, Running, lint
from aistation_slurm.cluster.planning.nodes import node_line
from aistation_slurm.cluster.wanted.files import wanted_files
from aistation_slurm.errors import UnsafePlan
from aistation_slurm.slurm.model import Job, Node, Partition
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import read_gres
from aistation_slurm.spec import load_spec

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "slurm_conf" / "examples"
ETC = Path("/nowhere/slurm")
CONF = ETC / "slurm.conf"

GOOD = """\
ClusterName=small
SlurmctldHost=head
SlurmUser=slurm
AuthType=auth/munge
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu,shard
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageEnforce=associations,limits,qos
AccountingStorageTRES=gres/gpu,gres/gpu:v100
JobSubmitPlugins=lua
NodeName=DEFAULT CPUs=8 RealMemory=16000
NodeName=v100-[01-03] Gres=gpu:v100:2
NodeName=dev-01 Gres=gpu:gtx1080ti:2,shard:8 NodeAddr=10.0.0.9 Port=7001 State=UNKNOWN
NodeSet=fast Nodes=v100-[01-02]
PartitionName=DEFAULT MaxTime=1-0
PartitionName=train Nodes=fast,v100-03 QOS=Group-Train
PartitionName=all Nodes=ALL
"""
GRES = """\
NodeName=v100-[01-03] Name=gpu Type=v100 File=/dev/nvidia[0-1]
NodeName=dev-01 Name=gpu Type=gtx1080ti File=/dev/nvidia[0-1]
NodeName=dev-01 Name=shard Count=8
"""
PLUGINS = frozenset({"auth_munge", "select_cons_tres", "accounting_storage_slurmdbd", "job_submit_lua"})


def node(name: str, gres: str = "gpu:v100:2") -> Node:
    return Node(name=name, state=NodeState.parse("IDLE"), cpus=8, gres=read_gres(gres))


NODES = [*(node(f"v100-0{number}") for number in (1, 2, 3)), node("dev-01", "gpu:gtx1080ti:2,shard:8")]
RUNNING = Running(
    version=(22, 5),
    config={"ClusterName": "small", "SelectType": "select/cons_tres", "GresTypes": "gpu,shard"},
    qos=frozenset({"normal", "group-train"}),
    nodes={each.name: each for each in NODES},
    partitions={name: Partition(name=name) for name in ("train", "all")},
    plugins=PLUGINS,
    files=frozenset({"job_submit.lua"}),
    users=frozenset({"root", "slurm"}),
    sockets=frozenset({"/run/munge/munge.socket.2"}),
)
BUSY = (Job(job_id=7, name="x", user="ann", partition="train", nodes="v100-02", state=JobState.RUNNING),)


def found(conf: str = GOOD, *, gres: str | None = GRES, running: Running = RUNNING, **other: str) -> list[Finding]:
    texts = {CONF: conf} | {ETC / name.replace("_", "."): text for name, text in other.items()}
    texts |= {ETC / "gres.conf": gres} if gres is not None else {}
    parts = Files(read_conf(CONF, texts), read_conf(ETC / "gres.conf", texts) if gres is not None else None)
    return lint(parts, running)


def test_nothing_is_found_in_good_files():
    assert found() == []


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_found_in_what_we_write_for_the_examples(example):
    spec = load_spec(example)
    texts = wanted_files(spec, gpu_device="/dev/nvidia", source="cluster.yaml")
    nodes = "\n".join(node_line(group, group.node_names()) for group in spec.groups.values())
    keys = f"ClusterName={spec.cluster}\nSlurmctldHost=head\nGresTypes={','.join(spec.gres_types())}\n"
    site = f"{keys}{nodes}\nInclude aistation.conf\n"
    paths = {CONF: site} | {ETC / name: text for name, text in texts.items()}
    assert lint(Files(read_conf(CONF, paths), read_conf(ETC / "gres.conf", paths))) == []


BROKEN = {
    "missing-include": ("", "Include nowhere.conf\n"),
    "no-pair": ("", "SlurmdTimeout 300\n"),
    "unknown-select-type": ("select/cons_tres", "select/cons_trees"),
    "odd-select-parameters": ("select/cons_tres", "select/linear"),
    "shares-need-cons-tres": ("select/cons_tres", "select/cons_res"),
    "shares-of-nothing": ("GresTypes=gpu,shard", "GresTypes=shard"),
    "removed-option": ("", "SchedulerParameters=bf_interval=1,max_job_bf=9\n"),
    "privileged-port": ("", "SlurmctldPort=80\n"),
    "plugin-not-there": ("=lua", "=lua,throttle"),
    "half-a-name": ("", "PreemptType=qos\n"),
    "script-not-there": ("", "TopologyPlugin=topology/tree\n"),
    "munge-not-there": ("", "AuthInfo=socket=/nowhere/munge.socket\n"),
    "unknown-slurm-user": ("SlurmUser=slurm", "SlurmUser=slrum"),
    "unknown-tres": ("gres/gpu,", "gres,"),
    "enforced-without-slurmdbd": ("accounting_storage/slurmdbd", "accounting_storage/none"),
    "bad-licenses": ("", "Licenses=matlab:x\n"),
    "bad-weights": ("", "PriorityWeightTRES=CPU\n"),
    "bad-node-list": ("v100-[01-02]", "v100-[01-02"),
    "odd-cores": ("NodeName=dev-01 ", "NodeName=dev-01 CPUs=2 Sockets=2 CoresPerSocket=4 "),
    "no-core-left": ("NodeName=dev-01 ", "NodeName=dev-01 CoreSpecCount=1 Sockets=1 CoresPerSocket=8 "),
    "duplicate-node": ("", "NodeName=v100-[03-04]\n"),
    "odd-node": ("State=UNKNOWN", "State=UNKNWON"),
    "bad-gres": ("gpu:v100:2", "gpu:v100:two"),
    "duplicate-partition": ("PartitionName=all", "PartitionName=train"),
    "unknown-node-in-partition": ("v100-[01-02]", "v100-[01-04]"),
    "partition-names-missing-qos": ("QOS=Group-Train", "QOS=group-trian"),
    "identity-of-a-cluster": ("ClusterName=small", "ClusterName=smaller"),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_what_is_fatal_is_found_under_its_name_with_file_and_line(rule):
    old, new = BROKEN[rule]
    text = GOOD.replace(old, new, 1) if old else GOOD + new
    text = text.replace("CR_Core_Memory", "CR_Socket_Memory") if rule == "no-core-left" else text
    findings = [each for each in found(text) if each.rule == rule]
    assert findings, found(text)
    assert {each.level for each in findings} == {"fatal"}
    line = next(number for number, each in enumerate(text.splitlines(), 1) if each not in GOOD.splitlines())
    assert f"{CONF}:" in findings[0].where
    if rule not in {"odd-select-parameters", "enforced-without-slurmdbd", "unknown-node-in-partition", "no-core-left"}:
        assert findings[0].where == f"{CONF}:{line}"


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("no-partition", "".join(line for line in GOOD.splitlines(True) if not line.startswith("PartitionName"))),
        ("no-nodes", "".join(line for line in GOOD.splitlines(True) if not line.startswith("NodeName"))),
    ],
)
def test_a_cluster_of_nothing_is_fatal(rule, text):
    assert (rule, "fatal") in {(each.rule, each.level) for each in found(text)}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("key-given-twice", GOOD + "ClusterName=small\n"),
        ("gres-without-type", GOOD.replace("=gpu,shard\n", "=gpu\n")),
        ("duplicate-nodeset", GOOD + "NodeSet=fast Nodes=v100-01\n"),
    ],
)
def test_what_is_odd_is_noted_and_refuses_nothing(rule, text):
    findings = [each for each in found(text) if each.rule == rule]
    assert {each.level for each in findings} == {"note"}


def test_shards_without_a_line_in_gres_conf_end_a_slurmd():
    assert {each.rule for each in found(gres=None)} == {"shards-without-gres-line"}
    finding = found(gres=GRES.replace("NodeName=dev-01 Name=shard Count=8\n", ""))[0]
    assert finding.level == "fatal"
    assert "NodeName=dev-01 Name=shard" in finding.fix


def test_gres_conf_has_keys_of_its_own():
    assert {each.rule for each in found(gres=GRES + "NodeName=v100-01 Nmae=gpu\n")} == {"odd-gres-conf"}


def test_what_slurms_own_parser_cant_read_is_told_where_it_stands():
    finding = found(running=replace(RUNNING, complaints=((f"{CONF}:3", "unrecognized key: Foo"),)))[0]
    assert str(finding) == f"fatal: {CONF}:3: unrecognized key: Foo [not-read-by-slurm]"


def test_new_nodes_need_a_restart_before_23_11():
    text = GOOD + "NodeName=v100-04\n"
    assert [each.level for each in found(text)] == ["restart"]
    assert [each.level for each in found(text, running=replace(RUNNING, version=(23, 11)))] == ["note"]


def test_apply_waits_for_the_restart_that_new_nodes_need_before_23_11():
    text = GOOD + "NodeName=v100-04\n"
    with pytest.raises(UnsafePlan, match="nodes-added-needs-restart"):
        Report(tuple(found(text))).raise_if_refused()
    Report(tuple(found(text, running=replace(RUNNING, version=(23, 11))))).raise_if_refused()
    Report(tuple(found(GOOD + "ClusterName=small\n"))).raise_if_refused()


def test_a_partition_goes_only_without_jobs_and_the_safe_way_is_said():
    text = GOOD.replace("PartitionName=train ", "PartitionName=training ")
    assert found(text) == []
    finding = found(text, running=replace(RUNNING, jobs=BUSY))[0]
    assert (finding.rule, finding.level) == ("removing-a-partition-kills-its-jobs", "kills jobs")
    assert "scontrol update partition=train state=DRAIN" in finding.fix


@pytest.mark.parametrize("change", ["CPUs=4 Gres=gpu:v100:2", "Gres=gpu:v100:1"])
def test_cores_and_gres_of_a_busy_node_stay(change):
    text = GOOD.replace("v100-[01-03] Gres=gpu:v100:2", f"v100-[01-03] {change}")
    assert found(text) == []
    finding = found(text, running=replace(RUNNING, jobs=BUSY))[0]
    assert (finding.rule, finding.level) == ("cores-or-gres-of-a-busy-node", "kills jobs")
    assert finding.fix == "drain v100-02 first, then apply"


@pytest.mark.parametrize("shown", ["gpu:gtx1080ti:2,shard:gtx1080ti:8", "gpu:gtx1080ti:2,shard:0"])
def test_a_busy_node_whose_shares_slurmctld_shows_otherwise_is_no_other_node(shown):
    dev = replace(node("dev-01", shown), tres={"gres/gpu": 2, "gres/shard": 8})
    running = replace(RUNNING, nodes={**RUNNING.nodes, "dev-01": dev}, jobs=(replace(BUSY[0], nodes="dev-01"),))
    assert found(running=running) == []
    rules = [each.rule for each in found(GOOD.replace("shard:8", "shard:4"), running=running)]
    assert rules == ["cores-or-gres-of-a-busy-node"]


def test_a_busy_node_stays():
    text = GOOD.replace("v100-[01-03]", "v100-[01,03]").replace("v100-[01-02]", "v100-01")
    rules = {each.rule: each.level for each in found(text, running=replace(RUNNING, jobs=BUSY))}
    assert rules == {"removing-a-busy-node": "kills jobs", "nodes-added-needs-restart": "restart"}


def test_another_way_to_hand_out_nodes_waits_for_an_empty_cluster():
    text = GOOD.replace("SelectType=select/cons_tres", "SelectType=select/cons_res").replace("GresTypes=gpu,shard", "")
    text = text.replace(",shard:8", "")
    running = replace(RUNNING, plugins=None)
    rule = "identity-of-a-cluster"
    assert [each.level for each in found(text, running=running) if each.rule == rule] == ["restart"]
    busy = found(text, running=replace(running, jobs=BUSY))
    assert [each.level for each in busy if each.rule == rule] == ["kills jobs"]


def test_what_only_a_restart_brings_is_said():
    finding = found(GOOD.replace("GresTypes=gpu,shard", "GresTypes=gpu,shard,nic"))[0]
    assert (finding.rule, finding.level) == ("key-needs-restart", "restart")


def test_the_worst_comes_first():
    text = GOOD + "ClusterName=small\nNodeName=v100-04\nPartitionName=all\n"
    assert [each.level for each in found(text)] == ["fatal", "restart", "note"]


def test_every_rule_stands_in_the_docs():
    page = (ROOT / "docs" / "checks.md").read_text()
    names = {rule.__name__.replace("_", "-") for rule in RULES} | {"bad-gres"}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_a_file_is_read_as_slurm_reads_it():
    texts = {
        CONF: 'clustername=Small # why\nKey = "two words"\nNodeName=a \\\n  CPUs=4\nInclude %c.conf\nNote=a\\#b\n',
        ETC / "small.conf": "PartitionName=p Nodes=a\r\n",
    }
    conf = read_conf(CONF, texts)
    assert [(line.where, dict(line.pairs)) for line in conf.lines] == [
        (f"{CONF}:1", {"clustername": "Small"}),
        (f"{CONF}:2", {"key": "two words"}),
        (f"{CONF}:3", {"nodename": "a", "cpus": "4"}),
        (f"{ETC}/small.conf:1", {"partitionname": "p", "nodes": "a"}),
        (f"{CONF}:6", {"note": "a#b"}),
    ]


def test_a_list_of_a_hundred_million_nodes_is_refused_at_once():
    findings = found(GOOD + "NodeName=x[1-100000000]\n")
    assert [(each.rule, each.level) for each in findings][:1] == [("bad-node-list", "fatal")]


def test_files_that_include_each_other_end():
    assert {each.rule for each in found(GOOD + "Include a.conf\n", a_conf="Include a.conf\n")} == {"missing-include"}
