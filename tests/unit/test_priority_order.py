"""The order of emergency jobs: who is raised, by how much, and that nobody else changes places."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import InvalidRequest
from aistation_slurm.priority.order import LARGEST, Waiting, gap_of, in_order, reorder

GAP = 10


def line(*priorities: int, **fields: int) -> list[Waiting]:
    """Return jobs 1, 2, 3 ... of these priorities."""
    return [Waiting(job_id=number, priority=each, **fields) for number, each in enumerate(priorities, 1)]


def afterwards(waiting, changes):
    """Return the jobs as Slurm would have them once the changes are made."""
    new = {change.job_id: change.new for change in changes}
    return [
        replace(job, priority=job.priority + new[job.job_id] - job.site_factor, site_factor=new[job.job_id])
        if job.job_id in new
        else job
        for job in waiting
    ]


def ids(waiting):
    return [job.job_id for job in in_order(waiting)]


def test_slurm_starts_the_higher_priority_first_and_the_older_of_equals():
    assert ids(line(5, 9, 5)) == [2, 1, 3]


def test_a_job_that_is_to_be_first_is_raised_above_the_first_one_and_says_so():
    (change,) = reorder(line(1005, 1004, 1003), 3, before=None, gap=GAP)
    assert str(change) == "~ job 3  SiteFactor 0 -> 12 (first)"


def test_between_two_that_are_far_apart_only_the_one_job_is_raised():
    (change,) = reorder(line(1500, 1000, 900), 3, before=2, gap=GAP)
    assert str(change) == "~ job 3  SiteFactor 0 -> 110 (before job 2)"


def test_those_ahead_are_raised_only_as_far_as_the_job_would_come_too_near_to_them():
    waiting = line(5000, 1001, 1001, 1000, 900)
    changes = reorder(waiting, 5, before=4, gap=GAP)
    assert [str(each) for each in changes] == [
        "~ job 5  SiteFactor 0 -> 110 (before job 4)",
        "~ job 3  SiteFactor 0 -> 19 (stays before job 5)",
        "~ job 2  SiteFactor 0 -> 29 (stays before job 3)",
    ]
    assert ids(afterwards(waiting, changes)) == [1, 2, 3, 5, 4]


@pytest.mark.parametrize(("job", "before"), [(1, None), (1, 3), (2, 3), (1, 2)])
def test_a_job_that_is_before_the_other_already_stays_where_it_is(job, before):
    assert reorder(line(9, 8, 7), job, before=before, gap=GAP) == ()


def test_what_was_added_before_is_counted():
    (change,) = reorder(line(5000, 1000, site_factor=300), 2, before=None, gap=GAP)
    assert (change.old, change.new) == (300, 300 + 4010)


def test_a_job_whose_nice_was_cut_off_at_the_lowest_priority_gets_it_made_up_for():
    waiting = [Waiting(job_id=1, priority=50), Waiting(job_id=2, priority=1, nice=400)]
    (change,) = reorder(waiting, 2, before=None, gap=GAP)
    assert change.new >= 400 + 50 + GAP


def test_more_than_slurm_can_hold_is_refused():
    with pytest.raises(InvalidRequest, match="job 2 would need a SiteFactor of"):
        reorder([Waiting(job_id=1, priority=LARGEST), Waiting(job_id=2, priority=5)], 2, before=None, gap=GAP)


def test_the_gap_is_more_than_waiting_and_use_can_make():
    assert gap_of({"PriorityWeightAge": "1000", "PriorityWeightFairShare": "500", "PriorityWeightQOS": "9"}) == 1501
    assert gap_of({}) == 1


queues = st.lists(st.tuples(st.integers(2, 60), st.integers(0, 40)), min_size=2, max_size=9)


@given(queue=queues, data=st.data())
def test_whatever_the_queue_one_job_moves_the_rest_keeps_its_order_and_nobody_falls(queue, data):
    waiting = [Waiting(job_id=n, priority=priority, site_factor=f) for n, (priority, f) in enumerate(queue, 1)]
    before = ids(waiting)
    moved, target = data.draw(st.sampled_from(before)), data.draw(st.sampled_from([None, *before]))
    if moved == target:
        return
    changes = reorder(waiting, moved, before=target, gap=GAP)
    after = ids(afterwards(waiting, changes))
    rest = [each for each in before if each != moved]
    place = rest.index(target) if target is not None else 0
    is_so = before.index(moved) <= (before.index(target) if target is not None else 0)
    assert after == (before if is_so else [*rest[:place], moved, *rest[place:]])
    assert all(change.new > change.old >= 0 for change in changes)
    assert reorder(afterwards(waiting, changes), moved, before=target, gap=GAP) == ()
