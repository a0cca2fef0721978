"""A plan for a large cluster: its time grows with the cluster, not with its square."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from plan import plan_of, seconds_of


def test_four_times_the_cluster_takes_about_four_times_as_long(tmp_path):
    def planned(times: int) -> float:
        sizes = {"nodes": 300 * times, "teams": 30 * times, "jobs": 600 * times}
        return seconds_of(lambda clock: plan_of(tmp_path, **sizes, clock=clock), times=2)

    planned(1)  # what is imported and compiled once is no part of it
    small, large = planned(1), planned(4)
    assert large < 8 * small, f"{small:.2f} s became {large:.2f} s"


def test_of_a_large_cluster_the_plan_is_a_page_not_a_book(tmp_path):
    sizes = {"nodes": 600, "teams": 60, "jobs": 1200}
    lines = []
    seconds_of(lambda clock: lines.append(plan_of(tmp_path, **sizes, clock=clock).lines()), times=1)
    assert len(lines[0]) < 4 * 60, "rows that become alike are one line"
