"""The cluster file: what it takes, and what it says about what it doesn't."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from aistation_slurm.errors import SpecError, SpecErrors, UnknownNameError
from aistation_slurm.spec import ClusterSpec, Spec, load_spec
from aistation_slurm.spec.reference import reference_page
from tests.unit.bad_cluster_files import GOOD

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "slurm_conf" / "examples"


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


def test_one_example_shows_every_key_that_there_is():
    text = (EXAMPLES / "everything.yaml").read_text()
    missing = {key for model in Spec.__subclasses__() for key in model.model_fields if f"{key}:" not in text}
    assert missing == set()


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
    assert ":5:10: " in warning
    assert "p100-[01-08]" in warning


SUSPECT = {
    "quota: {per_user: {gpu: 16}}": (
        "quota: {per_user: {gpu: 300}}",
        "5:68: 300 GPUs are more than group p100 has: 240",
    ),
    "emergency: [bob]}\n": (
        "parent: top}\n  top: {members: [eve]}\nquota: {per_team: {gpu: 4}}\n",
        "8:3: no quota holds for team top: per_team is not for teams that have others below them",
    ),
    "emergency: [bob]": ("emergency: []", ""),
    "cluster: station\n": (
        "cluster: station\nslurm: {topology: {switches: {a: {nodes: 'v100-[01-08],p100-[01-28]'}}}}\n",
        "2:20: p100-29 and 1 more of group p100 stand at no switch: no job there runs on more than one node",
    ),
    "teams:\n": (
        "calendar: {quota: {per_user: {gpu: 4}}}\nteams:\n",
        "6:12: the quota of QOS night changes nothing where no night is named",
    ),
    "groups:\n": (
        "calendar: {workdays: [2026-10-10]}\ngroups:\n",
        "3:12: workdays change nothing where neither weekends nor holidays count",
    ),
}


@pytest.mark.parametrize("old", SUSPECT)
def test_what_is_allowed_but_looks_like_a_mistake_is_warned_of(old, write):
    new, wanted = SUSPECT[old]
    assert old in GOOD
    path = write(GOOD.replace(old, new))
    found = [each.removeprefix(f"{path}:").partition(" (")[0] for each in load_spec(path).warnings]
    assert found == ([wanted] if wanted else [])


def test_somebody_in_two_teams_is_warned_of_where_a_total_is_set(write):
    text = GOOD + "  face: {members: [ann]}\nquota: {per_user: {gpu: 24}}\n"
    (warning,) = load_spec(write(text)).warnings
    assert "ann is in robot and face" in warning


def test_an_editor_asks_for_nothing_that_defaults_can_give_and_knows_what_can_be_one_word():
    models = ClusterSpec.model_json_schema()["$defs"]
    assert models["GpuGroup"]["required"] == ["nodes", "gpu_type"]
    word, mapping = models["GpuGroup"]["properties"]["cache"]["anyOf"]
    assert (word["enum"], mapping) == (["ssd", "hdd", "none"], {"$ref": "#/$defs/CacheDisk"})
    word, mapping = models["Quota"]["properties"]["storage"]["additionalProperties"]["anyOf"]
    assert (word["type"], mapping) == ("string", {"$ref": "#/$defs/StorageQuota"})


def test_the_reference_page_is_the_models():
    page = (ROOT / "docs" / "cluster-file.md").read_text()
    assert page == reference_page(ClusterSpec), "run scripts/dev/docs"
