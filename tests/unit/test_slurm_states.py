"""States, read once and then asked questions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.slurm.states import JobState, NodeState


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1000", JobState.CANCELLED),
        ("TIMEOUT+", JobState.TIMEOUT),
        ("running", JobState.RUNNING),
        ("?", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
        ("SOMETHING_OF_27_11", JobState.UNKNOWN),
    ],
)
def test_a_job_s_state_is_read_whatever_stands_behind_it(text, state):
    assert JobState.parse(text) is state


@given(st.text())
def test_no_text_breaks_a_state(text):
    assert JobState.parse(text) in JobState
    assert str(NodeState.parse(text)) is not None


@pytest.mark.parametrize("state", JobState)
def test_a_job_is_waiting_or_running_or_leaving_or_over_and_never_two_of_them(state):
    answers = [state.is_waiting, state.is_running, state.is_leaving, state.is_over]
    assert sum(answers) == (0 if state is JobState.UNKNOWN else 1)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("IDLE", {"idle", "usable"}),
        ("MIXED", {"working", "usable"}),
        ("ALLOCATED", {"working", "usable"}),
        ("MIXED+DRAIN", {"working", "draining"}),
        ("IDLE+DRAIN", {"draining", "drained"}),
        ("DOWN", {"down"}),
        ("DOWN+DRAIN", {"down", "draining", "drained"}),
        ("DOWN*+DRAIN", {"down", "draining", "drained"}),
        ("DOWN+NOT_RESPONDING", {"down"}),
        ("IDLE+NOT_RESPONDING", set()),
        ("idle*", set()),
        ("IDLE+COMPLETING", {"working", "usable"}),
        ("IDLE+MAINTENANCE+RESERVED", {"usable"}),
        ("IDLE+PLANNED", {"usable"}),
        ("IDLE+INVALID_REG", set()),
        ("IDLE+FAIL", {"draining", "drained"}),
        ("IDLE+CLOUD+POWERED_DOWN", set()),
        ("UNKNOWN", set()),
    ],
)
def test_a_node_s_state_answers_for_itself(text, answers):
    state = NodeState.parse(text)
    questions = ("down", "working", "idle", "draining", "drained", "usable")
    assert {each for each in questions if getattr(state, f"is_{each}")} == answers


def test_a_node_s_state_is_shown_base_first():
    assert str(NodeState.parse("MIXED+DRAIN+NOT_RESPONDING")) == "mixed+drain*"
