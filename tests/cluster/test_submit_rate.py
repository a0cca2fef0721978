"""What our rules cost slurmctld with 100 partitions, 16 submitters at a time; `submit_rate` measures it in earnest."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest

from tests.bench.submit_rate import pairs

pytestmark = pytest.mark.cluster

LEAST, MOST = 3, 9
FLOOR = 0.8


@pytest.fixture
def hundred_partitions(station) -> Iterator[None]:
    """The station with so many more partitions, all of them the site's own."""
    conf = station.settings.slurm.conf
    plain = conf.read_text()
    lines = [f"PartitionName=more{each:02} Nodes=v100-01 State=UP" for each in range(98)]
    conf.write_text("\n".join([plain.rstrip("\n"), *lines, ""]))
    yield
    conf.write_text(plain)
    station.slurm.write.reconfigure()


@pytest.mark.usefixtures("hundred_partitions", "ann")
def test_the_rules_leave_four_fifths_of_the_rate_of_submissions_at_least(station):
    """Pairs are added until their median says so: a machine that is busy with other things needs a few more."""
    found = []
    for pair in pairs(station.cluster, station.slurm, MOST, jobs=64):
        found.append(pair)
        if len(found) >= LEAST and statistics.median(each.ratio for each in found) >= FLOOR:
            return
    raise AssertionError("\n".join(map(str, found)))
