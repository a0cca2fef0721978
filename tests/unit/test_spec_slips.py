"""Everything that a hand can do to a cluster file is told with its place and the way out, and crashes nothing."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster.wanted.desired import desired
from aistation_slurm.cluster.wanted.files import wanted_files
from aistation_slurm.errors import SpecError, SpecErrors, UnknownNameError
from aistation_slurm.spec import Spec, load_spec
from tests.unit.bad_cluster_files import GOOD, SLIPS

TOLD = Path(__file__).resolve().parents[1] / "golden" / "spec" / "complaints.txt"
QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)


def complaints(path: Path) -> list[str]:
    """Return every complaint about the file as `line:column: text; hint`."""
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    errors = caught.value.errors if isinstance(caught.value, SpecErrors) else (caught.value,)
    lines = [f"{each}; {each.hint}" if each.hint else str(each) for each in errors]
    return [line.removeprefix(f"{path}:") for line in lines]


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "cluster.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_told() -> dict[str, list[str]]:
    """Return what stands in the golden file: a slip, then its complaints, indented."""
    slips = re.findall(r"^(\S.*)\n((?:  .*\n)*)", TOLD.read_text(), re.MULTILINE)
    return {name: [line.strip() for line in said.splitlines()] for name, said in slips}


def test_every_slip_of_the_hand_is_told_in_these_words(tmp_path):
    found = {}
    for name, (old, new) in SLIPS.items():
        assert old in GOOD, name
        found[name] = complaints(written(tmp_path, GOOD.replace(old, new)))
    if os.environ.get("AISTATION_GOLDEN") == "write":
        TOLD.write_text("".join(f"{name}\n" + "".join(f"  {each}\n" for each in said) for name, said in found.items()))
    assert found == read_told()


def test_every_complaint_has_a_place_and_fits_a_screen():
    for name, said in read_told().items():
        for each in said:
            line, column, text = each.split(":", 2)
            assert (int(line) >= 1, int(column) >= 1, len(text) < 300) == (True, True, True), name


WHOLE_FILES = {
    b"": " is empty; begin with one of slurm_conf/examples/*.yaml",
    b"# only a comment\n": " is empty; begin with one of slurm_conf/examples/*.yaml",
    b"- a\n- b\n": "1:1: must be a mapping, such as `cluster: station`",
    b"cluster": "1:1: must be a mapping, such as `cluster: station`",
    b"cluster: [a\n": "2:1: is not YAML: expected ',' or ']', but got '<stream end>'",
    b"cluster: caf\xe9\n": "1:13: is not UTF-8 text; save it as UTF-8",
    GOOD.encode("utf-16"): "1:1: is not UTF-8 text; save it as UTF-8",
    b"\x00": "1:1: is not YAML: U+0000 can't stand in a text; take the letter out",
    b"\xef\xbb\xbf%YAML 1.1\n---\na: yes\n": "1:1: '%YAML 1.1' is not taken; take the line out: in YAML 1.1 `no` and "
    "`on` mean false and true",
}


@pytest.mark.parametrize("content", WHOLE_FILES)
def test_a_file_that_is_no_cluster_file_is_refused_in_one_sentence(content, tmp_path):
    (said,) = complaints(written(tmp_path, content))
    assert said.removeprefix(f"{tmp_path}/cluster.yaml:") == WHOLE_FILES[content]


def test_all_that_is_wrong_is_said_at_once_in_the_files_order(tmp_path):
    path = written(tmp_path, GOOD.replace("cpus: 64", "cpus: many").replace("gpu: 16", "gpu: x").replace("ann", "Ann"))
    with pytest.raises(SpecErrors) as caught:
        load_spec(path)
    assert str(caught.value) == f"{path}: 3 things are wrong"
    assert [line.split(":")[1:3] for line in caught.value.hint.splitlines()] == [["2", "30"], ["5", "68"], ["7", "21"]]


def test_who_spoils_a_whole_list_is_told_of_its_beginning(tmp_path):
    names = ", ".join(f"U{number}" for number in range(1000))
    said = complaints(written(tmp_path, GOOD.replace("ann, bob]", f"bob, {names}]")))
    assert len(said) == 101
    assert said[-1].endswith(" 900 more things are wrong")


def test_what_is_wrong_in_the_defaults_is_said_once(tmp_path):
    assert len(complaints(written(tmp_path, GOOD.replace("cpus: 64", "cpus: many")))) == 1


def test_an_unknown_name_is_an_error_of_its_own(tmp_path):
    with pytest.raises(UnknownNameError):
        load_spec(written(tmp_path, GOOD.replace("teams: [robot]", "teams: [robt]")))


def test_a_few_lines_of_aliases_do_not_fill_the_memory(tmp_path):
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    (said,) = complaints(written(tmp_path, bomb))
    assert said.endswith("too deep or too large; write the file without aliases")


def test_a_device_without_end_is_not_read_to_its_end():
    with pytest.raises(SpecError, match="is larger than any cluster file can be"):
        load_spec(Path("/dev/zero"))


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "n"])
def test_a_word_that_other_readers_take_for_true_or_false_can_be_a_name(word, tmp_path):
    spec = load_spec(written(tmp_path, GOOD.replace("[ann, bob], emergency: [bob]", f"[{word}]")))
    assert spec.teams["robot"].members == [word]


def test_an_alias_and_yaml_1_2_are_taken(tmp_path):
    text = GOOD.replace("[ann, bob], emergency: [bob]", "&all [ann, bob], emergency: *all")
    assert load_spec(written(tmp_path, f"%YAML 1.2\n---\n{text}...\n")).teams["robot"].emergency == ["ann", "bob"]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    assert load_spec(written(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())).cluster == "station"
    (said,) = complaints(written(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("64", "x").replace("\n", "\r\n").encode()))
    assert said.startswith("2:30: cpus: needs a whole number, not 'x'")


def taken_or_told(path: Path) -> None:
    """Read the file: it is told of with its place, or it is a cluster that can be made."""
    try:
        spec = load_spec(path)
    except SpecError as error:
        where, text = error.where, str(error)
    else:
        where, text = str(path), "".join(wanted_files(spec, gpu_device="/dev/nvidia", source="x"))
        assert set(desired(spec).accounts) == set(spec.managed_teams())
    assert (str(path) in where, len(text) < 2000) == (True, True)


@given(st.text(max_size=200))
@QUICK
def test_no_text_causes_anything_but_a_complaint(tmp_path, text):
    taken_or_told(written(tmp_path, text.encode(errors="replace")))


@given(st.binary(max_size=200))
@QUICK
def test_no_bytes_cause_anything_but_a_complaint(tmp_path, content):
    taken_or_told(written(tmp_path, content))


SPOILS = st.sampled_from(
    [
        *("", "~", "{}", "[]", "1", "-1", "1e3", "08", "0x10", "no", "'a b'", "*x", "&x", "x: y", "\t", "1.5", ".5"),
        *("<<: *x", "!!set {a}", "!x", "\x00", "\ufeff", "\u202e", "\u0430", "%YAML 1.1\n", "---\n", "? ", "|\n", "{"),
        *('"', "9" * 400, "12:30:00", "2026-02-30", "[1-99999999]", "\r", "\u2028", "x" * 5000, "ALL"),
    ]
)


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 20), SPOILS), min_size=1, max_size=3))
@settings(QUICK, max_examples=200)
def test_slips_of_the_hand_are_a_cluster_or_a_complaint_with_its_place(tmp_path, slips):
    text = GOOD
    for start, length, spoil in slips:
        text = text[:start] + spoil + text[start + length :]
    taken_or_told(written(tmp_path, text))


KEYS = st.sampled_from(sorted({key for model in Spec.__subclasses__() for key in model.model_fields}))
NAMES = ("a", "b", "ann", "gpu-[01-04]", "256G", "4h", "ALL", "ssd", "mps", "site", "2026-12-24", "/home")
WORDS = st.sampled_from(NAMES)
VALUES = st.recursive(
    WORDS | st.integers(-2, 10**12) | st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORDS, inner, max_size=6),
    max_leaves=30,
)


@given(st.dictionaries(KEYS, VALUES, max_size=12))
@settings(QUICK, max_examples=200)
def test_any_tree_of_known_keys_is_a_cluster_or_a_complaint_with_its_place(tmp_path, tree):

    taken_or_told(written(tmp_path, json.dumps({"cluster": "a", **tree})))
