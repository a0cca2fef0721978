"""Node lists."""

import re
from contextlib import suppress

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm import nodelist

NODES = st.sets(
    st.builds(
        "{}{}-{:0{}}".format, st.sampled_from(["gpu", "p100s-", "n"]), st.integers(1, 3), st.integers(1, 12), st.just(2)
    )
)


def test_a_list_names_its_nodes_in_order():
    assert nodelist.expand("p100-[01-03,07],x") == ("p100-01", "p100-02", "p100-03", "p100-07", "x")
    assert nodelist.count("p100-[01-30]") == 30


@pytest.mark.parametrize("text", ["", "(null)", "None", "None assigned"])
def test_no_list_names_no_node(text):
    assert nodelist.expand(text) == ()


@given(NODES)
def test_names_survive_folding_and_expanding(names):
    assert set(nodelist.expand(nodelist.fold(names))) == names


def test_only_the_last_number_is_folded_since_slurm_reads_no_other():
    assert nodelist.fold(["gpu1-01", "gpu1-02", "gpu2-01", "gpu2-02"]) == "gpu1-[01-02],gpu2-[01-02]"


@given(st.text())
def test_whatever_slurm_prints_is_read_or_refused_as_unreadable(text):
    with suppress(SlurmUnreadable):
        nodelist.expand(text)


BETWEEN = re.compile(r",(?![^\[]*\])")
STEMS = st.sampled_from(["gpu-", "gpu", "n1-", "n10-", "n9-", "a.b-", "rack1x", "x_"])


@given(st.sets(st.tuples(STEMS, st.integers(0, 120)), max_size=40))
def test_what_is_folded_plainly_is_what_nodeset_makes_of_it(parts):
    names = {f"{stem}{number:03}" for stem, number in parts}
    nodes = NodeSet.fromlist(sorted(names), resolver=RESOLVER_NOGROUP)
    nodes.fold_axis = (-1,)
    assert sorted(BETWEEN.split(nodelist.fold(names))) == sorted(BETWEEN.split(str(nodes)))


@given(st.sets(st.tuples(STEMS, st.integers(0, 120), st.sampled_from([1, 2, 3])), max_size=40))
def test_numbers_of_several_widths_survive_folding(parts):
    names = {f"{stem}{number:0{width}}" for stem, number, width in parts}
    assert set(nodelist.expand(nodelist.fold(names))) == names
