"""The cluster file: what it takes, and what it says about what it doesn't."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from aistation_slurm.errors import SpecError, SpecErrors, UnknownNameError
from aistation_slurm.spec import ClusterSpec, load_spec
from aistation_slurm.spec.reference import reference_page

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "slurm_conf" / "examples"

GOOD = """\
cluster: station
defaults: {gpus_per_node: 8, cpus: 64, memory: 256G}
groups:
  v100: {nodes: "v100-[01-08]", gpu_type: v100, teams: [robot]}
  p100: {nodes: "p100-[01-30]", gpu_type: p100, quota: {per_user: {gpu: 16}}}
teams:
  robot: {members: [ann, bob], emergency: [bob]}
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text: str | bytes) -> Path:
        path = tmp_path / "cluster.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def complaints(path: Path) -> list[str]:
    """Return every complaint about the file as `line: text; hint`."""
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    errors = caught.value.errors if isinstance(caught.value, SpecErrors) else (caught.value,)
    return [f"{each}; {each.hint}".removeprefix(f"{path}:") for each in errors]


def test_the_customer_case_is_complete():
    spec = load_spec(EXAMPLES / "six-teams.yaml")
    assert (len(spec.groups), spec.total_nodes, spec.total_gpus) == (5, 95, 760)
    assert (len(spec.teams), len(spec.users())) == (6, 120)
    assert spec.groups["1080ti_dev"].total_gpus * spec.groups["1080ti_dev"].shards_per_gpu == 128
    assert spec.quota.per_user.gpu == 24
    assert spec.groups["v100"].quota.per_user.gpu == 16
    assert not spec.warnings


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_every_example_is_right(name):
    assert load_spec(EXAMPLES / name).warnings == ()


def test_eight_machines_are_eight_machines_in_three_groups():
    spec = load_spec(EXAMPLES / "eight-machines.yaml")
    assert (len(spec.groups), spec.total_nodes) == (3, 8)


def test_a_group_takes_from_the_defaults_what_it_does_not_say(write):
    spec = load_spec(write(GOOD.replace("gpu_type: v100,", "gpu_type: v100, cpus: 16, max_time: 1d12h,")))
    assert (spec.groups["v100"].cpus, spec.groups["p100"].cpus) == (16, 64)
    assert spec.groups["v100"].max_time == timedelta(hours=36)
    assert spec.groups["p100"].memory == 256 * 1024


def test_all_our_checks_of_a_cluster_file_cost_little_beside_the_reading_of_its_yaml():
    file = EXAMPLES / "six-teams.yaml"
    ours = quickest(lambda: load_spec(file))
    assert ours < 10 * quickest(lambda: YAML().load(file.read_text()))


def quickest(call):
    """Return the least CPU seconds of five calls: what it costs, whatever else the machine does."""

    def cost():
        begin = time.process_time()
        call()
        return time.process_time() - begin

    return min(cost() for _ in range(5))


WRONG = {
    "unknown key, with the nearest one": (
        ("gpu_type: v100", "gpu_typ: v100"),
        ["4: groups.v100 lacks 'gpu_type'", "4: unknown key 'gpu_typ'; did you mean 'gpu_type'?"],
    ),
    "unknown key at the top": (("teams:\n", "teems:\n"), ["6: unknown key 'teems'; did you mean 'teams'?"]),
    "unknown key deep inside": (("per_user", "per_usr"), ["5: unknown key 'per_usr'; did you mean 'per_user'?"]),
    "unknown team": (("teams: [robot]", "teams: [robt]"), ["4: no team called 'robt'; did you mean 'robot'?"]),
    "unknown default group": (
        ("cluster: station", "cluster: station\ndefault_group: v10"),
        ["2: no GPU group called 'v10'; did you mean 'v100'?"],
    ),
    "emergency for somebody else": (
        ("emergency: [bob]", "emergency: [bobb]"),
        ["7: no member of team robot called 'bobb'; did you mean 'bob'?"],
    ),
    "wrong type": (("cpus: 64", "cpus: many"), ["2: cpus: needs a whole number, not 'many'"]),
    "memory without unit": (("256G", "256"), ["2: memory: 256 is no amount of memory; say the unit"]),
    "wrong choice": (
        ("memory: 256G", "memory: 256G, use: trainig"),
        ["2: use: can't be 'trainig'; did you mean 'training'?"],
    ),
    "number as a name": (("[ann, bob]", "[1, bob]"), ["7: members: needs text, not 1; put it in quotes"]),
    "number as a key": (("  v100: {", "  1080: {"), ["4: a key must be text; put it in quotes"]),
    "nothing where a mapping must be": (
        ("robot: {members: [ann, bob], emergency: [bob]}", "robot:"),
        ["7: robot: needs"],
    ),
    "bad node list": (("v100-[01-08]", "v100-[01-"), ["4: nodes: 'v100-[01-' is no node list"]),
    "node list of a hundred million": (("v100-[01-08]", "v100-[1-99999999]"), ["4: nodes: 'v100-[1-99999999]' names"]),
    "node in two groups": (
        ("p100-[01-30]", "p100-[01-30],v100-[07-09]"),
        ["5: v100-07 and 1 more is in group 'v100' already"],
    ),
    "duplicate key": (
        ("  p100: {", "  v100: {nodes: x1, gpu_type: v100}\n  p100: {"),
        ["5: 'v100' stands there twice; first on line 4"],
    ),
    "duplicate member": (("[ann, bob]", "[ann, ann, bob]"), ["7: members: user 'ann' stands there twice"]),
    "root as a member": (("[ann, bob]", "[root, bob]"), ["7: members: root belongs to no team"]),
    "name with a newline": (("[ann, bob]", '["ann\\nx", bob]'), ["7: members: 'ann\\nx' is no Unix user name"]),
    "name that means something to Slurm": (("robot:", "ALL:"), ["7: ALL: 'ALL' means something else to Slurm"]),
    "negative quota": (("gpu: 16", "gpu: -1"), ["5: gpu: must be greater than or equal to 0, not -1"]),
    "fewer CPUs than GPUs": (("cpus: 64", "cpus: 4"), ["2: cpus: 4 CPUs can't serve 8 GPUs"]),
    "seconds where Slurm counts minutes": (
        ("memory: 256G", "memory: 256G, max_time: 90s"),
        ["2: max_time: 1m30s is not a whole number of minutes"],
    ),
    "unknown time zone": (("cluster: station", "cluster: station\ntimezone: Mars/Base"), ["2: timezone: no time zone"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_complaint_names_the_line_and_the_way_out(case, write):
    (old, new), wanted = WRONG[case]
    assert old in GOOD
    found = complaints(write(GOOD.replace(old, new)))
    for each in wanted:
        assert any(line.startswith(each) for line in found), found


def test_all_that_is_wrong_is_said_at_once(write):
    path = write(GOOD.replace("cpus: 64", "cpus: many").replace("gpu: 16", "gpu: x").replace("ann", "Ann"))
    with pytest.raises(SpecErrors) as caught:
        load_spec(path)
    assert str(caught.value) == f"{path}: 3 things are wrong"
    assert [line.split(":")[1] for line in caught.value.hint.splitlines()] == ["2", "5", "7"]


def test_what_is_wrong_in_the_defaults_is_said_once(write):
    assert len(complaints(write(GOOD.replace("cpus: 64", "cpus: many")))) == 1


def test_an_unknown_name_is_an_error_of_its_own(write):
    with pytest.raises(UnknownNameError):
        load_spec(write(GOOD.replace("teams: [robot]", "teams: [robt]")))


UNREADABLE = {
    b"": "is empty",
    b"# only a comment\n": "is empty",
    b"- a\n- b\n": "must be a mapping",
    b"cluster": "must be a mapping",
    b"cluster: [a\n": "is not YAML",
    b"cluster:\tstation\n\tgroups: x": "is not YAML",
    b"cluster: \xff\xfe": "is not UTF-8",
    b"a: &a [*a]\n": "too deep",
    b"\x00": "is not YAML",
}


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_file_that_is_no_cluster_file_is_refused_in_one_sentence(content, write):
    with pytest.raises(SpecError, match=UNREADABLE[content]):
        load_spec(write(content))


def test_a_few_lines_of_aliases_do_not_fill_the_memory(write):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    with pytest.raises(SpecError, match="too deep or too large"):
        load_spec(write(bomb))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match="can't be read") as caught:
        load_spec(tmp_path / "nope.yaml")
    assert caught.value.where.endswith("nope.yaml")


def test_a_folder_is_no_cluster_file(tmp_path):
    with pytest.raises(SpecError, match="can't be read"):
        load_spec(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    assert load_spec(write(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())).cluster == "station"


def test_a_node_name_that_slurm_would_fold_wrongly_is_warned_of(write):
    (warning,) = load_spec(write(GOOD.replace("p100-[01-30]", "p100[01-30]"))).warnings
    assert ":5: " in warning
    assert "p100-[01-08]" in warning


def test_somebody_in_two_teams_is_warned_of_where_a_total_is_set(write):
    text = GOOD + "  face: {members: [ann]}\nquota: {per_user: {gpu: 24}}\n"
    (warning,) = load_spec(write(text)).warnings
    assert "ann is in robot and face" in warning


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_text_causes_anything_but_a_complaint(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(path) in caught.value.where


SPOILS = st.sampled_from(
    ["", "~", "{}", "[]", "1", "-1", "1e3", "08", "no", "'a b'", "*x", "&x", "x: y", "\t", "1.5", "ALL"]
)


@given(st.integers(0, len(GOOD)), st.integers(0, 20), SPOILS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
def test_a_slip_of_the_hand_is_a_spec_or_a_complaint_with_a_line(tmp_path, start, length, spoil):
    path = tmp_path / "slip.yaml"
    path.write_text(GOOD[:start] + spoil + GOOD[start + length :])
    try:
        spec = load_spec(path)
    except SpecError as error:
        complained_of = error.where
    else:
        complained_of = str(path) if isinstance(spec, ClusterSpec) else ""
    assert str(path) in complained_of


def test_the_reference_page_is_the_models():
    page = (ROOT / "docs" / "cluster-file.md").read_text()
    assert page == reference_page(ClusterSpec), "run scripts/dev/docs"
