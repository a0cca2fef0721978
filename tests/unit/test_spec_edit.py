"""Editing the cluster file: the right changes, and nothing else does, however a person wrote it."""

from __future__ import annotations

import difflib
import os
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.assets import asset_dir
from aistation_slurm.errors import NotPermitted, SpecError
from aistation_slurm.spec import load_spec
from aistation_slurm.spec.edit import alone, read_text, with_emergency, without_emergency, write_spec

EXAMPLES = sorted((asset_dir("slurm_conf") / "examples").glob("*.yaml"))
HEAD = """# kept
cluster: x
groups:
  v100: {nodes: "v-[1-2]", gpu_type: v100, gpus_per_node: 2, cpus: 8, memory: 16G}   # two of them
teams:
"""
TAIL = "# the end\n"

# How a team can be written -> how it looks once bob has the right.
GRANTS = {
    "  a: {members: [ann, bob], emergency: [ann]}  # us\n": "  a: {members: [ann, bob], emergency: [ann, bob]}  # us\n",
    "  a: {members: [ann, bob], emergency: []}\n": "  a: {members: [ann, bob], emergency: [bob]}\n",
    "  a: {members: [ann, bob]}\n": "  a: {members: [ann, bob], emergency: [bob]}\n",
    "  a: {members: [ann, bob], quota: {gpu: 4}}\n": "  a: {members: [ann, bob], emergency: [bob], quota: {gpu: 4}}\n",
    '  a:\n    members: ["ann", bob] # two\n    description: A\n': (
        '  a:\n    members: ["ann", bob] # two\n    emergency: [bob]\n    description: A\n'
    ),
    "  a:\n    members:\n    - ann  # boss\n    - bob\n": (
        "  a:\n    members:\n    - ann  # boss\n    - bob\n    emergency: [bob]\n"
    ),
    "  a:\n    members: [ann, bob]\n    emergency:\n      - ann  # since May\n\n  b: {}\n": (
        "  a:\n    members: [ann, bob]\n    emergency:\n      - ann  # since May\n      - bob\n\n  b: {}\n"
    ),
    "  a:\n    emergency: [\n      ann,  # boss\n    ]\n    members: [ann, bob]\n": (
        "  a:\n    emergency: [\n      ann, bob,  # boss\n    ]\n    members: [ann, bob]\n"
    ),
    "  a:\n    members: [\n      ann,\n      bob,\n    ]\n": (
        "  a:\n    members: [\n      ann,\n      bob,\n    ]\n    emergency: [bob]\n"
    ),
    "  'a':\n    'members': ['ann', 'bob']\n    'emergency': ['ann']\n": (
        "  'a':\n    'members': ['ann', 'bob']\n    'emergency': ['ann', bob]\n"
    ),
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    """`file(teams)` writes a cluster file with these teams."""
    path = tmp_path / "cluster.yaml"

    def write(teams, newline="\n", mark=""):
        path.write_bytes((mark + (HEAD + teams + TAIL).replace("\n", newline)).encode())
        return path

    return write


@pytest.mark.parametrize(("teams", "wanted"), GRANTS.items(), ids=range(len(GRANTS)))
def test_a_right_is_written_the_way_the_file_is_written(file, teams, wanted):
    assert with_emergency(file(teams), team="a", user="bob") == HEAD + wanted + TAIL


@pytest.mark.parametrize("teams", GRANTS, ids=range(len(GRANTS)))
def test_a_right_that_was_given_and_taken_leaves_the_file_saying_what_it_said(file, teams):
    path = file(teams)
    before = load_spec(path)
    write_spec(path, with_emergency(path, team="a", user="bob"))
    assert load_spec(path).teams["a"].emergency == [*before.teams["a"].emergency, "bob"]
    write_spec(path, without_emergency(path, team="a", user="bob"))
    assert load_spec(path) == before


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        ("[ann, bob, eve]", "[ann, eve]"),
        ("[bob, eve]", "[eve]"),
        ("[ann, bob]", "[ann]"),
        ("[bob]", "[]"),
        ("[bob,]", "[]"),
        ("[\n      ann,\n      bob,\n    ]", "[\n      ann,\n    ]"),
        ("[\n      bob,\n      eve,\n    ]", "[\n      eve,\n    ]"),
        ("[ann, bob,]", "[ann,]"),
        ("[\n      ann,  # boss\n      bob,  # May\n      eve]", "[\n      ann,  # boss\n        # May\n      eve]"),
        ("[\n      ann,  # boss\n      bob]", "[\n      ann,  # boss\n      ]"),
        ("\n      - ann # boss\n      - bob # May", "\n      - ann # boss"),
        ("\n    - bob", " []"),
    ],
)
def test_a_right_is_taken_without_a_comment_that_is_about_another(file, lists, wanted):
    teams = "  a:\n    members: [ann, bob, eve]\n    emergency:{}\n    description: A\n"
    lists, wanted = (text if text[0] in "\n " else f" {text}" for text in (lists, wanted))
    edited = without_emergency(file(teams.format(lists)), team="a", user="bob")
    assert edited == HEAD + teams.format(wanted) + TAIL


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_the_byte_order_mark_stay(file, newline, mark):
    teams = "  a:\n    members: [ann, bob]\n    description: A\n"
    edited = with_emergency(file(teams, newline, mark), team="a", user="bob")
    wanted = HEAD + "  a:\n    members: [ann, bob]\n    emergency: [bob]\n    description: A\n" + TAIL
    assert edited == mark + wanted.replace("\n", newline)


def test_what_is_so_already_changes_no_byte(file):
    path = file("  a: {members: [ann, bob], emergency: [bob]}\n")
    assert with_emergency(path, team="a", user="bob") == read_text(path)
    assert without_emergency(path, team="a", user="ann") == read_text(path)


@pytest.mark.parametrize(
    "teams",
    [
        "  b: {members: &all [ann, bob, eve], emergency: &few [ann]}\n  a: {members: *all, emergency: *few}\n",
        "  a: {members: [ann, bob], emergency: &few [ann]}\n  b: {members: [ann, bob], emergency: *few}\n",
        "  b: &one {members: [ann, bob]}\n  a: *one\n",
    ],
)
def test_a_list_that_others_share_is_not_edited_behind_their_back(file, teams):
    path = file(teams)
    with pytest.raises(SpecError, match="can't be edited safely") as refused:
        with_emergency(path, team="a", user="bob")
    assert "by hand" in refused.value.hint
    assert refused.value.where.startswith(f"{path}:")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_in_a_real_file_one_line_changes_and_all_else_stays(example, tmp_path):
    path = tmp_path / example.name
    path.write_bytes(example.read_bytes())
    dice = random.Random(4)
    people = [(team, user) for team, each in load_spec(path).teams.items() for user in each.members]
    for team, user in dice.sample(people, 8 if len(people) > 8 else len(people)):
        before = load_spec(path)
        had = user in before.teams[team].emergency
        edit = without_emergency if had else with_emergency
        text = edit(path, team=team, user=user)
        changed = [line for line in difflib.ndiff(read_text(path).splitlines(), text.splitlines()) if line[0] in "+-"]
        assert 1 <= len(changed) <= 2, changed
        write_spec(path, text)
        assert (user in load_spec(path).teams[team].emergency) is not had


def test_the_old_file_stays_beside_the_new_one_with_its_mode_and_a_link_stays_a_link(file, tmp_path):
    path = file("  a: {members: [ann, bob]}\n")
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    old = read_text(path)
    write_spec(link, with_emergency(link, team="a", user="bob"))
    assert link.is_symlink()
    assert (tmp_path / "cluster.yaml.old").read_text() == old
    assert path.stat().st_mode & 0o777 == 0o640
    assert load_spec(link).teams["a"].emergency == ["bob"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_file_stays_its_owners(file):
    path = file("  a: {members: [ann, bob]}\n")
    os.chown(path, 12345, 12345)
    write_spec(path, with_emergency(path, team="a", user="bob"))
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


WORDS = {"ann": ["ann", "'ann'", '"ann"'], "bob": ["bob", '"bob"', "'bob'"], "eve": ["eve"]}


@st.composite
def lists(draw, names, indent):
    """Draw these names as YAML: on one line or several, in any quotes, with comments and a comma too many."""
    words = [draw(st.sampled_from(WORDS[name])) for name in names]
    ends = [draw(st.sampled_from(["", "  # of us", " # [a, b]: c"])) for _ in names]
    shape = draw(st.sampled_from(["flow", "flow,", "lines", "block"]))
    pad = " " * (indent + draw(st.integers(0, 4)))
    if shape == "block" and names:
        return "".join(f"\n{pad}- {word}{end}" for word, end in zip(words, ends, strict=True))
    if shape == "lines":
        inside = "".join(f"\n{pad}  {word},{end}" for word, end in zip(words, ends, strict=True))
        return f" [{inside}\n{pad}]"
    return f" [{', '.join(words)}{',' if shape == 'flow,' and names else ''}]{draw(st.sampled_from(['', '  # x']))}"


@given(
    data=st.data(),
    had=st.lists(st.sampled_from(sorted(WORDS)), unique=True),
    order=st.permutations(["members", "emergency", "description"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_however_the_lists_are_written_only_the_right_changes(file, data, had, order):
    said = {
        "members": data.draw(lists(sorted(WORDS), 4)),
        "emergency": data.draw(lists(had, 4)),
        "description": ' "a: [b] # c"  # ours',
    }
    path = file("  a:\n" + "".join(f"    {key}:{said[key]}\n" for key in order) + "  b: {}\n")
    before, old = load_spec(path), read_text(path)
    edit = without_emergency if "bob" in had else with_emergency
    text = edit(path, team="a", user="bob")
    if "bob" not in had:
        rest = iter(text)
        assert all(each in rest for each in old), "every letter of the old file is there, in its order"
    assert text.count("#") >= old.count("#") - 1, "no comment goes but the one on the user's own line"
    write_spec(path, text)
    wanted = [each for each in had if each != "bob"] + ([] if "bob" in had else ["bob"])
    after = load_spec(path)
    assert after.teams["a"].emergency == wanted
    assert after.teams["a"].model_copy(update={"emergency": had}) == before.teams["a"]
    assert after.teams["b"] == before.teams["b"]


def test_two_who_edit_at_a_time_do_so_one_after_the_other(file):
    path = file("  a: {members: [ann, bob]}\n")
    order = []

    def other():
        with alone(path):
            order.append("other")

    with alone(path):
        thread = threading.Thread(target=other)
        thread.start()
        order.append("first")
    thread.join(30)
    assert order == ["first", "other"]


def test_a_file_that_is_not_there_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(SpecError, match="can't be read"), alone(tmp_path / "none.yaml"):
        pass


def test_a_file_that_is_not_utf_8_is_refused_in_one_sentence(file):
    path = file("  a: {members: [ann, bob]}\n")
    path.write_bytes(path.read_bytes() + b"# \xff\n")
    with pytest.raises(SpecError, match="is not UTF-8 text"), alone(path):
        pass


def test_who_may_not_write_the_file_is_refused_before_anything_is_done(file, monkeypatch):
    path = file("  a: {members: [ann, bob]}\n")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(NotPermitted, match="can't be written by you"), alone(path):
        pass
