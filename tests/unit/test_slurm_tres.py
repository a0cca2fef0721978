"""TRES and GRES strings, as Slurm 22.05 to 26.05 print them."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.tres import Gres, read_amount, read_gres, read_tres, read_tres_usage, write_tres

NAMES = st.sampled_from(["cpu", "mem", "node", "billing", "gres/gpu", "gres/gpu:v100", "gres/shard", "license/matlab"])


def test_a_job_s_resources_are_counts_and_mib():
    text = "cpu=1,mem=62.50G,node=1,billing=1,gres/gpu=2,gres/gpu:v100=2"
    assert read_tres(text) == {
        "cpu": 1, "mem": 64000, "node": 1, "billing": 1, "gres/gpu": 2, "gres/gpu:v100": 2,
    }  # fmt: skip


def test_a_resource_without_limit_is_left_out():
    assert read_tres("cpu=-1,gres/gpu=NONE,mem=2G") == {"mem": 2048}


def test_memory_of_a_gpu_and_of_a_burst_buffer_is_in_mib_too():
    assert read_tres("gres/gpumem=4G,bb/scratch=1G,fs/disk=1K") == {
        "gres/gpumem": 4096,
        "bb/scratch": 1024,
        "fs/disk": 1024,
    }


@given(st.dictionaries(NAMES, st.integers(0, 10**9)))
def test_resources_survive_writing_and_reading(tres):
    assert read_tres(write_tres(tres)) == tres


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpu:v100:8(S:0-1)", [Gres(name="gpu", type="v100", count=8, where="0-1")]),
        ("gpu:8", [Gres(name="gpu", count=8)]),
        ("gpu", [Gres(name="gpu", count=1)]),
        ("gpu:v100", [Gres(name="gpu", type="v100", count=1)]),
        ("gpu:1080ti:8", [Gres(name="gpu", type="1080ti", count=8)]),
        (
            "gpu:v100:2(IDX:0-1),shard:0",
            [Gres(name="gpu", type="v100", count=2, where="0-1"), Gres(name="shard", count=0)],
        ),
        ("gpu:p100:0(IDX:N/A)", [Gres(name="gpu", type="p100", count=0)]),
        ("gpu:(null):3(IDX:0,2,4)", [Gres(name="gpu", count=3, where="0,2,4")]),
        ("shard:p100:3(1/4,2/4)", [Gres(name="shard", type="p100", count=3, where="1/4,2/4")]),
        ("craynetwork:4K", [Gres(name="craynetwork", count=4096)]),
        ("gres:gpu:a100:2", [Gres(name="gpu", type="a100", count=2)]),
        ("gres/gpu:a100=2", [Gres(name="gpu", type="a100", count=2)]),
    ],
)
def test_gres_of_every_release_are_read(text, expected):
    assert list(read_gres(text)) == expected


@pytest.mark.parametrize("text", ["", "(null)", "N/A", "none"])
def test_no_gres_is_an_empty_tuple(text):
    assert read_gres(text) == ()


@given(st.one_of(st.text(), st.from_regex(r"[a-z/:=0-9,()SIDX\-.]{0,40}", fullmatch=True)))
def test_whatever_slurm_prints_is_read_or_refused_as_unreadable(text):
    with suppress(SlurmUnreadable):
        read_tres_usage(text)
    with suppress(SlurmUnreadable):
        read_amount(text)
    with suppress(SlurmUnreadable):
        read_tres(text)
    with suppress(SlurmUnreadable):
        read_gres(text)


def test_what_a_step_used_is_read_in_seconds_and_mib():
    assert read_tres_usage("cpu=1-00:00:10,energy=0,fs/disk=56623,mem=20971520,pages=3,vmem=446291968") == {
        "cpu": 86410,
        "energy": 0,
        "fs/disk": 56623,
        "mem": 20,
        "pages": 3,
        "vmem": 425,
    }
    assert read_tres_usage("gres/gpumem=1073741824,gres/gpuutil=87") == {"gres/gpumem": 1024, "gres/gpuutil": 87}
    assert read_tres_usage("") == {}


@pytest.mark.parametrize(("text", "amount"), [("12", 12), ("1K", 1024), ("1.50K", 1536), ("0", 0)])
def test_a_long_number_that_slurm_shortens_is_read_whole(text, amount):
    assert read_amount(text) == amount
