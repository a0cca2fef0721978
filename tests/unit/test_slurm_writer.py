"""Orders: what they say to Slurm, what is already so, and what is never said at all."""

from pathlib import Path

import pytest

from aistation_slurm.errors import (
    NotPermitted,
    SlurmRefused,
    SlurmUnreachable,
    SlurmUnreadable,
    UnknownToSlurm,
)
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.writer import SlurmWriter


class Scripted:
    """A runner that answers what it was told to, and remembers what it was asked."""

    def __init__(self, *, returncode: int = 0, stdout: str = "", stderr: str = "") -> None:
        self.answer = Completed(returncode, stdout, stderr)
        self.asked: list[tuple[str, ...]] = []
        self.stdin = ""

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        self.asked.append(argv)
        self.stdin = stdin
        assert timeout == 60
        return self.answer


def a_node(state: str = "DOWN", *, reason: str = "aistation: no heartbeat") -> Node:
    return Node(name="v100-01", state=NodeState.parse(state), reason=reason)


def test_a_script_goes_in_by_stdin_and_its_job_id_comes_back():
    runner = Scripted(stdout="42\n")
    assert SlurmWriter(runner).sbatch("#!/bin/sh\n", "--hold", "-N2", cwd=Path("/data")) == 42
    assert runner.asked == [("sbatch", "--parsable", "--chdir", "/data", "--hold", "-N2")]
    assert runner.stdin == "#!/bin/sh\n"


def test_a_job_id_with_its_cluster_is_a_job_id():
    assert SlurmWriter(Scripted(stdout="7;station\n")).sbatch("#!/bin/sh\n") == 7


def test_an_answer_without_a_job_id_is_unreadable():
    with pytest.raises(SlurmUnreadable):
        SlurmWriter(Scripted(stdout="hello\n")).sbatch("#!/bin/sh\n")


def test_a_trial_says_when_and_where_without_submitting():
    said = "sbatch: Job 9 to start at 2026-11-23T22:04:58 using 1 processors on nodes v100-01 in partition v100\n"
    runner = Scripted(stderr=said)
    assert SlurmWriter(runner).sbatch_test("#!/bin/sh\n", "-p", "v100").startswith("Job 9 to start at 2026")
    assert runner.asked == [("sbatch", "--test-only", "-p", "v100")]


def test_nothing_is_ever_cancelled_without_a_job_id():
    runner = Scripted()
    with pytest.raises(ValueError, match="every job"):
        SlurmWriter(runner).scancel(user="ann")
    assert runner.asked == []


def test_a_job_is_cancelled_by_its_id_and_its_user():
    runner = Scripted()
    SlurmWriter(runner).scancel(7, 8, user="ann", signal="USR2")
    assert runner.asked == [("scancel", "--user", "ann", "--signal", "USR2", "7", "8")]


def test_a_job_that_is_over_already_is_cancelled():
    gone = "scancel: error: Kill job error on job id 7: Job/step already completing or completed\n"
    SlurmWriter(Scripted(returncode=1, stderr=gone)).scancel(7)


def test_a_job_of_another_user_is_not_passed_over_beside_one_that_is_over():
    said = (
        "scancel: error: Kill job error on job id 7: Job/step already completing or completed\n"
        "scancel: error: Kill job error on job id 8: Access/permission denied\n"
    )
    with pytest.raises(NotPermitted):
        SlurmWriter(Scripted(returncode=210, stderr=said)).scancel(7, 8)


def test_a_scancel_that_fails_without_a_word_is_no_success():
    with pytest.raises(SlurmRefused, match="status 1"):
        SlurmWriter(Scripted(returncode=1)).scancel(1)


def test_a_job_is_changed_in_scontrol_s_own_words():
    runner = Scripted()
    SlurmWriter(runner).update_job(7, StartTime="now", Comment="a b=c")
    assert runner.asked == [("scontrol", "update", "JobId=7", "StartTime=now", "Comment=a b=c")]


@pytest.mark.parametrize("order", ["requeue", "hold", "release"])
def test_a_job_that_slurm_does_not_know_is_unknown(order):
    runner = Scripted(returncode=1, stderr="Invalid job id specified for job 7\n")
    with pytest.raises(UnknownToSlurm):
        getattr(SlurmWriter(runner), order)(7)
    assert runner.asked == [("scontrol", order, "7")]


def test_a_node_is_set_aside_with_our_mark_only():
    runner = Scripted()
    writer = SlurmWriter(runner)
    writer.down_node("v100-01", "aistation: no heartbeat\nfor 3 s")
    writer.drain_node("v100-02", "aistation: GPU 3 is gone")
    assert runner.asked == [
        ("scontrol", "update", "NodeName=v100-01", "State=DOWN", "Reason=aistation: no heartbeat for 3 s"),
        ("scontrol", "update", "NodeName=v100-02", "State=DRAIN", "Reason=aistation: GPU 3 is gone"),
    ]
    for order in (writer.down_node, writer.drain_node):
        with pytest.raises(ValueError, match="aistation:"):
            order("v100-01", "disk full")
    assert len(runner.asked) == 2


@pytest.mark.parametrize("name", ["", "ALL", "all", "v100-[01-02]", "a,b", "a b"])
def test_one_order_changes_one_node(name):
    runner = Scripted()
    with pytest.raises(ValueError, match="one node"):
        SlurmWriter(runner).down_node(name, "aistation: x")
    with pytest.raises(ValueError, match="one node"):
        SlurmWriter(runner).update_node(name, Comment="x")
    assert runner.asked == []


def test_only_a_node_that_we_set_aside_is_given_back():
    runner = Scripted()
    writer = SlurmWriter(runner)
    assert writer.resume_node(a_node("DOWN+NOT_RESPONDING"))
    assert writer.resume_node(a_node("IDLE+DRAIN"))
    assert not writer.resume_node(a_node("IDLE"))
    assert not writer.resume_node(a_node("DOWN", reason="disk full"))
    assert not writer.resume_node(a_node("DOWN", reason="was aistation: x"))
    assert runner.asked == [("scontrol", "update", "NodeName=v100-01", "State=RESUME")] * 2


@pytest.mark.parametrize("said", ["Invalid node state specified", "Invalid node state transition"])
def test_a_node_that_somebody_else_gave_back_meanwhile_is_no_error(said):
    refused = Scripted(returncode=1, stderr=f"slurm_update error: {said}\n")
    assert SlurmWriter(refused).resume_node(a_node())


@pytest.mark.parametrize("field", ["State", "state", "Reason"])
def test_a_node_s_state_has_orders_of_its_own(field):
    with pytest.raises(ValueError, match="resume_node"):
        SlurmWriter(Scripted()).update_node("v100-01", **{field: "RESUME"})


MAKE_SURE = "Make sure the accounts requested here have been added to the system/cluster. (sacctmgr add account...)\n"


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        (" Nothing new added.\n", ""),
        (" Nothing modified\n", ""),
        ("  Nothing deleted\n", ""),
        (" Already existing account face on cluster lab\n", ""),
        (f"Request didn't affect anything\nNothing added.\n{MAKE_SURE}", ""),
        (" Modified accounts...\n  Nothing modified\n", ""),
        (" Removing Coordinators with user name\n  ann\n From Account(s)\n  face\n Nothing removed\n", ""),
        ("", "sacctmgr: error: Request didn't affect anything\n"),
        ("", " Error with request: Data has not changed since time specified\n"),
    ],
)
def test_what_is_so_already_in_slurmdbd_is_no_error_on_any_release(stdout, stderr):
    runner = Scripted(returncode=1, stdout=stdout, stderr=stderr)
    assert SlurmWriter(runner).sacctmgr("add", "account", "face") == stdout
    assert runner.asked == [("sacctmgr", "-i", "add", "account", "face")]


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        (" Nothing new added.\n", " This account 'nope' doesn't exist.\n        Contact your admin.\n"),
        (f"No account nope on cluster lab, skipping.\nNothing added.\n{MAKE_SURE}", ""),
        ("", " Parent account 'nope' doesn't exist on cluster lab\n No associations created.\n"),
        ("", " error: No parent account 'nope' on cluster 'lab'\n"),
    ],
)
def test_a_name_that_slurmdbd_does_not_know_is_an_error_though_nothing_was_added(stdout, stderr):
    with pytest.raises(UnknownToSlurm, match="nope"):
        SlurmWriter(Scripted(returncode=1, stdout=stdout, stderr=stderr)).sacctmgr("add", "user", "ann", "account=nope")


def test_a_controller_that_answers_is_up():
    assert SlurmWriter(Scripted(stdout="Slurmctld(primary) at vm is UP\n")).ping()
    assert not SlurmWriter(Scripted(returncode=1, stdout="Slurmctld(primary) at vm is DOWN\n")).ping()


def test_an_order_that_nobody_heard_is_unreachable():
    refused = Scripted(returncode=1, stderr="slurm_reconfigure error: Unable to contact slurm controller\n")
    with pytest.raises(SlurmUnreachable):
        SlurmWriter(refused).reconfigure()
