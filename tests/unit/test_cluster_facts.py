"""What nodes say of themselves is read however it was gathered, and compared with the cluster file."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.cli.main import main
from aistation_slurm.cluster.facts import Finding, NodeFacts, compare, groups_block, read_facts
from aistation_slurm.errors import SpecError
from aistation_slurm.spec import ClusterSpec, load_spec

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "slurmd"
SMALL = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples" / "small.yaml"
LINE = "NodeName={} CPUs=64 Boards=1 SocketsPerBoard=2 CoresPerSocket=32 ThreadsPerCore=1 RealMemory={}"
V100 = "GPU 0: Tesla V100-SXM2-32GB (UUID: GPU-1)\nGPU 1: Tesla V100-SXM2-32GB (UUID: GPU-2)"


@pytest.fixture(scope="module")
def small() -> ClusterSpec:
    return load_spec(SMALL)


def a_node(name: str, *, cpus: int = 8, memory: int = 20_000, gpus: dict[str, int] | None = None) -> NodeFacts:
    return NodeFacts(name=name, cpus=cpus, memory=memory, gpus={"tesla_v100": 2} if gpus is None else gpus)


def findings(spec: ClusterSpec, *nodes: NodeFacts) -> list[Finding]:
    return [each for each in compare({node.name: node for node in nodes}, spec) if each.level != "note"]


def prefixed(name: str, text: str) -> str:
    return "\n".join(f"{name}: {line}" for line in text.splitlines())


@pytest.mark.parametrize("path", sorted(RECORDED.glob("C-*.txt")), ids=lambda path: path.stem)
def test_what_slurmd_really_printed_is_read(path):
    facts = read_facts(path.read_text())
    assert facts.nodes == {"vm": NodeFacts(name="vm", cpus=2, memory=24105)}
    assert all("hwloc" in line for line in facts.unread)


@pytest.mark.parametrize("path", sorted(RECORDED.glob("G-*.txt")), ids=lambda path: path.stem)
def test_the_gpus_that_slurmd_really_printed_are_counted_and_shares_are_not(path):
    facts = read_facts(f"{LINE.format('dev-01', 20_000)}\n{path.read_text()}")
    assert facts.nodes["dev-01"].gpus == {"gtx1080ti": 2}


def test_many_nodes_are_read_with_their_names_before_each_line_or_above_a_block():
    many = "\n".join(prefixed(f"v100-0{n}", f"{LINE.format(f'v100-0{n}', 257_000)}\n{V100}") for n in (1, 2))
    block = f"---------------\nv100-[01-02] (2)\n---------------\n{LINE.format('localhost', 257_000)}\n{V100}\n"
    folded = f"----\nv100-01,v100-02\n----\n{LINE.format('localhost', 257_000)}\n{V100}\n"
    assert read_facts(many).nodes == read_facts(block).nodes == read_facts(folded).nodes
    assert sorted(read_facts(many).nodes) == ["v100-01", "v100-02"]
    assert read_facts(many).nodes["v100-02"].gpus == {"tesla_v100-sxm2-32gb": 2}


def test_a_node_with_its_domain_before_the_line_is_called_by_its_short_name():
    assert list(read_facts(prefixed("v100-01.example.org", LINE.format("v100-01", 1))).nodes) == ["v100-01"]
    assert list(read_facts(prefixed("v100-01", LINE.format("localhost", 1))).nodes) == ["v100-01"]


def test_gpus_that_slurmd_finds_by_itself_are_told_on_its_own_line():
    found = "Found gpu:nvidia_a100-sxm4-80gb:8 with Autodetect=nvml (Substring of gpu name may be used instead)"
    line = f"{LINE.format('a-1', 1)} Gres=gpu:nvidia_a100-sxm4-80gb:8"
    for text in (line, f"{LINE.format('a-1', 1)}\n{found}", f"{line}\n{found}"):
        assert read_facts(text).nodes["a-1"].gpus == {"nvidia_a100-sxm4-80gb": 8}


def test_lines_that_say_nothing_of_a_node_are_told_by_number():
    text = f"clush: v100-09: exited with exit code 127\nbash: slurmd: command not found\n{LINE.format('v100-01', 1)}\n"
    facts = read_facts(text)
    assert list(facts.nodes) == ["v100-01"]
    assert [line.partition(":")[0] for line in facts.unread] == ["line 1", "line 2"]


def test_a_text_without_a_node_is_refused_with_the_command_that_makes_one():
    with pytest.raises(SpecError, match="no line says what a node has") as caught:
        read_facts("nothing\n")
    assert "slurmd -C" in caught.value.hint


@given(st.text(st.sampled_from("-: \n()[],=0123456789abN") | st.characters(), max_size=200), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_no_text_is_a_traceback(noise, at):
    lines = [prefixed("v100-01", LINE.format("v100-01", 1)), V100]
    with suppress(SpecError):
        read_facts("\n".join([*lines, noise][at % 3 :] + lines[: at % 3]))


def test_a_node_list_of_a_hundred_million_is_no_node():
    assert list(read_facts(f"x[1-100000000]: UpTime=1\n{LINE.format('a', 1)}\n").nodes) == ["a"]


def test_nodes_that_have_what_the_file_says_are_silent(small):
    assert findings(small, a_node("v100-01"), a_node("dev-01", gpus={"nvidia_geforce_gtx_1080_ti": 2})) == []


def test_nodes_that_have_less_are_told_together_with_what_to_write(small):
    poor = [a_node(f"v100-0{number}", cpus=4, memory=15_000) for number in (1, 2)]
    cpus, memory = findings(small, *poor)
    assert str(cpus) == "!! v100-[01-02]: 4 CPUs, the file says 8 (group v100)\n   write cpus: 4"
    assert memory.text == "15000M of memory, the file says 16G (group v100)"
    assert memory.hint == "write memory: 12G, which leaves 2712M to the system"


def test_memory_that_leaves_too_little_to_the_system_is_only_noted(small):
    (note,) = [each for each in compare({"v100-01": a_node("v100-01", memory=17_000)}, small) if "leave" in each.text]
    assert note.level == "note"
    assert note.text == "17000M of memory, of which 16G for jobs leave 616M to the system (group v100)"
    assert not [each for each in compare({"v100-01": a_node("v100-01", memory=17_000)}, small, leave=500) if each.hint]


def test_a_lost_card_and_another_model_are_less_than_the_file_says(small):
    (lost,) = findings(small, a_node("v100-01", gpus={"tesla_v100": 1}))
    assert lost.text == "1 GPUs, the file says 2 (group v100)"
    (other,) = findings(small, a_node("v100-01", gpus={"nvidia_a100-sxm4-80gb": 2}))
    assert other.text == "GPUs are nvidia_a100-sxm4-80gb, the file says v100 (group v100)"


def test_a_node_of_which_only_its_cpus_are_known_has_no_lost_card(small):
    assert findings(small, a_node("v100-01", gpus={})) == []


def test_nodes_that_no_group_names_become_groups_of_those_alike(small, tmp_path):
    nodes = [a_node(f"a-{n}", cpus=64, memory=515_000 + n, gpus={"nvidia_a100-sxm4-80gb": 8}) for n in range(1, 5)]
    nodes += [a_node("b-1", cpus=64, memory=1_030_000, gpus={"nvidia_a100-sxm4-80gb": 8})]
    nodes += [a_node("c-1", cpus=16, memory=60_000, gpus={}), a_node("v100-01")]
    text = groups_block({node.name: node for node in nodes}, small)
    assert "# Left out: c-1: no GPUs seen" in text
    path = tmp_path / "cluster.yaml"
    path.write_text(f"cluster: new\n{text}")
    spec = load_spec(path)
    assert {name: group.nodes for name, group in spec.groups.items()} == {"a100": "a-[1-4]", "a100-2": "b-1"}
    group = spec.groups["a100"]
    assert (group.gpu_type, group.gpus_per_node, group.cpus) == ("a100", 8, 64)
    assert group.memory <= 515_001 - 2048
    assert not findings(spec, *nodes[:5])


def test_two_models_of_one_short_name_are_told_apart(tmp_path):
    nodes = {
        "a-1": a_node("a-1", gpus={"nvidia_a100-sxm4-80gb": 2}),
        "b-1": a_node("b-1", gpus={"nvidia_a100-pcie-40gb": 2}),
    }
    path = tmp_path / "cluster.yaml"
    path.write_text(f"cluster: new\n{groups_block(nodes, None)}")
    assert sorted(group.gpu_type for group in load_spec(path).groups.values()) == [
        "nvidia_a100-pcie-40gb",
        "nvidia_a100-sxm4-80gb",
    ]


MODELS = st.sampled_from(["tesla_v100-sxm2-32gb", "nvidia_geforce_rtx_2080_ti", "", "x" * 60, "nvidia", "all", "h100"])


@given(st.lists(st.tuples(MODELS, st.integers(0, 9), st.integers(0, 256), st.integers(0, 600_000)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_the_nodes_have_the_groups_written_for_them_can_be_read(tmp_path_factory, rows):
    nodes = {
        f"n-{number}": NodeFacts(name=f"n-{number}", cpus=cpus, memory=memory, gpus={model: count} if count else {})
        for number, (model, count, cpus, memory) in enumerate(rows)
    }
    text = groups_block(nodes, None)
    if "groups:" in text:
        path = tmp_path_factory.mktemp("facts") / "cluster.yaml"
        path.write_text(f"cluster: new\n{text}")
        assert not [each for each in compare(nodes, load_spec(path)) if each.level == "less"]


@pytest.fixture
def aistation(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("AISTATION_CONFIG", str(tmp_path / "aistation.toml"))
    (tmp_path / "aistation.toml").write_text(f'cluster_file = "{SMALL}"\n')

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["cluster", "facts", *words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_the_exit_code_tells_whether_the_nodes_differ(aistation, tmp_path):
    path = tmp_path / "facts.txt"
    path.write_text(f"{LINE.format('v100-01', 257_000)}\n")
    assert aistation("--detailed-exitcode", str(path))[0] == 0
    path.write_text(f"{LINE.format('v100-01', 257)}\n")
    assert aistation("--detailed-exitcode", str(path))[0] == 2
    assert aistation(str(path))[0] == 0
    code, out, _ = aistation("--json", "--detailed-exitcode", str(path))
    assert (code, json.loads(out)["nodes"]["v100-01"]["memory"]) == (2, 257)


def test_a_memory_to_leave_that_is_none_is_refused(aistation, tmp_path):
    path = tmp_path / "facts.txt"
    path.write_text(f"{LINE.format('v100-01', 257_000)}\n")
    code, _, err = aistation("--leave", "eight", str(path))
    assert code == 64
    assert "--leave: 'eight' is no amount of memory" in err
