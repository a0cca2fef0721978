"""What Slurm says when it can't or won't: words of real answers (22.05.8) and of slurm_errno.c up to 26.05."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import (
    InUse,
    InvalidRequest,
    NotPermitted,
    QuotaExceeded,
    SlurmError,
    SlurmRefused,
    SlurmUnreachable,
    UnknownToSlurm,
)
from aistation_slurm.slurm.refusals import broken_off, refusal
from aistation_slurm.slurm.runner import Completed

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
FAILED = "sbatch: error: Batch job submission failed: "
PERSIST = "sacctmgr: error: slurm_persist_conn_open"


def said(text: str, *, returncode: int = 1) -> SlurmError:
    return refusal(("sbatch", "--parsable"), Completed(returncode, "", text))


@pytest.mark.parametrize(
    "text",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
        "slurm_load_jobs error: Socket timed out on send/recv operation\n",
        "slurm_load_jobs error: Zero Bytes were transmitted or received\n",
        "scontrol: error: slurm_msg_sendto: address:port=10.0.0.1:6817 msg_type=1: Unexpected missing socket error\n",
        "slurm_load_jobs error: Broken pipe\n",
        "slurm_load_jobs error: Slurm backup controller in standby mode\n",
        "slurm_load_jobs error: Protocol authentication error\n",
        "slurm_load_jobs error: Incompatible versions of client and server code\n",
        "scancel: error: Kill job error on job id 7: Insane message length\n",
        "slurm_load_jobs error: Rate limit exceeded, please retry momentarily\n",
        "slurm_load_jobs error: Connection timed out establishing\n",
        "slurm_load_jobs error: Connection rejected by handler\n",
        "slurm_load_jobs error: Authentication credential expired\n",
        'squeue: error: Munge encode failed: Failed to access "/run/munge/munge.socket.2": No such file or directory\n',
        "squeue: error: If munged is up, restart with --num-threads=10\n",
        f"{PERSIST}: failed to send persistent connection init message to db:6819\n",
        f"{PERSIST}_without_init: failed to open persistent connection to host:db:6819: Connection refused\n",
        "sacctmgr: error: Sending PersistInit msg: Connection refused\n",
        "Problem getting accounts from the database.\nUnable to connect to database\n",
        "sbatch: error: Slurm controller not responding, sleeping and retrying\n",
        "squeue: fatal: Could not establish a configuration source\n",
        "squeue: fatal: Unable to process configuration file\n",
        "squeue: error: _parse_next_key: Parsing error at unrecognized key: Frob\n",
        f"{FAILED}Can't find an address, check slurm.conf\n",
    ],
)
def test_who_could_not_be_asked_is_unreachable_with_a_hint(text):
    error = said(text)
    assert type(error) is SlurmUnreachable
    assert error.hint


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"sbatch: error: QOSMaxGRESPerUser\n{FAILED}{POLICY}\n", QuotaExceeded),
        (f"sbatch: error: AssocGrpGRES\n{FAILED}{POLICY}\n", QuotaExceeded),
        (f"sbatch: error: AssocGrpMemLimit\nallocation failure: {POLICY}\n", QuotaExceeded),
        (f"{FAILED}MaxJobCount limit reached\n", QuotaExceeded),
        ("Access/permission denied for job 3\n", NotPermitted),
        ("scancel: error: Kill job error on job id 1: Access/permission denied\n", NotPermitted),
        ("slurm_update error: Invalid user id\n", NotPermitted),
        ("Invalid user id for job 7\n", NotPermitted),
        (f"{FAILED}User's group not permitted to use this partition\n", NotPermitted),
        ("sacctmgr: error: Your user doesn't have privilege to perform this action\n", NotPermitted),
        (f"{FAILED}Access denied to requested reservation\n", NotPermitted),
        ("delete_partition partition=v100: Partition is in use\n", InUse),
        (" Error with request: Job(s) active, cancel job(s) before remove\n  JobID = 1  C = lab\n", InUse),
        (" Error with request: You can not remove the default account of a user\n", InUse),
        ("This request would make it so some associations would not have access to their default qos.\n", InUse),
        (
            f"sbatch: error: invalid partition specified: nope\n{FAILED}Invalid partition name specified\n",
            UnknownToSlurm,
        ),
        (f"{FAILED}Invalid qos specification\n", UnknownToSlurm),
        (f"{FAILED}Invalid account or account/partition combination specified\n", UnknownToSlurm),
        (f"{FAILED}Invalid node name specified\n", UnknownToSlurm),
        ("Invalid job id specified for job 99999\n", UnknownToSlurm),
        ("slurm_load_jobs error: Invalid job id specified\n", UnknownToSlurm),
        ("slurm_suspend error:Invalid job id specified\n", UnknownToSlurm),
        (" error: No parent account 'nope' on cluster 'lab'\n", UnknownToSlurm),
        ("Node nope not found\n", UnknownToSlurm),
        (" This account 'nope' doesn't exist.\n        Contact your admin to add this account.\n", UnknownToSlurm),
        ("sacctmgr: error: You gave a bad qos 'nope'. Valid QOS's are normal,emergency\n", UnknownToSlurm),
        ("sacctmgr: error: slurmdb_format_tres_str: no TRES known by type frob\n", UnknownToSlurm),
        ("sacct: error: Invalid user id: nobodyxx\n", UnknownToSlurm),
        ("squeue: error: Invalid user: nobodyxx\n", UnknownToSlurm),
        ("sbatch: error: Invalid generic resource (gres) specification\n", InvalidRequest),
        ("sbatch: unrecognized option '--frob'\nTry \"sbatch --help\" for more information\n", InvalidRequest),
        ("sbatch: error: Unable to open file nofile.sh\n", InvalidRequest),
        ("sbatch: error: This does not look like a batch script.  The first\nsbatch: error: line\n", InvalidRequest),
        ("Invalid time specification (pos=0): never\nsbatch: error: Invalid --begin specification\n", InvalidRequest),
        (f"{FAILED}Requested node configuration is not available\n", InvalidRequest),
        (f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)\n", InvalidRequest),
        (f"{FAILED}Invalid preferred feature specification\n", InvalidRequest),
        ("slurm_update error: Invalid node state specified\n", InvalidRequest),
        ("slurm_update error: Invalid node state transition\n", InvalidRequest),
        ("Job has already finished for job 1\nslurm_suspend error: Job has already finished\n", InvalidRequest),
        ("Job is no longer pending execution for job 1\n", InvalidRequest),
        ("Error creating the reservation: Duplicate reservation name\n", InUse),
        ("Error creating the reservation: Requested reservation overlaps with another reservation\n", InUse),
        ("Error creating the reservation: Requested nodes are busy\n", InUse),
        ("Error creating the reservation: Invalid user id\n", NotPermitted),
        ("scancel: error: Invalid user name: nobodyxx\n", UnknownToSlurm),
        (" Can't modify because these users aren't associated with new default account 'nope'...\n", UnknownToSlurm),
        ("slurm_update error: Active features not subset of available features\n", InvalidRequest),
        ("40_[1-3]: No error\n40_4: Job is pending execution\n", InvalidRequest),
        ("scancel: error: Operation not permitted on individual component of heterogeneous job\n", InvalidRequest),
        ("Update of this parameter is not supported: Frob=1\nRequest aborted\n", InvalidRequest),
        ("You must specify a reason when DOWNING or DRAINING a node. Request denied\n", InvalidRequest),
        (" Unknown option: frob=1\n Use keyword 'where' to modify condition\n", InvalidRequest),
        ("invalid keyword: frob\n", InvalidRequest),
        ("Job update not available right now, the DB index is being set, try again in a bit\n", SlurmRefused),
        ("Job can not be altered now, try again later for job 7\n", SlurmRefused),
        ("System submissions disabled\n", SlurmRefused),
        ("Slurm accounting storage is disabled\n", SlurmRefused),
        ("You are not running a supported accounting_storage plugin\n(slurmdbd).\n", SlurmRefused),
        ("", SlurmRefused),
        ("what no release has said so far\n", SlurmRefused),
    ],
)
def test_each_refusal_is_of_its_kind(text, kind):
    assert type(said(text)) is kind


RECORDED = Path(__file__).parents[1] / "recorded" / "refusals"
REFUSALS = [
    pytest.param(each, id=f"{path.stem}-{each['name']}")
    for path in sorted(RECORDED.glob("*.json"))
    for each in json.loads(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("each", REFUSALS)
def test_what_a_real_slurm_refused_is_of_the_kind_that_a_person_says(each):
    error = refusal(tuple(each["argv"]), Completed(each["returncode"], each["stdout"], each["stderr"]))
    assert (type(error).__name__, each["returncode"] != 0) == (each["kind"], True)


def test_the_limit_that_was_hit_and_what_a_plugin_told_the_user_are_in_the_text():
    text = f"sbatch: error: teams of face have 16 GPUs\nsbatch: error: QOSMaxGRESPerUser\n{FAILED}{POLICY}\n"
    assert str(said(text)) == f"sbatch --parsable: teams of face have 16 GPUs; QOSMaxGRESPerUser; {POLICY}"


def test_the_same_line_is_said_once():
    text = "Invalid job id specified for job 9\nInvalid job id specified for job 9\n"
    assert said(text).text == "Invalid job id specified for job 9"


def test_a_command_that_says_nothing_is_quoted_by_its_status():
    assert "status 9" in said("", returncode=9).text


def test_a_command_that_was_killed_was_not_refused_by_slurm():
    error = said("scontrol: error: half a wo", returncode=-9)
    assert type(error) is SlurmUnreachable
    assert error.text == "was ended by SIGKILL: half a wo"
    assert type(said("", returncode=-11)) is SlurmUnreachable


READ = "sacct: error: _slurm_persist_recv_msg: only read 28 of 11087 bytes\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (READ + "sacct: error: Getting response to message type: DBD_GET_JOBS_COND\n", SlurmUnreachable),
        ("sacct: error: DBD_GET_JOBS_COND failure: Unspecified error\n", SlurmUnreachable),
        ("sacctmgr: error: DBD_GET_QOS failure: Access/permission denied\n", NotPermitted),
        ("sacct: error: Munge encode failed: Failed to access socket: No such file (retrying ...)\n", type(None)),
        ("", type(None)),
    ],
)
def test_a_success_that_was_cut_off_from_slurmdbd_is_none(text, kind):
    assert type(broken_off(("sacct",), Completed(0, "", text))) is kind


def test_what_scancel_tells_beside_its_complaint_is_no_part_of_it():
    text = (
        "scancel: select/cons_tres: common_init: select/cons_tres loaded\n"
        "scancel: Terminating job 7_[1-3]\n"
        "scancel: error: Kill job error on job id 8: Access/permission denied\n"
    )
    assert said(text).text == "Kill job error on job id 8: Access/permission denied"


def test_what_sacctmgr_complains_about_on_stdout_is_heard():
    done = Completed(1, " No associations created.\n Error: Access/permission denied\n", "")
    assert type(refusal(("sacctmgr",), done)) is NotPermitted


def test_a_configuration_above_the_complaint_is_none_of_it():
    down = "Slurmctld(primary) at vm is DOWN\n*****\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n*****\n"
    done = Completed(1, "".join(f"Key{each} = in use\n" for each in range(100)) + "\n" + down, "")
    error = refusal(("scontrol", "show", "config"), done)
    assert type(error) is SlurmUnreachable
    assert len(error.text) < 300


@given(st.text(), st.integers(1, 255))
def test_whatever_it_says_is_an_error_of_the_tree(text, returncode):
    assert isinstance(said(text, returncode=returncode), SlurmError)
