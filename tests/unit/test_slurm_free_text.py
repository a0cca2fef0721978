"""Whatever anybody writes into a name, a comment or a reason, no other field changes."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands.command import fresh_mark, keyed, rows
from aistation_slurm.slurm.commands.nodes import KEYS as NODE_KEYS
from aistation_slurm.slurm.commands.reservations import KEYS as RESERVATION_KEYS
from aistation_slurm.slurm.commands.steps import STEP_FIELDS

# What Slurm sets fields apart with, what looks like an answer of it, and anything else but NUL.
LURES = st.sampled_from([
    "|", "=", "\n", "\t", " ", "'", '"', "\\", ",", ":", "\x1f", "\x1e", "\x1f\x1f", "(null)", "N/A", "%j", "你好", "é",
    " State=IDLE", "\nNodeName=x", "\nStepId=1.0 UserId=0 Nodes=1 CPUs=1 Tasks=1 Name=", " TRES=cpu=9 ResvPorts=",
    " Network=(null) TRES=", " Comment=x", " Reason=y", " Extra=z", " Users=eve", " NodeName=b", "[root@1]",
])  # fmt: skip
ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
FREE_TEXT = st.lists(st.one_of(LURES, ANYTHING), max_size=6).map("".join)
ONE_LINE = FREE_TEXT.map(lambda text: " ".join(text.split()))
A_NODE = "NodeName=a Arch=x86_64 OS=Linux 6.1.0 #1 SMP RealMemory=100 State=IDLE+DRAIN Partitions=p CfgTRES=cpu=1"
A_RESERVATION = (
    "ReservationName=r StartTime=1 EndTime=2 Duration=1 Nodes=a NodeCnt=1 CoreCnt=1 Features=(null) "
    "PartitionName=(null) Flags=DAILY TRES=cpu=1 Users=ann Groups=(null) Accounts=(null) Licenses=(null) "
    "State=INACTIVE BurstBuffer=(null) MaxStartDelay=(null)"
)


@given(st.lists(st.lists(FREE_TEXT, min_size=4, max_size=4), max_size=5))
def test_rows_come_back_cell_by_cell(table):
    mark = fresh_mark()
    text = "".join("".join(cell + mark for cell in row) + "\n" for row in table)
    assert [list(row.values()) for row in rows(text, ("a", "b", "c", "d"), mark)] == table


@given(FREE_TEXT)
def test_what_stands_last_takes_no_other_key_away(text):
    row = keyed(f"{A_NODE} Comment={text}", NODE_KEYS, needs=("NodeName",), written=("Comment",))
    assert row == keyed(A_NODE, NODE_KEYS, needs=("NodeName",)) | {"Comment": text.strip()}


@given(reason=ONE_LINE, comment=ONE_LINE)
def test_a_node_s_reason_and_comment_change_nothing_else(reason, comment):
    def read(words):
        (node,) = commands.show_nodes().read(f"{A_NODE}{words}\n")
        return node

    alone = read(f" Reason={reason} [root@1795471498]") if "[root@1]" not in reason else None
    if alone:
        assert alone.reason == reason
        assert alone.reason_user == "root"
        assert dataclasses.replace(alone, reason="", reason_user="", reason_time=None) == read("")
    spoken = read(f" Comment={comment}")
    assert spoken.comment == comment.split(" Extra=")[0].rstrip()  # a node's Extra comes next: see docs/slurm.md
    assert dataclasses.replace(spoken, comment="") == read("")


@given(ONE_LINE)
def test_a_reservation_s_comment_changes_nothing_else(comment):
    def read(words):
        (found,) = commands.show_reservations().read(f"{A_RESERVATION}{words}\n")
        return found

    assert "Comment" in RESERVATION_KEYS
    told = read(f" Comment={comment}")
    assert (told.comment, told.users) == (comment, ("ann",))
    assert dataclasses.replace(told, comment="") == read("")


@given(st.lists(st.tuples(FREE_TEXT, ONE_LINE), min_size=1, max_size=5))
def test_a_step_s_tres_is_its_own_whatever_the_steps_are_called(named):
    squeue, scontrol = commands.running_steps(), ""
    mark, text = squeue.argv[-1].split(",")[0].partition(":")[2], ""
    for number, (name, network) in enumerate(named):
        fields = {
            "StepID": f"7.{number}", "JobID": "7", "StepName": name, "StepState": "RUNNING", "Nodes": "a",
            "NumCPUs": "1", "NumTasks": "1", "StartTime": "1795471498", "TimeUsed": "0:10", "Network": network,
        }  # fmt: skip
        text += "".join(fields[field] + mark for field in STEP_FIELDS) + "\n"
        scontrol += (
            f"StepId=7.{number} UserId=1 StartTime=1 TimeLimit=UNLIMITED State=RUNNING Partition=p NodeList=a Nodes=1 "
            f"CPUs=1 Tasks=1 Name={name} Network={network} TRES=cpu={number + 100} ResvPorts=(null) Dist=Cyclic\n"
        )
    found = commands.show_steps(squeue.read(text)).read(scontrol)
    assert [(step.step_id, step.name, step.tres) for step in found] == [
        (str(number), name, {"cpu": number + 100}) for number, (name, _) in enumerate(named)
    ]
