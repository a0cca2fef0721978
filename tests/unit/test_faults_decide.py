"""Which nodes are lost, which are back, and when we hold back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.faults.decide import (
    BACK,
    HoldBack,
    LeaveAlone,
    MarkDown,
    Suspect,
    decide_losses,
    decide_returns,
    is_counted_on,
    suspects,
)
from aistation_slurm.faults.overview import verdict
from aistation_slurm.faults.policy import Policy
from aistation_slurm.faults.probe import Answer, Sign
from aistation_slurm.node.beats import Beat, Beats
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.states import NodeState

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
POLICY = Policy()
SILENT = Answer(Sign.SILENT, "no answer within 1 s")
ANSWERS = Answer(Sign.ANSWERS)
OURS = "aistation: no heartbeat for 3.0 s, slurmd does not answer"


def ago(seconds):
    return NOON - timedelta(seconds=seconds)


def a_node(name="n1", *, state="ALLOCATED", reason="", partitions=("v100",)):
    return Node(name=name, state=NodeState.parse(state), reason=reason, partitions=partitions)


def beats(*, since=3600, at_work=0.1, well_since=3600, **silent):
    seen = {name: Beat(ago(age), ago(max(well_since, age))) for name, age in silent.items()}
    return Beats(seen, since=ago(since), at_work=ago(at_work))


def names(found):
    return [each.node.name for each in found]


def test_a_node_that_beats_is_no_suspect():
    assert suspects([a_node()], beats(n1=0.4), POLICY, NOON) == []


def test_a_node_whose_single_beat_got_lost_is_no_suspect():
    assert suspects([a_node()], beats(n1=1.1), POLICY, NOON) == []


def test_a_node_that_was_not_heard_for_longer_is_suspect_and_asked_before_its_silence_counts():
    found = suspects([a_node()], beats(n1=1.2), POLICY, NOON)
    assert found == [Suspect(a_node(), timedelta(seconds=1.2))]
    assert POLICY.silent_after - found[0].silence < timedelta(seconds=1), "the answer may take a second"


def test_an_idle_node_is_suspect_too_since_new_jobs_would_be_sent_to_it():
    assert names(suspects([a_node(state="IDLE")], beats(n1=9), POLICY, NOON)) == ["n1"]


def test_a_node_that_was_never_heard_is_left_alone():
    assert suspects([a_node()], beats(n2=0.1), POLICY, NOON) == []


def test_silence_before_the_receiver_began_to_listen_does_not_count():
    assert suspects([a_node()], beats(since=1.1, n1=3600), POLICY, NOON) == []
    assert names(suspects([a_node()], beats(since=1.3, n1=3600), POLICY, NOON)) == ["n1"]


def test_a_receiver_that_is_not_at_work_makes_nobody_suspect():
    assert suspects([a_node()], beats(at_work=1.6, n1=60), POLICY, NOON) == []
    assert suspects([a_node()], Beats({"n1": Beat(ago(60), ago(60))}), POLICY, NOON) == []


def test_a_clock_that_was_set_back_makes_nobody_suspect():
    assert suspects([a_node()], beats(n1=-3600), POLICY, NOON) == []


def test_the_longest_silent_comes_first():
    nodes = [a_node("a"), a_node("b"), a_node("c")]
    assert names(suspects(nodes, beats(a=3, b=9, c=3), POLICY, NOON)) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("state", "counted"),
    [
        ("IDLE", True),
        ("ALLOCATED", True),
        ("MIXED*", True),
        ("IDLE+COMPLETING", True),
        ("MIXED+DRAIN", True),
        ("IDLE+DRAIN", False),
        ("DOWN", False),
        ("DOWN*+DRAIN", False),
        ("IDLE+POWERED_DOWN", False),
        ("ALLOCATED+REBOOT_ISSUED", False),
        ("IDLE+MAINT", False),
        ("FUTURE", False),
        ("UNKNOWN*", False),
    ],
)
def test_only_a_node_that_slurm_counts_on_can_be_lost(state, counted):
    assert is_counted_on(a_node(state=state)) is counted


def test_a_node_in_no_partition_is_left_alone():
    assert not is_counted_on(a_node(partitions=()))


def decide(answers, *, total=95, lately=(), silence=3.14, controls=(ANSWERS,)):
    found = [Suspect(a_node(name), timedelta(seconds=silence)) for name in answers]
    return decide_losses(found, answers, total=total, lost_lately=lately, policy=POLICY, controls=controls)


@pytest.mark.parametrize("controls", [(), (SILENT, Answer(Sign.UNKNOWN, "no route"))])
def test_where_no_other_slurmd_answers_either_it_may_be_us_and_nothing_is_done(controls):
    (step,) = decide({"n1": SILENT}, controls=controls)
    assert str(step) == "leave n1: no other slurmd answers us either, so that it may be us"


def test_two_bad_signals_mark_a_node_down_and_the_reason_says_which():
    (step,) = decide({"n1": SILENT})
    assert step.reason == "aistation: no heartbeat for 3.1 s, slurmd does not answer"
    assert str(step) == "down n1: no heartbeat for 3.1 s, slurmd does not answer (no answer within 1 s)"


def test_a_node_whose_slurmd_answers_is_left_alone():
    (step,) = decide({"n1": ANSWERS})
    assert str(step) == "leave n1: its slurmd answers; only its agent is silent"


def test_a_node_that_we_could_not_ask_is_left_alone():
    (step,) = decide({"n1": Answer(Sign.UNKNOWN, "Network is unreachable")})
    assert str(step) == "leave n1: silent, but its slurmd could not be asked: Network is unreachable"


def test_a_suspect_without_an_answer_is_left_alone():
    steps = decide_losses([Suspect(a_node(), timedelta(seconds=9))], {}, total=4, lost_lately=(), policy=POLICY)
    assert isinstance(steps[0], LeaveAlone)


def test_what_somebody_drained_before_stands_in_the_reason():
    suspect = Suspect(a_node(state="MIXED+DRAIN", reason="bad fan"), timedelta(seconds=3))
    (step,) = decide_losses([suspect], {"n1": SILENT}, total=4, lost_lately=(), policy=POLICY, controls=[ANSWERS])
    assert step.reason.endswith("slurmd does not answer (drained before: bad fan)")


def test_two_of_four_nodes_may_be_lost_at_once():
    assert [type(each) for each in decide({"n1": SILENT, "n2": SILENT}, total=4)] == [MarkDown, MarkDown]


def test_the_third_of_four_nodes_trips_the_breaker_and_nothing_is_done():
    (step,) = decide({"n1": SILENT, "n2": SILENT, "n3": SILENT}, total=4)
    assert step == HoldBack(("n1", "n2", "n3"), 0, 2, POLICY.breaker_period)
    assert str(step) == (
        "hold back: n[1-3] lost, 0 before within 300 s; more than 2 is taken for a fault of ours, or of the network"
    )


def test_what_was_lost_a_moment_ago_counts_for_the_breaker():
    assert isinstance(decide({"n3": SILENT}, total=4, lately={"n1", "n2"})[0], HoldBack)
    assert isinstance(decide({"n3": SILENT}, total=4, lately={"n1", "n3"})[0], MarkDown)


def test_of_many_nodes_five_percent_may_be_lost():
    five = {f"n{n}": SILENT for n in range(5)}
    assert all(isinstance(each, MarkDown) for each in decide(five, total=100))
    assert isinstance(decide({**five, "n9": SILENT}, total=100)[0], HoldBack)


def test_silent_agents_whose_slurmds_answer_do_not_trip_the_breaker():
    steps = decide({"n1": SILENT} | {f"m{n}": ANSWERS for n in range(40)})
    assert sum(isinstance(each, MarkDown) for each in steps) == 1


def returning(*, reason=OURS, state="DOWN", well_since=60.0, age=0.1, answering=60.0):
    answers = {} if answering is None else {"n1": ago(answering)}
    found = beats(well_since=well_since, n1=age)
    return [str(each) for each in decide_returns([a_node(state=state, reason=reason)], found, answers, POLICY, NOON)]


TAKE_IN = ["take in n1: it is back; its old jobs are ended, new ones wait"]


def test_a_node_that_is_well_by_both_signals_is_taken_in_without_new_jobs():
    assert returning(well_since=2.1, answering=2) == TAKE_IN
    assert returning(well_since=2.1, answering=1.9) == []


def test_a_node_that_was_taken_in_and_is_clean_is_given_back_after_ten_seconds():
    found = returning(well_since=11, answering=10, state="IDLE+DRAIN", reason=BACK)
    assert found == ["resume n1: beats and answers for 10.0 s"]


@pytest.mark.parametrize("state", ["MIXED+DRAIN", "IDLE+DRAIN*", "IDLE+COMPLETING+DRAIN"])
def test_a_node_that_was_taken_in_and_is_not_clean_is_not_given_back(state):
    assert returning(state=state, reason=BACK) == []


@pytest.mark.parametrize(
    "but",
    [
        {"reason": "bad fan"},
        {"reason": "Not responding"},
        {"reason": OURS + " (drained before: bad fan)"},
        {"state": "IDLE"},
        {"well_since": 1.9},
        {"answering": 1.9},
        {"state": "IDLE+DRAIN", "reason": BACK, "well_since": 9.9},
        {"state": "IDLE+DRAIN", "reason": BACK, "answering": 9.9},
        {"state": "IDLE+DRAIN", "reason": OURS},
        {"state": "IDLE", "reason": BACK},
        {"answering": None},
        {"age": 2.5},
    ],
    ids=str,
)
def test_a_node_is_not_given_back(but):
    assert returning(**but) == []


@pytest.mark.parametrize(
    ("node", "heard", "said"),
    [
        (a_node(), {"n1": 0.2}, "well"),
        (a_node(), {"n1": 3}, "silent"),
        (a_node(), {}, "no agent: left alone"),
        (a_node(state="DOWN", reason=OURS), {"n1": 30}, "lost"),
        (a_node(state="DOWN", reason=OURS), {"n1": 0.1}, "comes back"),
        (a_node(state="IDLE+DRAIN", reason=BACK), {"n1": 0.1}, "comes back"),
        (a_node(state="DOWN", reason="bad fan"), {"n1": 0.1}, "left alone"),
        (a_node(state="DOWN+DRAIN", reason=OURS + " (drained before: x)"), {"n1": 0.1}, "left to who drained it"),
        (a_node(), {"n1": 3, "at_work": 60}, "nobody listens: left alone"),
    ],
)
def test_the_list_of_nodes_says_what_recovery_makes_of_each(node, heard, said):
    assert verdict(node, beats(**heard), POLICY, NOON) == said
