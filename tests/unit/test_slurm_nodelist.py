"""Node lists."""

from contextlib import suppress

import pytest
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
