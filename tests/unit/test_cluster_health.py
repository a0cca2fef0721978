"""What counts as worse after an apply: what Slurm did to nodes and jobs, not what people and jobs do by themselves."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from aistation_slurm.cluster.applying.health import Health, worse
from aistation_slurm.cluster.applying.slurmds import listening
from aistation_slurm.slurm.model import Job, Node, Partition
from aistation_slurm.slurm.states import JobState, NodeState


def a_node(state: str, *, reason: str = "", by: str = "") -> Node:
    return Node(name="v100-01", state=NodeState.parse(state), reason=reason, reason_user=by)


def a_job(state: JobState, *, nodes: str = "v100-01", restarts: int = 0) -> Job:
    return Job(job_id=7, name="train", user="ann", state=state, nodes=nodes, restart_count=restarts)


def health(node: str | Node = "IDLE", job: Job | None = None, partition: str = "UP") -> Health:
    found = a_node(node) if isinstance(node, str) else node
    jobs = {7: job} if job else {}
    return Health({found.name: found}, {"v100": Partition(name="v100", state=partition)}, jobs)


def faults(before: Health, now: Health) -> list[str]:
    return [str(each) for each in worse(before, now, slurm_user="slurm")]


@pytest.mark.parametrize("state", ["DOWN", "IDLE+INVAL", "IDLE*", "DOWN+DRAIN", "UNKNOWN"])
def test_a_node_that_slurm_can_use_no_more_is_worse(state):
    assert faults(health("IDLE"), health(state)) == [f"v100-01 is {NodeState.parse(state)}"]


def test_a_node_that_only_is_silent_may_come_back():
    found = list(worse(health("IDLE"), health("IDLE*"), slurm_user="slurm"))
    assert [each.may_pass for each in found] == [True]
    assert not any(each.may_pass for each in worse(health("IDLE"), health("DOWN"), slurm_user="slurm"))


def test_a_node_that_was_bad_before_is_not_worse():
    assert faults(health("DOWN"), health("DOWN")) == []
    assert faults(health("IDLE*"), health("DOWN")) == []


def test_a_node_that_slurm_itself_drained_is_worse_and_one_that_a_person_drained_is_not():
    low = "gres/gpu count reported lower than configured (1 < 2)"
    assert faults(health("IDLE"), health(a_node("IDLE+DRAIN", reason=low, by="slurm"))) == [
        f"v100-01 is {NodeState.parse('IDLE+DRAIN')} ({low})"
    ]
    assert faults(health("IDLE"), health(a_node("IDLE+DRAIN", reason="fan", by="wang"))) == []
    assert faults(health("IDLE"), health(a_node("IDLE+DRAIN", reason="aistation: shares change"))) == []


@pytest.mark.parametrize("state", [JobState.NODE_FAIL, JobState.BOOT_FAIL, JobState.LAUNCH_FAILED])
def test_a_job_that_slurm_ended_is_worse(state):
    said = faults(health(job=a_job(JobState.RUNNING)), health(job=a_job(state)))
    assert said == [f"job 7 of ann was ended by Slurm: {state}"]


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.TIMEOUT])
def test_a_job_that_ended_by_itself_is_not(state):
    assert faults(health(job=a_job(JobState.RUNNING)), health(job=a_job(state))) == []


def test_a_job_that_never_ran_and_failed_is_worse():
    waiting = a_job(JobState.PENDING, nodes="")
    assert faults(health(job=waiting), health(job=a_job(JobState.FAILED, nodes="")))
    assert faults(health(job=waiting), health(job=a_job(JobState.FAILED))) == []


def test_a_job_that_made_room_for_an_emergency_is_not_worse_and_one_requeued_from_a_lost_node_is():
    before, again = a_job(JobState.RUNNING), a_job(JobState.PENDING, nodes="", restarts=1)
    assert faults(health(job=before), health(job=again)) == []
    said = faults(health(job=before), health("DOWN", job=again))
    assert "job 7 of ann was requeued from v100-01" in said


def test_a_partition_that_takes_no_jobs_any_more_is_worse():
    assert faults(health(), health(partition="DOWN")) == ["partition v100 is DOWN"]
    gone = replace(health(), partitions={})
    assert faults(health(), gone) == []


def test_a_slurmd_is_looked_for_at_its_own_port():
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("127.0.0.1", 0)) as gone:
        port, dead = there.getsockname()[1], gone.getsockname()[1]
        gone.close()
        idle = NodeState.parse("IDLE")
        nodes = [
            Node(name="a", address="127.0.0.1", port=port, state=idle),
            Node(name="b", address="127.0.0.1", port=dead, state=idle),
            Node(name="c", address="127.0.0.1", state=idle),
        ]
        assert listening(nodes, port=port) == {"a", "c"}
    assert listening(nodes, port=port) == frozenset()
