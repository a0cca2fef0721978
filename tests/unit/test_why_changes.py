"""What could be asked for instead, what of it helps, and how often Slurm is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from aistation_slurm.errors import InvalidRequest, SlurmUnreadable
from aistation_slurm.jobs.why.answer import Answer, answer
from aistation_slurm.jobs.why.changes import Change, changes
from aistation_slurm.jobs.why.look import Look
from aistation_slurm.jobs.why.plan import Plan
from aistation_slurm.jobs.why.shape import shape_of
from aistation_slurm.jobs.why.tell import as_json, lines, start_of
from aistation_slurm.jobs.why.tries import (
    Tried,
    Tries,
    delays_of,
    is_at_once,
    one_more,
    read_answer,
    tries_file,
    try_shape,
)
from aistation_slurm.slurm.model import Asked, Association, Job, Limits, Partition, Qos
from aistation_slurm.slurm.tres import Gres
from tests.unit.why_parts import HOUR, NOON, V100, a_job, a_look, a_node, a_shape, rules, running

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def words(look: Look) -> list[str]:
    return [" ".join(each.command[2:]) for each in changes(Plan(look))]


def at_once(change: Change) -> Tried:
    return Tried(start=NOON + MINUTE, is_now=True)  # however long it took to ask


def test_fewer_gpus_are_offered_down_to_what_the_quota_leaves() -> None:
    look = a_look(a_job(gpus=4, reason="QOSMaxGRESPerUser"), rules=rules(used=3, jobs=(running(1, gpus=3),)))
    assert [each for each in words(look) if "TresPerJob" in each] == [
        "JobId=7 TresPerJob=gres:gpu:3 NumTasks=1", "JobId=7 TresPerJob=gres:gpu:2 NumTasks=1",
        "JobId=7 TresPerJob=gres:gpu:1 NumTasks=1",
    ]  # fmt: skip
    found = answer(look, at_once)
    assert [(each.change.what, each.is_now) for each in found.better] == [("1 GPU instead of 4", True)]


def test_a_shorter_time_limit_is_what_fits_before_those_ahead() -> None:
    job, first = a_job(7, time_limit=4 * HOUR), a_job(6, gpus=2)
    asked = {6: Asked(job_id=6, tres_per_job=(Gres(name="gpu", count=2),), tasks=1)}
    look = a_look(
        job, queue=(first, job), nodes=(a_node(),), asked=asked, rules=rules(jobs=(running(1, gpus=1, ends=HOUR),))
    )
    found = answer(look, at_once)
    assert [(each.change.command[-1], each.is_now) for each in found.better] == [("TimeLimit=00:58:00", True)]


def test_another_group_is_offered_where_it_may_be_used_and_has_the_room_and_the_same_gpus_first() -> None:
    busy = tuple(running(n, node=f"v100-0{n}", gpus=2, user="bob") for n in (1, 2, 3))
    more = {
        name: Partition(name=name, nodes=f"{name}-01", total_nodes=1, total_cpus=8, **parts)
        for name, parts in {
            "p100": {}, "more": {}, "closed": {"state": "DOWN"}, "theirs": {"allow_accounts": ("robot",)},
            "short": {"max_time": MINUTE},
        }.items()
    }  # fmt: skip
    nodes = [
        *a_look().nodes,
        *(a_node(f"{name}-01", partitions=(name,)) for name in more if name != "p100"),
        a_node("p100-01", partitions=("p100",), gres=(Gres(name="gpu", type="p100", count=2),)),
    ]
    found = rules(jobs=busy)
    look = a_look(nodes=nodes, rules=replace(found, partitions={**found.partitions, **more}))
    assert [each.change.what for each in answer(look, at_once).better if each.is_now] == [
        "group more", "group p100 (p100 GPUs)",
    ]  # fmt: skip


def test_fewer_nodes_keep_the_gpus_of_each() -> None:
    job = a_job(node_count=3, gpus=6)
    asked = {7: Asked(job_id=7, tres_per_node=(Gres(name="gpu", count=2),), tasks=3, tasks_per_node=1)}
    look = a_look(job, asked=asked, rules=rules(jobs=(running(1, gpus=2, user="bob"),)))
    offered = [each for each in changes(Plan(look)) if each.command[3].startswith("NumNodes")]
    assert [(each.what, each.command[3:]) for each in offered] == [
        ("2 nodes instead of 3 (4 GPUs instead of 6)", ("NumNodes=2", "NumTasks=2")),
        ("1 node instead of 3 (2 GPUs instead of 6)", ("NumNodes=1", "NumTasks=1")),
    ]


def test_wishes_can_be_taken_back_one_by_one() -> None:
    look = a_look(a_job(features="big", prefer="near", reservation="kept"))
    assert {"JobId=7 Features=", "JobId=7 Prefer=", "JobId=7 ReservationName="} <= set(words(look))


def test_another_team_and_another_qos_of_the_user_are_offered() -> None:
    found = rules()
    other = Association(cluster="c", account="robot", user="ann", qos=("normal",))
    mine = [replace(each, qos=("normal", "night", "emergency")) if each.user else each for each in found.associations]
    qos = {**found.qos, "night": Qos(name="night"), "emergency": Qos(name="emergency", preempt=("normal",))}
    look = a_look(rules=replace(found, associations=(*mine, other), qos=qos), config={"ClusterName": "c"})
    assert {"JobId=7 Account=robot", "JobId=7 QOS=night", "JobId=7 QOS=emergency"} <= set(words(look))
    assert changes(Plan(look))[-1].what == "QOS emergency (takes the place of others' jobs)"


def test_the_members_of_an_array_are_named_together() -> None:
    look = a_look(a_job(9, array_job_id=7, array_task="2-4%1", reason="JobArrayTaskLimit"), rules=rules())
    lines_of = [each.line for each in changes(Plan(look))]
    assert "scontrol update JobId=7 ArrayTaskThrottle=2" in lines_of
    assert all("JobId=7" in each for each in lines_of)


def test_a_job_that_waits_for_another_is_offered_nothing_but_to_wait_no_longer_when_that_can_not_be() -> None:
    assert changes(Plan(a_look(a_job(reason="Dependency", dependency="afterok:5(unfulfilled)")))) == []
    assert words(a_look(a_job(reason="DependencyNeverSatisfied"))) == ["JobId=7 Dependency="]


def test_what_slurm_refuses_or_finds_no_earlier_is_not_offered() -> None:
    look = a_look(a_job(start_time=NOON + HOUR, features="big"), nodes=(a_node(features=("big",)),))
    assert answer(look, lambda _: Tried(refused="no such thing")).better == []
    assert answer(look, lambda _: Tried(start=NOON + 2 * HOUR)).better == []


def test_what_was_not_tried_says_so() -> None:
    look = a_look(a_job(start_time=NOON + HOUR, features="big"), nodes=(a_node(active_features=("small",)),))
    (better,) = answer(look, lambda _: None).better
    assert (better.change.command[-1], start_of(better, NOON)) == ("Features=", "now (not tried)")


def test_a_change_that_helps_by_our_reckoning_alone_costs_one_try_and_the_others_none() -> None:
    asked: list[Change] = []
    look = a_look(a_job(gpus=4, reason="QOSMaxGRESPerUser"), rules=rules(used=4, jobs=(running(1, gpus=4),)))
    answer(look, asked.append)
    assert asked == []


def told(found: Answer) -> list[str]:
    return [text for _, text in lines(found, NOON)]


def test_a_job_larger_than_every_node_never_starts_and_the_sentence_says_what_there_is() -> None:
    asked = {7: Asked(job_id=7, tres_per_node=(Gres(name="gpu", count=3),), tasks=1)}
    found = answer(a_look(a_job(gpus=3), asked=asked), at_once)
    assert found.never == "it asks for a node of v100 with 1 CPU, 1G memory, 3 GPUs; 0 of 3 nodes are like that"
    assert "never, as it is" in told(found)
    assert as_json(found)["start"]["at"] is None


def test_gpus_that_were_asked_for_the_whole_job_may_come_from_several_nodes() -> None:
    found = answer(a_look(a_job(gpus=4, reason="QOSMaxGRESPerUser"), rules=rules(used=1)), at_once)
    assert found.never == ""
    assert (
        answer(a_look(a_job(gpus=7), rules=rules(per_user=9, total=9)), at_once).never
        == "it asks for 4 nodes, and v100 has 3"
    )


def test_a_limit_of_no_gpus_is_for_ever_and_a_qos_that_is_closed_is_not() -> None:
    found = rules()
    none = Qos(name="normal", limits=Limits(max_tres_per_job={"gres/gpu": 0}))
    closed = Qos(name="normal", limits=Limits(grp_jobs=0))
    forbidden = answer(a_look(rules=replace(found, qos={"normal": none})), at_once)
    assert forbidden.never == "the limit of one job of QOS normal: at most 0 GPUs, this job wants 1"
    night = answer(a_look(a_job(reason="QOSGrpJobsLimit"), rules=replace(found, qos={"normal": closed})), at_once)
    assert night.never == ""
    assert night.facts == ["QOS normal is closed now; the calendar of the cluster file says when it opens"]


def test_a_node_that_is_only_away_makes_nothing_impossible() -> None:
    away = answer(a_look(a_job(reason="ReqNodeNotAvail"), nodes=(a_node(state="DOWN", reason="fan"),)), at_once)
    assert away.never == ""
    assert "node v100-01 is down: fan" in told(away)


# -- how Slurm is asked -----------------------------------------------------------------------------------------------


def test_ten_tries_a_minute_and_no_more_however_many_terminals(tmp_path: Path) -> None:
    file = tmp_path / "state" / "tries.json"
    allowed = [Tries(file).allowed(NOON + number * SECOND) for number in range(12)]
    assert allowed == [True] * 10 + [False] * 2
    assert not Tries(file).allowed(NOON + 59 * SECOND)
    assert Tries(file).allowed(NOON + 61 * SECOND)


@pytest.mark.parametrize("junk", ["", "no json", "{}", '["x", null, 3]'])
def test_a_file_that_holds_something_else_is_begun_anew(tmp_path: Path, junk: str) -> None:
    (tmp_path / "tries.json").write_text(junk)
    assert Tries(tmp_path / "tries.json").allowed(NOON)


def test_where_no_file_can_be_written_the_limit_holds_within_the_command() -> None:
    tries = Tries(Path("/proc/nowhere/tries.json"), per_minute=2)
    assert [tries.allowed(NOON) for _ in range(3)] == [True, True, False]


def test_a_clock_that_was_put_back_locks_nobody_out() -> None:
    made = [(NOON + 3 * HOUR).timestamp()] * 10
    assert one_more(made, NOON, 10) == ([NOON.timestamp()], True)


def test_the_file_is_in_the_user_s_state_folder() -> None:
    assert tries_file({"HOME": "/home/ann"}) == Path("/home/ann/.local/state/aistation/tries.json")
    assert tries_file({"HOME": "/home/ann", "XDG_STATE_HOME": "/s"}) == Path("/s/aistation/tries.json")


@pytest.mark.parametrize(
    ("said", "preempts"),
    [
        ("Job 12 to start at 2026-11-23T12:00:00 using 4 processors on nodes v100-01 in partition v100", ()),
        (
            "gpus: 8 -> 4 (no more); Job 12 to start at 2026-11-23T12:00:00 using 16 processors on nodes v100-[01-02] "
            "in partition v100; Preempts: 9,10",
            (9, 10),
        ),
        ("Job 12 to start at 2026-11-23T12:00:00 a using 4 processors on nodes v100-01 in partition v100", ()),
    ],
)  # fmt: skip
def test_the_answer_of_a_try_is_read(said: str, preempts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_answer(said)
    assert found.start
    assert found.start.astimezone().replace(tzinfo=None).isoformat() == "2026-11-23T12:00:00"
    assert found.nodes.startswith("v100-")
    assert found.preempts == preempts
    with pytest.raises(SlurmUnreadable):
        read_answer("sbatch: a word of the site's own")


class Writer:
    """Keeps what it was asked, and answers."""

    def __init__(self, said: str | Exception) -> None:
        self.said, self.asked = said, ()

    def sbatch_test(self, script: str, *options: str) -> str:
        self.asked = (script, *options)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_a_try_is_the_job_s_own_script_with_all_that_it_asks_for_on_the_command_line() -> None:
    asked = Asked(
        job_id=7, tres_per_node=(Gres(name="gpu", type="v100", count=2),), tasks=4, cpus_per_task=2, tasks_per_node=2,
        memory=3072, nodes="v100-01",
    )  # fmt: skip
    job = a_job(node_count=2, tres={"cpu": 8, "mem": 6144, "node": 2, "gres/gpu": 4}, features="big")
    writer = Writer(InvalidRequest("no"))
    tried = try_shape(writer, shape_of(job, asked), "#!/bin/bash\n#SBATCH --exclusive\n")  # type: ignore[arg-type]
    assert tried == Tried(refused="no")
    assert writer.asked == (
        "#!/bin/bash\n#SBATCH --exclusive\n", "--account=face", "--partition=v100", "--qos=normal", "--time=01:00:00",
        "--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=2", "--constraint=big",
        "--nodelist=v100-01", "--mem=3072M", "--gres=gpu:v100:2",
    )  # fmt: skip


def test_a_try_whose_answer_can_not_be_read_tells_nothing() -> None:
    assert try_shape(Writer("hello"), a_shape(), "") is None  # type: ignore[arg-type]


def test_what_slurm_adds_for_the_queue_is_taken_off_again() -> None:
    queue: list[Job] = [a_job(7, time_limit=HOUR), a_job(8, time_limit=2 * HOUR), a_job(9, priority=5), running(1)]
    assert delays_of(V100, queue, 100) == [60 * MINUTE, 80 * MINUTE]  # 8 CPUs of 24 each: their time over three nodes
    asked = (NOON, NOON + 10 * SECOND)
    assert is_at_once(NOON + 60 * MINUTE + 9 * SECOND, asked, [60 * MINUTE])
    assert is_at_once(NOON, asked, [60 * MINUTE])
    assert not is_at_once(NOON + 30 * MINUTE, asked, [60 * MINUTE])
    assert not is_at_once(NOON + 60 * MINUTE + 13 * SECOND, asked, [60 * MINUTE])


def test_a_job_without_a_time_limit_ahead_makes_a_delay_of_centuries_and_no_error() -> None:
    (delay,) = delays_of(V100, [a_job(7, time_limit=None)], 100)
    assert delay > timedelta(days=36_000)
