"""Whose option is it: ours, sbatch's, or the script's own."""

from __future__ import annotations

import pytest

from aistation_slurm.jobs.passthrough import Split, Takes, split, value_of, without

OWN: dict[str, Takes] = {
    "--group": "value", "-p": "value", "--wait": "nothing", "-W": "nothing", "--auto-resume": "maybe",
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("t.py --group x", Split(script="t.py", args=("--group", "x"))),
        ("--group v100 t.py -- a", Split(("--group=v100",), (), "t.py", ("a",), is_parted=True)),
        ("-pv100 -W -- t.py", Split(("-pv100", "-W"), (), "t.py")),
        ("-p v100 t.py", Split(("-pv100",), (), "t.py")),
        ("--mem 4G -d afterok:7 t.py", Split((), ("--mem=4G", "-dafterok:7"), "t.py")),
        ("--exclusive t.py", Split((), ("--exclusive",), "t.py")),
        ("--exclusive=user --nice t.py", Split((), ("--exclusive=user", "--nice"), "t.py")),
        ("--frobnicate t.py", Split((), ("--frobnicate",), "t.py")),
        ("--frobnicate=9 t.py", Split((), ("--frobnicate=9",), "t.py")),
        ("--auto-resume t.py", Split(("--auto-resume=5",), (), "t.py")),
        ("--auto-resume=2 t.py", Split(("--auto-resume=2",), (), "t.py")),
        ("--mem", Split((), ("--mem",))),
        ("--wrap hostname", Split((), ("--wrap=hostname",))),
        ("-k -H -Q t.py", Split((), ("-k", "-H", "-Q"), "t.py")),
        ("", Split()),
    ],
)
def test_each_word_is_somebody_s(words: str, found: Split):
    assert split(words.split(), OWN, defaults={"--auto-resume": "5"}) == found


def test_a_value_that_looks_like_an_option_is_a_value_all_the_same():
    assert split(["--comment", "--wait", "t.py"], {}).options == ("--comment=--wait",)


def test_of_options_given_twice_the_last_one_counts():
    assert value_of(("--mem=1", "--mem=2", "-J", "-Jx"), "--mem") == "2"
    assert value_of(("--job-name=a", "-Jx"), "--job-name", "-J") == "x"
    assert value_of(("--mem-per-cpu=1",), "--mem") is None
    assert without(("--mem=1", "-J", "--mem=2"), "--mem") == ("-J",)
