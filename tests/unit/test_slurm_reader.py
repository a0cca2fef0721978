"""Asking by command: what is asked, and what becomes of every kind of answer."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.errors import SlurmError, SlurmUnreachable, SlurmUnreadable, UnknownToSlurm
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands.command import fresh_mark, keyed, piped, rows
from aistation_slurm.slurm.commands.jobs import QUEUE_FIELDS
from aistation_slurm.slurm.connect import connect
from aistation_slurm.slurm.reader import QUESTIONS as QUESTIONS_OF_ALL
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.readers.cli import CliReader
from aistation_slurm.slurm.runner import Completed

A_ROW = {
    "JobID": "7", "ArrayJobID": "7", "ArrayTaskID": "N/A", "Name": "train", "UserName": "ann", "State": "RUNNING",
    "NumNodes": "1", "NumCPUs": "4", "tres-alloc": "cpu=4,mem=7G,node=1,gres/gpu=2", "PriorityLong": "1", "Nice": "0",
    "RestartCnt": "0", "exit_code": "0", "WorkDir": "/data",
}  # fmt: skip
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
COMMANDS = ("squeue", "sacct", "scontrol", "sacctmgr", "sdiag", "sshare", "sreport", "sprio", "sstat")
FREE_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
QUESTIONS: list[Callable[[CliReader], object]] = [
    CliReader.jobs, CliReader.nodes, CliReader.partitions, CliReader.config, CliReader.controllers, CliReader.qos,
    CliReader.accounts, CliReader.users, CliReader.associations, CliReader.history, lambda reader: reader.job(7),
    CliReader.steps, CliReader.reservations, CliReader.limits_in_use, CliReader.diag, CliReader.tres,
    CliReader.fair_shares, CliReader.site_factors, CliReader.priority_factors, lambda reader: reader.asked(7),
    lambda reader: reader.step_history(7), lambda reader: reader.running_usage(7),
    lambda reader: reader.usage(NOON - timedelta(hours=2), NOON),
]  # fmt: skip


class Answering:
    """A runner that answers by the first word of the command."""

    def __init__(self, **answers: Completed | Callable[[tuple[str, ...]], str]) -> None:
        self.answers = answers

    def run(self, argv: tuple[str, ...], *, stdin: str = "", timeout: float = 30) -> Completed:
        assert timeout == 30
        answer = self.answers[argv[0]]
        return answer if isinstance(answer, Completed) else Completed(0, answer(argv), "")


def queue_of(*jobs: dict[str, str]) -> Callable[[tuple[str, ...]], str]:
    """Print the jobs as squeue would: each field followed by the mark that was asked for."""

    def squeue(argv: tuple[str, ...]) -> str:
        fields = [field.partition(":") for field in argv[-1].split(",")]
        return "".join("".join(job.get(name, "") + mark for name, _, mark in fields) + "\n" for job in jobs)

    return squeue


@given(name=FREE_TEXT, comment=FREE_TEXT, reason=FREE_TEXT)
def test_no_name_comment_or_reason_shifts_a_field(name, comment, reason):
    row = A_ROW | {"Name": name, "Comment": comment, "Reason": reason}
    first, second = CliReader(Answering(squeue=queue_of(row, A_ROW))).jobs()
    assert first.name == name
    assert first.comment == ("" if comment == "(null)" else comment)
    assert (first.user, first.gpus, first.tres["mem"], first.work_dir) == ("ann", 2, 7168, "/data")
    assert (second.job_id, second.name) == (7, "train")


@given(st.lists(st.lists(FREE_TEXT, min_size=3, max_size=3), max_size=4))
def test_rows_come_back_as_they_were_printed(table):
    mark = fresh_mark()
    text = "".join("".join(cell + mark for cell in row) + "\n" for row in table)
    assert [list(row.values()) for row in rows(text, ("a", "b", "c"), mark)] == table


@given(st.one_of(st.text("| ab", max_size=20), st.text("\n ab", max_size=20)))
def test_a_description_of_bars_or_newlines_stays_the_last_field(description):
    (row,) = piped(f"face|bob|{description}\n", ("Account", "Coordinators", "Description"))
    assert (row["Account"], row["Coordinators"]) == ("face", "bob")
    assert row["Description"].split() == description.split()


@given(reason=st.text("aState=NodReason \tA", max_size=40))
def test_a_reason_that_looks_like_keys_changes_no_other_key(reason):
    row = keyed(f"NodeName=a State=IDLE Reason={reason} [root@1]", ("NodeName", "State", "Reason"), needs=("State",))
    assert (row["NodeName"], row["State"]) == ("a", "IDLE")
    assert row["Reason"] == f"{reason} [root@1]".strip()


def test_a_mark_is_another_one_each_time_and_no_width_or_comma_to_squeue():
    marks = {fresh_mark() for _ in range(100)}
    assert len(marks) == 100
    assert not any(set(mark) & set(",:0123456789") for mark in marks)


@pytest.mark.parametrize("ask", QUESTIONS)
@given(text=st.one_of(st.text(), st.text("|=\n\x1f aN0", max_size=200)))
def test_garbage_is_unreadable_and_never_a_traceback(ask, text):
    garbage = Completed(0, text, "")
    reader = CliReader(Answering(**dict.fromkeys(COMMANDS, garbage)))
    try:
        ask(reader)
    except SlurmUnreadable as error:
        assert error.where  # noqa: PT017
    except UnknownToSlurm:
        assert not text.strip()


@pytest.mark.parametrize("ask", QUESTIONS)
def test_a_controller_that_is_away_is_unreachable_whatever_is_asked(ask):
    away = Completed(1, "", "slurm_load error: Unable to contact slurm controller (connect failure)\n")
    with pytest.raises(SlurmUnreachable):
        ask(CliReader(Answering(**dict.fromkeys(COMMANDS, away))))


def test_a_slurm_without_nodes_partitions_or_jobs_is_an_empty_one():
    none = CliReader(Answering(scontrol=Completed(0, "No nodes in the system\n", ""), squeue=Completed(0, "", "")))
    assert (none.nodes(), none.partitions(), none.jobs()) == ([], [], [])


def test_a_node_has_its_shares_before_its_slurmd_has_registered_too():
    shown = "NodeName=dev-01 State=MIXED Gres=gpu:v100:2,shard:0 CfgTRES=cpu=8,gres/gpu=2,gres/shard=8\n"
    [node] = CliReader(Answering(scontrol=Completed(0, shown, ""))).nodes()
    assert (node.gpus, node.shards) == (2, 8)


def test_controllers_that_are_all_down_are_an_answer():
    down = Completed(1, "Slurmctld(primary) at a is DOWN\nSlurmctld(backup) at b is DOWN\n** RESTORE **\n", "")
    found = CliReader(Answering(scontrol=down)).controllers()
    assert [(each.host, each.is_up, each.is_primary) for each in found] == [("a", False, True), ("b", False, False)]


def test_a_job_that_slurmctld_forgot_is_asked_of_slurmdbd():
    gone = Completed(1, "", "slurm_load_jobs error: Invalid job id specified\n")

    def sacct(argv: tuple[str, ...]) -> str:
        mark = argv[argv.index("--delimiter") + 1]
        fields = {"JobID": "7", "JobIDRaw": "7", "JobName": "train", "State": "CANCELLED by 1000", "ExitCode": "0:15"}
        return "".join(fields.get(field, "") + mark for field in argv[-1].split(",")) + "\n"

    job = CliReader(Answering(squeue=gone, sacct=sacct)).job(7)
    assert (job.name, job.state.value, job.exit_code) == ("train", "CANCELLED", "0:15")


NO_ACCOUNTING = Completed(1, "", "Slurm accounting storage is disabled\n")


@pytest.mark.parametrize("sacct", [Completed(0, "", ""), NO_ACCOUNTING])
def test_a_job_that_nobody_knows_is_unknown(sacct):
    gone = Completed(1, "", "slurm_load_jobs error: Invalid job id specified\n")
    with pytest.raises(UnknownToSlurm):
        CliReader(Answering(squeue=gone, sacct=sacct)).job(7)


def test_a_job_that_slurmctld_forgot_is_not_called_unknown_while_slurmdbd_is_away():
    gone = Completed(1, "", "slurm_load_jobs error: Invalid job id specified\n")
    away = Completed(1, "", "sacct: error: Connection refused\n")
    with pytest.raises(SlurmUnreachable):
        CliReader(Answering(squeue=gone, sacct=away)).job(7)


def test_an_array_is_asked_for_by_its_own_id_though_its_members_come_too():
    rest = A_ROW | {"ArrayTaskID": "2-9", "State": "PENDING"}
    member = A_ROW | {"JobID": "8", "ArrayTaskID": "1"}
    assert CliReader(Answering(squeue=queue_of(member, rest))).job(7).array_task == "2-9"


def test_history_asks_in_seconds_since_1970_which_need_no_time_zone():
    argv = commands.history(user="ann", since=datetime(2026, 11, 23, tzinfo=UTC), job_ids=(7, 8), duplicates=True).argv
    assert argv[argv.index("-S") : argv.index("-o")] == ("-S", "uts1795392000", "-u", "ann", "-j", "7,8", "-D")


def test_every_field_that_is_asked_for_is_asked_for_once():
    argv = commands.squeue(7, with_over=True).argv
    assert argv[:7] == ("squeue", "-a", "-h", "-t", "all", "-j", "7")
    assert len(set(QUEUE_FIELDS)) == len(QUEUE_FIELDS)
    assert argv[-1].count(",") == len(QUEUE_FIELDS) - 1


def test_connecting_asks_nothing_and_imports_no_web_and_no_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    monkeypatch.setenv("AISTATION_CONFIG", "")
    assert connect()
    heavy = "{'fastapi', 'sqlmodel', 'rich', 'jinja2', 'ClusterShell', 'click', 'ruamel'}"
    code = f"import sys, aistation_slurm.slurm.connect; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_every_error_of_a_reader_is_of_the_tree():
    assert issubclass(SlurmUnreadable, SlurmError)


def steps_of(*ids: str) -> Callable[[tuple[str, ...]], str]:
    """Print the steps as `squeue -s` would."""
    step = {"StepName": "x", "StepState": "RUNNING", "Nodes": "a", "NumCPUs": "1", "NumTasks": "1", "Network": "n"}
    return queue_of(*(step | {"StepID": each, "JobID": each.split(".")[0].partition("_")[0]} for each in ids))


def shown(*ids: str) -> str:
    """Print them as `scontrol -o show step` would."""
    line = (
        "StepId={} UserId=1 StartTime=1 State=RUNNING Nodes=1 CPUs=1 Tasks=1 Name=x Network=n TRES=cpu=4 ResvPorts=\n"
    )
    return "".join(line.format(each) for each in ids)


def test_an_array_s_steps_are_asked_for_once_more_where_the_release_leaves_them_out():
    asked = []

    def scontrol(argv: tuple[str, ...]) -> str:
        asked.append(argv[4:])
        return shown("7.0", "9_1.batch") if commands.EVERY_JOB in argv else shown("7.0")

    steps = CliReader(Answering(squeue=steps_of("7.0", "9_1.batch"), scontrol=scontrol)).steps()
    assert [(each.job_id, each.step_id, each.tres) for each in steps] == [
        (7, "0", {"cpu": 4}),
        (9, "batch", {"cpu": 4}),
    ]
    assert asked == [("step",), ("step", commands.EVERY_JOB)]


def test_a_step_that_ended_between_two_looks_is_no_running_step():
    reader = CliReader(Answering(squeue=steps_of("7.0", "7.1"), scontrol=lambda _: shown("7.1")))
    assert [each.step_id for each in reader.steps()] == ["1"]
    gone = Completed(1, "", "slurm_get_job_steps error: Invalid job id specified\n")
    assert CliReader(Answering(squeue=steps_of("7.0"), scontrol=gone)).steps() == []


SSTAT = "7.0|v100-[01-02]|2|cpu=00:01:05,mem=1073741824,pages=1|cpu=00:02:00,energy=0,mem=2147483648,pages=1\n"


def test_what_running_steps_use_is_told_once_though_an_array_is_named_with_its_member():
    (step,) = CliReader(Answering(sstat=Completed(0, SSTAT * 2, ""))).running_usage(7, 8)
    assert (step.job_id, step.step_id, step.nodes, step.tasks) == (7, "0", "v100-[01-02]", 2)
    assert (step.usage.cpu_time, step.usage.max_rss) == (timedelta(minutes=2), 1024)
    assert step.usage.tres_total["mem"] == 2048


def test_steps_of_others_and_of_jobs_that_are_over_are_left_out_of_what_is_used():
    said = (
        "sstat: error: problem getting step_layout for StepId=8.0: Invalid user id\nsstat: error: couldn't get steps\n"
    )
    assert CliReader(Answering(sstat=Completed(0, "", said), squeue=Completed(0, "", ""))).running_usage(8, 9) == []
    assert len(CliReader(Answering(sstat=Completed(0, SSTAT, said))).running_usage(7, 8, 9)) == 1


def test_a_slurmctld_that_is_away_is_not_taken_for_jobs_that_use_nothing():
    said = Completed(0, "", "sstat: error: couldn't get steps for job 8\n")
    away = Completed(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    with pytest.raises(SlurmUnreachable):
        CliReader(Answering(sstat=said, squeue=away)).running_usage(8)


@pytest.fixture
def in_utc(monkeypatch):
    """The wall clock shows UTC while it lasts: an hour begins where it begins there."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_where_nothing_is_asked_for_no_command_is_started():
    reader = CliReader(Answering())
    assert reader.step_history() == []
    assert reader.running_usage() == []
    assert reader.usage(NOON, NOON + timedelta(minutes=59)) == []


@pytest.mark.usefixtures("in_utc")
def test_usage_is_asked_for_in_full_hours_and_seconds_since_1970():
    argv = commands.sreport(NOON - timedelta(minutes=61), NOON + timedelta(minutes=59)).argv
    assert {word for word in argv if "=uts" in word} == {"start=uts1795428000", "end=uts1795435200"}


def test_the_cli_reader_answers_every_question_of_the_contract():
    asked = {name for name in vars(SlurmReader) if not name.startswith("_")} - {"name", "answers"}
    assert asked == CliReader.answers == QUESTIONS_OF_ALL
    assert CliReader.name == "cli"
