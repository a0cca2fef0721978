"""One value of a slurmrestd's answer, in the shape of any version."""

from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.readers.rest.arrays import spell_tasks
from aistation_slurm.slurm.readers.rest.jobs import job_state
from aistation_slurm.slurm.readers.rest.values import (
    bare,
    count,
    either,
    exit_code,
    get,
    is_infinite,
    limit,
    minutes,
    moment,
    number,
    text,
    tres,
    words,
)
from aistation_slurm.slurm.states import JobState

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def told(number: float) -> dict[str, object]:
    return {"set": True, "infinite": False, "number": number}


UNSET = {"set": False, "infinite": False, "number": 0}
INFINITE = {"set": False, "infinite": True, "number": 0}


@pytest.mark.parametrize(
    ("value", "found"),
    [(7, 7), (told(7), 7), (0, 0), (told(0), 0), (-7, -7), (None, None), (UNSET, None), (INFINITE, None)],
)
def test_a_number_is_a_number_in_both_shapes(value, found):
    assert number(value) == found


@pytest.mark.parametrize("value", [None, UNSET, INFINITE, -1, -2, 2**32 - 1, 2**32 - 2, 2**64 - 1, 2**64 - 2])
def test_no_limit_is_no_limit_however_a_version_says_it(value):
    assert limit(value) is None
    assert count(value) == 0
    assert minutes(value) is None


@pytest.mark.parametrize("value", ["7", True, [], {"number": 7}, {"set": True, "infinite": False}, float("nan")])
def test_what_is_no_number_is_unreadable(value):
    with pytest.raises(SlurmUnreadable):
        number(value)


def test_only_a_time_limit_without_an_end_is_infinite():
    assert is_infinite(INFINITE)
    assert is_infinite(None)  # v0.0.38
    assert not is_infinite(UNSET)
    assert not is_infinite(60)


def test_a_moment_is_aware_and_in_utc():
    seconds = int(NOON.timestamp())
    assert moment(seconds) == moment(told(seconds)) == NOON
    assert moment(0) is moment(UNSET) is moment(None) is None
    with pytest.raises(SlurmUnreadable):
        moment(10**18)


def test_minutes_are_a_duration():
    assert minutes(1440) == minutes(told(1440)) == timedelta(days=1)


def test_words_are_a_list_or_stand_between_commas():
    assert words(["a", "b"]) == words("a,b") == ("a", "b")
    assert words("") == words(None) == words([]) == ()
    with pytest.raises(SlurmUnreadable):
        words([1])


def test_nothing_is_no_word_of_slurm_s_for_nothing_but_a_person_may_write_it():
    assert bare("None") == bare("N/A") == bare(None) == ""
    assert text("None") == "None"


def test_tres_are_the_same_as_text_and_as_a_list():
    listed = [
        {"type": "cpu", "name": None, "id": 1, "count": 4},
        {"type": "mem", "name": "", "id": 2, "count": 7168},
        {"type": "energy", "name": "", "id": 3, "count": -2},
        {"type": "node", "name": "", "id": 4, "count": None},
        {"type": "gres", "name": "gpu:v100", "id": 1003, "count": 2},
    ]
    assert tres(listed) == tres("cpu=4,mem=7G,gres/gpu:v100=2") == {"cpu": 4, "mem": 7168, "gres/gpu:v100": 2}
    assert tres("") == tres(None) == tres([]) == {}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0, "0:0"),
        (768, "3:0"),
        (9, "0:9"),
        ({"return_code": told(3), "signal": {"id": UNSET, "name": ""}}, "3:0"),
        ({"return_code": UNSET, "signal": {"id": told(15), "name": "TERM"}}, "0:15"),
    ],
)
def test_an_exit_code_is_code_and_signal(value, found):
    assert exit_code(value) == found


def test_of_several_states_the_one_that_slurm_prints_counts():
    assert job_state(["RUNNING"]) is job_state("RUNNING") is JobState.RUNNING
    assert job_state(["COMPLETED", "COMPLETING"]) is JobState.COMPLETING
    assert job_state(["PENDING", "SPECIAL_EXIT", "REQUEUE_HOLD"]) is JobState.REQUEUE_HOLD
    assert job_state(["RUNNING", "A_STATE_OF_2027"]) is JobState.RUNNING
    assert job_state([]) is JobState.UNKNOWN


def test_a_field_that_is_not_there_is_named():
    job = {"time": {"start": 1}}
    assert get(job, "time", "start") == 1
    with pytest.raises(SlurmUnreadable, match="no time/end"):
        get(job, "time", "end")
    with pytest.raises(SlurmUnreadable, match="no version nor slurmd_version"):
        either(job, "version", "slurmd_version")


@pytest.mark.parametrize(
    ("task", "at_once", "spelled"),
    [
        ("0x3FC", 2, "2-9%2"),
        ("0x3FC", 0, "2-9"),
        ("0x1", 0, "0"),
        ("0x8A", 1, "1,3,7%1"),
        ("0x155555", 0, "0-20:2"),
        ("0x155", 0, "0,2,4,6,8"),  # too few for a step
        ("1-9%2", 2, "1-9%2"),
        ("", 0, ""),
    ],
)
def test_the_members_of_an_array_are_spelled_as_sacct_does(task, at_once, spelled):
    assert spell_tasks(task, at_once=at_once) == spelled
