"""Orders: what they say to Slurm, what is already so, and what is never said at all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.errors import (
    InvalidRequest,
    NotPermitted,
    SlurmError,
    SlurmRefused,
    SlurmUnreachable,
    SlurmUnreadable,
    UnknownToSlurm,
)
from aistation_slurm.slurm.model import Account, Association, Job, Limits, Node, Qos
from aistation_slurm.slurm.runner import Completed
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.writer import SlurmWriter
from aistation_slurm.slurm.writer.jobs import selector


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


NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
OURS = Account(name="face", description="aistation")


def a_job(job_id: int, *, name: str = "train", user: str = "ann", **fields: object) -> Job:
    return Job(job_id=job_id, name=name, user=user, state=JobState.RUNNING, **fields)  # type: ignore[arg-type]


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


def test_nothing_is_ever_cancelled_without_a_job():
    runner = Scripted()
    with pytest.raises(ValueError, match="every job"):
        SlurmWriter(runner).scancel()
    assert runner.asked == []


def test_a_job_is_cancelled_by_its_id_its_user_and_its_name():
    runner = Scripted(stderr="scancel: Signal 12 to job 7\n")
    assert SlurmWriter(runner).scancel(a_job(7), a_job(8), a_job(9, name="a,b | c"), signal="USR2")
    assert runner.asked == [
        ("scancel", "--verbose", "--user=ann", "--name=train", "--signal", "USR2", "7", "8"),
        ("scancel", "--verbose", "--user=ann", "--name=a,b | c", "--signal", "USR2", "9"),
    ]


def test_a_name_that_can_t_be_read_is_no_filter_and_a_job_of_nobody_is_not_cancelled():
    runner = Scripted()
    SlurmWriter(runner).scancel(a_job(7, name="caf\ufffd"))
    assert runner.asked == [("scancel", "--verbose", "--user=ann", "7")]
    with pytest.raises(InvalidRequest, match="no user"):
        SlurmWriter(runner).scancel(a_job(7, user=""))
    assert len(runner.asked) == 1


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ("7", "40_7"),
        ("[4-9%2]", "40_[4-9]"),
        ("0-9:3%2", "40_[0,3,6,9]"),
        ("1-3,7,20-30:5", "40_[1-3,7,20,25,30]"),
    ],
)
def test_a_member_of_an_array_is_named_alone_though_the_array_has_its_id(task, named):
    assert selector(a_job(40, array_job_id=40, array_task=task)) == named


@pytest.mark.parametrize("task", ["1,2,3,...", "1,2,", "1-", "*", "a", "1_2"])
def test_members_that_are_not_all_named_are_not_ordered_about(task):
    with pytest.raises(InvalidRequest, match="members"):
        SlurmWriter(Scripted()).hold(a_job(40, array_job_id=40, array_task=task))


def test_only_the_first_part_of_a_heterogeneous_job_stands_for_it():
    assert selector(a_job(50, het_job_id=50)) == "50"
    with pytest.raises(InvalidRequest, match="part of 50") as caught:
        SlurmWriter(Scripted()).scancel(a_job(51, het_job_id=50, het_offset=1))
    assert "50" in caught.value.hint


GONE = "scancel: error: Kill job error on job id 7: Invalid job id specified\n"
LOADED = "scancel: select/cons_tres: common_init: select/cons_tres loaded\n"
NO_MATCH = "scancel: error: No active jobs match ALL job filters, including: job_name=train user_name=ann \n"


@pytest.mark.parametrize(
    ("returncode", "stderr"),
    [
        (1, LOADED + GONE + NO_MATCH),
        (1, "scancel: error: Kill job error on job id 7: Job/step already completing or completed\n"),
        (0, LOADED + NO_MATCH),
    ],
)
def test_a_job_that_is_over_or_whose_id_is_another_s_now_is_no_error(returncode, stderr):
    assert not SlurmWriter(Scripted(returncode=returncode, stderr=stderr)).scancel(a_job(7))


def test_a_job_is_told_though_another_beside_it_is_over():
    told = Scripted(returncode=1, stderr=LOADED + GONE + "scancel: Terminating job 8\n")
    assert SlurmWriter(told).scancel(a_job(7), a_job(8))


def test_a_job_of_another_user_is_not_passed_over_beside_one_that_is_over():
    denied = "scancel: error: Kill job error on job id 8: Access/permission denied\n"
    with pytest.raises(NotPermitted) as caught:
        SlurmWriter(Scripted(returncode=210, stderr=LOADED + GONE + denied)).scancel(a_job(7), a_job(8))
    assert "cons_tres" not in caught.value.text


def test_a_scancel_that_fails_without_a_word_is_no_success():
    with pytest.raises(SlurmRefused, match="status 1"):
        SlurmWriter(Scripted(returncode=1)).scancel(a_job(1))


def test_a_job_is_changed_in_our_units_and_slurm_s_words():
    runner = Scripted()
    writer = SlurmWriter(runner)
    writer.update_job(7, start_now=True, comment="a b=c\nd")
    writer.update_job(
        7, priority=5, nice=-3, site_factor=10, time_limit=timedelta(days=1, hours=2), prefer="", start_time=NOON
    )
    writer.update_job(a_job(40, array_job_id=40, array_task="3"), time_limit=None, requeue=False)
    assert runner.asked == [
        ("scontrol", "update", "JobId=7", "StartTime=now", "Comment=a b=c\nd"),
        ("scontrol", "update", "JobId=7", "Priority=5", "Nice=-3", "SiteFactor=10", "TimeLimit=1-02:00:00",
         f"StartTime=uts{int(NOON.timestamp())}", "Prefer="),
        ("scontrol", "update", "JobId=40_3", "TimeLimit=UNLIMITED", "Requeue=0"),
    ]  # fmt: skip


def test_an_order_that_would_change_nothing_is_not_given():
    writer = SlurmWriter(Scripted())
    for order in (
        lambda: writer.update_job(7),
        lambda: writer.update_node("v100-01"),
        lambda: writer.update_partition("v100"),
        lambda: writer.update_reservation("aistation-x"),
    ):
        with pytest.raises(ValueError, match="nothing is to be changed"):
            order()


def test_a_job_that_stands_in_the_queue_is_requeued_already():
    waiting = "Job is pending execution for job 7\nslurm_suspend error: Job is pending execution\n"
    runner = Scripted(returncode=1, stderr=waiting)
    assert not SlurmWriter(runner).requeue(7)
    assert SlurmWriter(Scripted()).requeue(7, hold=True)


def test_of_an_array_what_was_refused_is_told_not_what_was_done():
    partly = Scripted(returncode=1, stderr="40_3: No error\n40_4: Access/permission denied\n")
    with pytest.raises(NotPermitted) as caught:
        SlurmWriter(partly).hold(40)
    assert caught.value.text == "40_4: Access/permission denied"


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


NO_NAMES = ["", "ALL", "all", "v100-[01-02]", "a,b", "a b", "a=b", "-x", "a\nb", 'a"b', " a"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_one_order_changes_one_thing(name):
    runner = Scripted()
    writer = SlurmWriter(runner)
    for order in (
        lambda: writer.down_node(name, "aistation: x"),
        lambda: writer.update_node(name, comment="x"),
        lambda: writer.update_partition(name, state="DOWN"),
        lambda: writer.add_qos(name),
        lambda: writer.delete_qos(Qos(name=name, description="aistation")),
        lambda: writer.add_account(name, cluster="lab"),
        lambda: writer.delete_account(OURS, cluster=name),
        lambda: writer.add_user(name, account="face", cluster="lab"),
        lambda: writer.remove_user(name, account=OURS, cluster="lab"),
        lambda: writer.add_user("ann", account="face", cluster="lab", qos=("normal", name)),
    ):
        with pytest.raises(InvalidRequest, match="name of one"):
            order()
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


def test_a_node_that_we_drained_takes_jobs_again_and_stays_down_if_it_is():
    runner = Scripted()
    writer = SlurmWriter(runner)
    assert writer.undrain_node(a_node("DOWN+DRAIN"))
    assert not writer.undrain_node(a_node("DOWN"))
    assert not writer.undrain_node(a_node("IDLE+DRAIN", reason="disk full"))
    assert runner.asked == [("scontrol", "update", "NodeName=v100-01", "State=UNDRAIN")]


def test_a_node_s_features_are_named_in_one_order_the_available_ones_first():
    runner = Scripted()
    SlurmWriter(runner).set_features("v100-01", ("ib", "ssd"), active=("ssd",))
    SlurmWriter(runner).set_features("v100-01", (), active=())
    assert runner.asked == [
        ("scontrol", "update", "NodeName=v100-01", "AvailableFeatures=ib,ssd", "ActiveFeatures=ssd"),
        ("scontrol", "update", "NodeName=v100-01", "AvailableFeatures=", "ActiveFeatures="),
    ]


def test_a_partition_is_opened_closed_and_timed():
    runner = Scripted()
    SlurmWriter(runner).update_partition("v100", state="DRAIN", max_time=timedelta(hours=36), default_time=None)
    SlurmWriter(runner).update_partition("v100", allow_accounts=(), allow_qos=("a", "b"), is_hidden=True)
    assert runner.asked == [
        ("scontrol", "update", "PartitionName=v100", "State=DRAIN", "MaxTime=1-12:00:00", "DefaultTime=UNLIMITED"),
        ("scontrol", "update", "PartitionName=v100", "AllowAccounts=ALL", "AllowQos=a,b", "Hidden=YES"),
    ]


def test_a_reservation_of_ours_carries_our_mark_in_its_name():
    runner = Scripted(stdout="Reservation created: aistation-maint\n")
    writer = SlurmWriter(runner)
    wishes = {"duration": timedelta(hours=2), "users": ("ann", "bob"), "flags": ("MAINT", "IGNORE_JOBS")}
    assert writer.create_reservation("aistation-maint", nodes="v100-[01-02]", **wishes) == "aistation-maint"
    assert runner.asked == [
        ("scontrol", "create", "reservation", "ReservationName=aistation-maint", "StartTime=now", "Duration=02:00:00",
         "Nodes=v100-[01-02]", "Users=ann,bob", "Flags=MAINT,IGNORE_JOBS"),
    ]  # fmt: skip
    for order in (
        lambda: writer.create_reservation("maint", nodes="ALL", users=("ann",)),
        lambda: writer.update_reservation("maint", users=("ann",)),
        lambda: writer.delete_reservation("maint"),
    ):
        with pytest.raises(ValueError, match="aistation-"):
            order()
    assert len(runner.asked) == 1


def test_a_reservation_that_is_gone_is_deleted():
    gone = "delete_reservation ReservationName=aistation-x: Requested reservation is invalid\n"
    assert not SlurmWriter(Scripted(returncode=1, stderr=gone)).delete_reservation("aistation-x")
    assert SlurmWriter(Scripted()).delete_reservation("aistation-x")


def test_what_was_not_made_by_us_is_never_deleted():
    runner = Scripted()
    writer = SlurmWriter(runner)
    for order in (
        lambda: writer.delete_qos(Qos(name="normal", description="Normal QOS default")),
        lambda: writer.delete_account(Account(name="root"), cluster="lab"),
        lambda: writer.remove_user("ann", account=Account(name="theirs", description="x"), cluster="lab"),
    ):
        with pytest.raises(ValueError, match="not ours"):
            order()
    assert runner.asked == []


def test_a_qos_is_made_with_its_limits_and_only_what_differs_is_changed():
    runner = Scripted()
    writer = SlurmWriter(runner)
    limits = Limits(max_tres_per_user={"gres/gpu": 4, "mem": 7168}, max_jobs_per_user=3, max_wall=timedelta(hours=5))
    assert writer.add_qos("big", priority=7, preempt=("normal",), limits=limits)
    was = Qos(name="big", description="aistation", priority=7, preempt=("normal",), limits=limits)
    writer.modify_qos(was, priority=7, limits=Limits(max_tres_per_user={"gres/gpu": 2}, grp_jobs=9))
    writer.modify_qos(was, priority=7, preempt=("normal",), grace_time=timedelta(0), limits=limits)
    assert runner.asked == [
        ("sacctmgr", "-i", "add", "qos", "big", "Description=aistation", "Priority=7", "Preempt=normal",
         "MaxJobsPerUser=3", "MaxTRESPerUser=gres/gpu=4,mem=7G", "MaxWallDurationPerJob=05:00:00"),
        ("sacctmgr", "-i", "modify", "qos", "where", "name=big", "set", "GrpJobs=9", "MaxJobsPerUser=-1",
         "MaxTRESPerUser=gres/gpu=2,mem=-1", "MaxWallDurationPerJob=-1"),
    ]  # fmt: skip


def test_an_association_is_changed_where_it_is_and_carries_no_limit_of_a_qos():
    runner = Scripted()
    writer = SlurmWriter(runner)
    ann = Association(cluster="lab", account="face", user="ann", partition="v100", default_qos="normal")
    writer.modify_association(ann, share=None, qos=("normal", "big"), default_qos="", limits=Limits(grp_jobs=2))
    writer.modify_association(Association(cluster="lab", account="face"), share=5)
    assert runner.asked == [
        ("sacctmgr", "-i", "modify", "user", "where", "name=ann", "account=face", "cluster=lab", "partition=v100",
         "set", "Fairshare=parent", "QOS=normal,big", "DefaultQOS=-1", "GrpJobs=2"),
        ("sacctmgr", "-i", "modify", "account", "where", "name=face", "cluster=lab", "set", "Fairshare=5"),
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="max_tres_per_user"):
        writer.modify_association(ann, limits=Limits(max_tres_per_user={"cpu": 1}))


def test_a_parent_that_is_not_there_is_refused_before_sacctmgr_is_told_of_it():
    nobody = Scripted(stdout="")
    with pytest.raises(UnknownToSlurm, match="'nope' on lab"):
        SlurmWriter(nobody).modify_association(Association(cluster="lab", account="face"), parent="nope")
    assert [argv[:4] for argv in nobody.asked] == [("sacctmgr", "-n", "-P", "show")]
    there = Scripted(stdout="robot\n")
    SlurmWriter(there).modify_association(Association(cluster="lab", account="face"), parent="robot")
    assert there.asked[-1][-2:] == ("set", "Parent=robot")


def test_to_change_what_is_not_there_is_an_error_though_sacctmgr_calls_it_nothing():
    with pytest.raises(UnknownToSlurm):
        SlurmWriter(Scripted(returncode=1, stdout=" Nothing modified\n")).modify_qos(Qos(name="big"), priority=3)


def test_to_add_what_is_there_and_to_delete_what_is_gone_is_nothing_to_do():
    there = Scripted(returncode=1, stdout=" Nothing new added.\n")
    assert not SlurmWriter(there).add_user("ann", account="face", cluster="lab")
    gone = Scripted(returncode=1, stdout=" Nothing deleted\n")
    assert not SlurmWriter(gone).delete_account(OURS, cluster="lab")


def test_a_value_that_sacctmgr_leaves_out_with_a_complaint_is_no_success():
    half = Scripted(stdout=" Adding QOS(s)\n  big\n", stderr="sacctmgr: error: Invalid value for Priority (x)\n")
    with pytest.raises(InvalidRequest, match="Priority"):
        SlurmWriter(half).sacctmgr("add", "qos", "big", "priority=x")


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
        (" Nothing new added.\n", "sacctmgr: error: Getting response to message type: DBD_FINI\n"),
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


def test_a_change_whose_end_slurmdbd_did_not_confirm_is_none():
    said = "sacctmgr: error: Getting response to message type: DBD_FINI\n"
    for returncode in (0, 1):
        with pytest.raises(SlurmError):
            SlurmWriter(Scripted(returncode=returncode, stdout=" Adding QOS(s)\n  big\n", stderr=said)).add_qos("big")


def test_a_controller_that_answers_is_up():
    assert SlurmWriter(Scripted(stdout="Slurmctld(primary) at vm is UP\n")).ping()
    assert not SlurmWriter(Scripted(returncode=1, stdout="Slurmctld(primary) at vm is DOWN\n")).ping()


def test_an_order_that_nobody_heard_is_unreachable():
    refused = Scripted(returncode=1, stderr="slurm_reconfigure error: Unable to contact slurm controller\n")
    with pytest.raises(SlurmUnreachable):
        SlurmWriter(refused).reconfigure()


@pytest.mark.parametrize(
    ("told", "listed"),
    [("(null) (null)", "v100-01"), ("(null) v100-[05-07]", "v100-[05-07],v100-01"), ("v100-02 (null)", "v100-01")],
)
def test_a_node_is_excluded_beside_those_that_were(told, listed):
    runner = Scripted(stdout=f"{told}\n")
    SlurmWriter(runner).exclude_nodes(a_job(7), "v100-01")
    assert runner.asked[-1] == ("scontrol", "update", "JobId=7", f"ExcNodeList={listed}")


def test_a_node_that_a_job_asks_for_by_name_is_not_taken_from_it():
    runner = Scripted(stdout="v100-[01-02] (null)\n")
    with pytest.raises(InvalidRequest, match="asks for v100-01 by name"):
        SlurmWriter(runner).exclude_nodes(a_job(7), "v100-01")
    assert len(runner.asked) == 1
