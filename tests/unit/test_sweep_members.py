"""What a sweep tries: a grid, a list, a table, or values drawn at random."""

from __future__ import annotations

import json
import math

import pytest

from aistation_slurm.errors import RequestError
from aistation_slurm.jobs.sweep import members
from aistation_slurm.jobs.sweep.tasks import chosen, fold, is_cut, unfold
from aistation_slurm.jobs.sweep.values import check, read_value, variable, write_value


def test_a_grid_is_every_combination_and_its_last_axis_changes_fastest():
    assert members.grid(["lr=0.1,0.01", "batch=32,64"]) == [
        {"lr": 0.1, "batch": 32},
        {"lr": 0.1, "batch": 64},
        {"lr": 0.01, "batch": 32},
        {"lr": 0.01, "batch": 64},
    ]


def test_an_axis_is_a_list_a_range_or_json():
    assert [each["seed"] for each in members.grid(["seed=-1..2"])] == [-1, 0, 1, 2]
    assert [each["text"] for each in members.grid(['text=["a,b", {"c": 1}, null]'])] == ["a,b", {"c": 1}, None]
    assert [each["opt"] for each in members.grid(["opt=sgd,,true,007,1e-4,nan"])] == [
        "sgd", "", True, "007", 1e-4, "nan",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["lr"], "'lr' names no values"),
        (["=3"], "can't be the name of a parameter"),
        (["l r=3"], "can't be the name of a parameter"),
        (["lr=1", "lr=2"], "'lr' is named twice"),
        (["lr=1", "LR=2"], "'lr' and 'LR' would both be AISTATION_PARAM_LR"),
        (["seed=9..0"], "9..0 are no values"),
        (["seed=[1"], "it is no JSON"),
        (["a=0..999", "b=0..999"], "more than 100,000 combinations"),
    ],
)
def test_a_grid_that_can_not_be_read_is_one_clear_sentence(texts, said):
    with pytest.raises(RequestError, match="--grid") as caught:
        members.grid(texts)
    assert said in str(caught.value)


def test_a_list_comes_from_lines_of_json_from_json_and_from_yaml(tmp_path):
    wanted = [{"lr": 0.1, "opt": "sgd"}, {"lr": 0.2, "opt": "ada m"}]
    lines, whole, yaml = tmp_path / "a.jsonl", tmp_path / "a.json", tmp_path / "a.yaml"
    lines.write_text("\n".join(json.dumps(each) for each in wanted) + "\n\n")
    whole.write_text(json.dumps(wanted))
    yaml.write_text("- {lr: 0.1, opt: sgd}\n- lr: 0.2\n  opt: ada m\n")
    assert members.listed(lines) == members.listed(whole) == members.listed(yaml) == wanted


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"lr": 1}\n{"lr": \n', "a.jsonl:2: it is no JSON"),
        ("a.jsonl", "[1]\n", "member 0 is no mapping"),
        ("a.json", '{"lr": 1}', "it holds no list of members"),
        ("a.yaml", "- lr: [1\n", "it is no YAML"),
        ("a.yaml", "- {day: 2020-01-02}\n", "can't be written as JSON"),
        ("a.yaml", "- {1: 2}\n", "member 0 is no mapping"),
        ("a.jsonl", "", "there is no member"),
        ("a.jsonl", '{"x": "\\u0000"}', "holds a NUL"),
        ("a.jsonl", '{"x": "\\ud800"}', "can't be written as JSON"),
        ("a.jsonl", json.dumps({"x": "y" * 100_001}), "too long for a variable"),
    ],
)
def test_a_list_that_can_not_be_read_says_where(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(RequestError) as caught:
        members.listed(tmp_path / name)
    assert said in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_csv_names_its_parameters_in_the_first_line(tmp_path):
    (tmp_path / "p.csv").write_bytes(b'\xef\xbb\xbflr,opt\r\n0.1,"a,""b"""\r\n\r\n1e-3,\r\n')
    assert members.tabled(tmp_path / "p.csv") == [{"lr": 0.1, "opt": 'a,"b"'}, {"lr": 1e-3, "opt": ""}]


@pytest.mark.parametrize(
    ("text", "said"), [("a,b\n1\n", "p.csv:2: it has not 2 columns"), ("a,a\n1,2\n", "two columns"), ("", "no CSV")]
)
def test_a_csv_that_is_none_says_where(tmp_path, text, said):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RequestError) as caught:
        members.tabled(tmp_path / "p.csv")
    assert said in str(caught.value)


def test_a_missing_file_is_one_clear_sentence(tmp_path):
    for read in (members.listed, members.tabled):
        with pytest.raises(RequestError, match="can't be read: No such file"):
            read(tmp_path / "none.csv")


def test_drawn_values_lie_in_their_range_and_the_same_seed_draws_the_same():
    wanted = ["lr=log:1e-4..1e-1", "layers=int:2..4", "p=float:-1..1", "opt=choice:sgd,adam"]
    found = members.drawn(300, wanted, seed=7)
    assert found == members.drawn(300, wanted, seed=7) != members.drawn(300, wanted, seed=8)
    assert {each["layers"] for each in found} == {2, 3, 4}
    assert {each["opt"] for each in found} == {"sgd", "adam"}
    assert all(1e-4 <= each["lr"] <= 1e-1 and -1 <= each["p"] <= 1 for each in found)
    below = sum(each["lr"] < math.sqrt(1e-5) for each in found)
    assert 100 < below < 200  # evenly by the logarithm: half of them lie below the middle


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr=log:0..1", "nothing lies in 0..1"),
        ("lr=log:1e-1..1e-4", "nothing lies in"),
        ("n=int:1.2..1.8", "no whole number"),
        ("n=gauss:0..1", "'gauss' is no way to draw"),
        ("n=int:a..b", "'a..b' is no range"),
        ("n=int:true..3", "'true..3' is no range"),
        ("n=int:3", "'3' is no range"),
    ],
)
def test_a_draw_that_can_not_be_read_is_one_clear_sentence(text, said):
    with pytest.raises(RequestError) as caught:
        members.drawn(3, [text], seed=1)
    assert said in str(caught.value)


def test_members_that_try_the_same_are_counted():
    assert members.repeated([{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}]) == 1


def test_a_value_is_written_as_a_training_reads_it():
    assert [write_value(each) for each in ("a b", 3, 0.1, True, None, [1, "é"])] == [
        "a b", "3", "0.1", "true", "null", '[1, "é"]',
    ]  # fmt: skip
    assert read_value("-1.5e3") == -1500.0


def test_a_parameter_has_one_variable():
    assert variable("model.hidden-size") == "AISTATION_PARAM_MODEL_HIDDEN_SIZE"
    with pytest.raises(RequestError, match="would both be"):
        check({"a.b": 1, "a_b": 2}, where="here")


def test_the_members_of_an_array_are_read_as_slurm_writes_them():
    assert unfold("[0-9:3,12%2]") == [0, 3, 6, 9, 12]
    assert unfold("7") == [7]
    assert unfold("[1,3,5-...]") == [1, 3]
    assert is_cut("[1,3,...]")
    assert fold([7, 0, 1, 2, 4, 4]) == "0-2,4,7"
    assert unfold(fold(range(1000))) == list(range(1000))


def test_members_that_are_not_there_can_not_be_named():
    assert chosen("3,5-7", count=8) == [3, 5, 6, 7]
    with pytest.raises(RequestError, match="there are 8 members"):
        chosen("3,5-8", count=8)
    with pytest.raises(RequestError, match="names no members"):
        chosen("all", count=8)
