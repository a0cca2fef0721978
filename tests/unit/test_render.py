"""What a template may be given, and what becomes of it."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from aistation_slurm.errors import UnprintableError
from aistation_slurm.render import Raw, shell_word, slurm_line, slurm_value, templates, write_whole

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1) | st.sampled_from(
    ["a b", "it's", '"', "$(x)", "`x`"]
)


@given(PRINTABLE)
def test_a_shell_reads_back_exactly_the_word_that_was_written(text):
    assert shlex.split(shell_word(text)) == [text]


def test_a_real_shell_does_too():
    nasty = 'it\'s $(touch /tmp/x) `id` "q" *?[a] ~ #'
    done = subprocess.run(["sh", "-c", f"printf %s {shell_word(nasty)}"], capture_output=True, text=True, check=True)
    assert done.stdout == nasty


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "a\x1b[0m", "a\u2028b"])
def test_a_value_that_would_end_its_line_is_refused(bad):
    with pytest.raises(UnprintableError):
        shell_word(bad)
    with pytest.raises(UnprintableError):
        slurm_value(bad)


@pytest.mark.parametrize("bad", ["a b", "a#b", "a\tb"])
def test_a_slurm_file_takes_no_value_that_slurm_would_cut(bad):
    with pytest.raises(UnprintableError):
        slurm_line({"Reason": bad})


def test_a_line_of_a_slurm_file_is_a_mapping():
    pairs = {
        "PartitionName": "v100",
        "Nodes": ["a", "b"],
        "QOS": None,
        "Default": True,
        "Hidden": False,
        "PriorityTier": 10,
    }
    assert slurm_line(pairs) == "PartitionName=v100 Nodes=a,b Default=YES Hidden=NO PriorityTier=10"


def test_what_we_wrote_ourselves_goes_in_as_it_is():
    assert shell_word(Raw("$HOME/x")) == "$HOME/x"


def test_a_missing_name_in_a_template_is_an_error(tmp_path):
    (tmp_path / "t").write_text("{{ nope }}")
    with pytest.raises(UndefinedError):
        templates(tmp_path, finalize=shell_word).get_template("t").render()


def test_a_sites_own_template_comes_first(tmp_path):
    for name, text in (("site", "mine"), ("ours", "yours")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t").write_text(text)
    assert templates(tmp_path / "site", tmp_path / "ours", finalize=str).get_template("t").render() == "mine"


def test_a_file_is_replaced_whole_with_its_mode(tmp_path):
    target = tmp_path / "slurm.conf"
    target.write_text("old")
    write_whole(target, "new\n", mode=0o600)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new\n", 0o600)
    assert list(tmp_path.iterdir()) == [target]
