"""What a real Slurm answered, read: one folder a release, recorded before the questions had all their fields of today.

What was recorded since, of every question, stands in the folder `stage` (test_slurm_recorded_stage.py).
"""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands import Command
from aistation_slurm.slurm.commands.command import rows
from aistation_slurm.slurm.model import Job, Limits
from aistation_slurm.slurm.states import JobState

RECORDED = Path(__file__).parents[1] / "recorded"
RELEASES = sorted(RECORDED.glob("slurm-*"))
QUESTIONS: dict[str, Callable[[], Command[object]]] = {
    "squeue": commands.squeue,
    "squeue-with-over": lambda: commands.squeue(with_over=True),
    "nodes": commands.show_nodes,
    "partitions": commands.show_partitions,
    "config": commands.show_config,
    "ping": commands.ping,
    "qos": commands.show_qos,
    "accounts": commands.show_accounts,
    "users": commands.show_users,
    "associations": commands.show_associations,
    "history": commands.history,
    "history-duplicates": lambda: commands.history(duplicates=True),
}


def mark_of(argv: tuple[str, ...]) -> str:
    """Return the field mark of a command line: what stands between two unit separators, with them."""
    return next(("\x1f" + word.split("\x1f")[1] + "\x1f" for word in argv if "\x1f" in word), "")


def replay(folder: Path, name: str) -> object:
    asked, _, text = (folder / f"{name}.txt").read_bytes().decode().split("\n", 2)
    argv, command = tuple(json.loads(asked)), QUESTIONS[name]()
    if mark := mark_of(argv):
        text = widened(text, fields_of(argv), fields_of(command.argv), mark, mark_of(command.argv))
        argv = tuple(word.replace(mark, mark_of(command.argv)) for word in argv)
    assert argv[:-1] == command.argv[:-1]
    assert bool(mark) or argv[-1] == command.argv[-1]
    return command.read(text)


def fields_of(argv: tuple[str, ...]) -> list[str]:
    return [field.split(":")[0] for field in argv[-1].split(",")]


def widened(text: str, recorded: list[str], today: list[str], mark: str, mark_today: str) -> str:
    """Return the rows as they would have come had today's fields been asked for; those that were not are empty."""
    assert set(recorded) <= set(today)
    found = rows(text, recorded, mark)
    return "".join("".join(row.get(field, "") + mark_today for field in today) + "\n" for row in found)


def job_of(folder: Path, job_id: int, name: str = "squeue-with-over") -> Job:
    return next(job for job in replay(folder, name) if job.job_id == job_id)


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
def release(request):
    return request.param


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_every_recorded_answer_is_read(release, name):
    assert replay(release, name)


@pytest.mark.parametrize("name", sorted(set(QUESTIONS) - {"config", "ping"}))
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_half_an_answer_is_refused_or_read_short_but_never_a_traceback(release, name, share):
    text = (release / f"{name}.txt").read_bytes().decode().split("\n", 2)[2]
    with suppress(SlurmUnreadable):
        QUESTIONS[name]().read(text[: int(len(text) * share)])


def test_a_name_and_a_comment_with_bars_equal_signs_and_newlines_stay_whole(release):
    job = job_of(release, 1)
    assert (job.name, job.comment) == ("a|b=c d", "x=1 | y\n State=RUNNING")
    assert (job.user, job.account, job.state) == ("ann", "behavior", JobState.RUNNING)


def test_a_name_made_of_separators_shifts_nothing(release):
    job = job_of(release, 15)
    assert job.name == "x\x1fy\x1e\nz\x1fmark\x1f"
    assert (job.user, job.reason, job.priority) == ("ann", "JobHeldUser", 0)


def test_a_name_of_tabs_quotes_and_chinese_is_whole_in_slurmctld_though_not_in_slurmdbd(release):
    assert job_of(release, 2).name == "tab\tquote\"'$(x) 你好"
    assert job_of(release, 2, "history").name.startswith("tab\tquote`'$(x)")


def test_a_name_that_is_no_utf8_is_read_with_a_mark_in_its_place(release):
    assert job_of(release, 16).name == "caf�"


def test_a_running_job_says_what_it_has_and_since_when(release):
    job = job_of(release, 1)
    assert (job.gpus, job.tres["gres/gpu:v100"], job.tres["mem"], job.nodes) == (2, 2, 1500, "v100-01")
    assert job.time_limit == timedelta(minutes=5)
    assert job.start_time is not None
    assert job.start_time.tzinfo is UTC
    assert job.end_time == job.start_time + timedelta(minutes=5)


def test_an_output_file_s_patterns_are_filled_in(release):
    def name_of(job_id):
        return job_of(release, job_id).stdout.removeprefix(job_of(release, job_id).work_dir)

    assert name_of(1) == "/a|b=c d-1-ann-%-00001.out"
    assert name_of(7) == "/slurm-7.out"
    assert name_of(11) == "/slurm-9_5.out"
    assert name_of(10) == "/out-8_001.txt"
    assert name_of(8) == ""


def test_an_array_s_members_and_its_waiting_rest_know_their_array(release):
    member, rest = job_of(release, 10), job_of(release, 8)
    assert (member.array_job_id, member.array_task, member.shards) == (8, "1", 2)
    assert (rest.array_job_id, rest.array_task, rest.state) == (8, "2-20%1", JobState.PENDING)
    remembered = job_of(release, 10, "history")
    assert (remembered.array_job_id, remembered.array_task) == (8, "1")


def test_an_exit_code_and_a_signal_read_alike_from_slurmctld_and_slurmdbd(release):
    for name in ("squeue-with-over", "history"):
        assert job_of(release, 2, name).exit_code == "3:0"
        assert job_of(release, 3, name).exit_code == "0:9"


def test_a_requeued_job_counts_its_restarts_and_has_a_row_for_each_run(release):
    assert job_of(release, 7).restart_count == 1
    runs = [job for job in replay(release, "history-duplicates") if job.job_id == 7]
    assert [run.state for run in runs] == [JobState.REQUEUED, JobState.RUNNING]


def test_a_job_that_waits_for_its_time_says_until_when(release):
    job = job_of(release, 13)
    assert (job.reason, job.state.is_waiting) == ("BeginTime", True)
    assert job.eligible_time - job.submit_time == timedelta(hours=1)


def test_a_reason_that_looks_like_a_key_changes_nothing(release):
    nodes = {node.name: node for node in replay(release, "nodes")}
    drained, down = nodes["p100s-02"], nodes["v100-02"]
    assert drained.reason == "aistation: GPU 3 fell off the bus; see State=x | y"
    assert (drained.reason_user, drained.comment) == ("root", "hello State=DOWN")
    assert drained.state.is_drained
    assert not drained.state.is_down
    assert down.state.is_down
    assert down.reason == "aistation: no heartbeat for 3.1 s, slurmd does not answer"
    assert down.reason_time > datetime(2026, 1, 1, tzinfo=UTC)


def test_a_node_counts_its_gpus_and_shares(release):
    nodes = {node.name: node for node in replay(release, "nodes")}
    assert (nodes["v100-01"].gpus, nodes["v100-01"].gpus_allocated) == (8, 2)
    assert nodes["v100-01"].gres_used[0].where == "0-1"
    assert (nodes["p100s-01"].shards, nodes["p100s-01"].shards_allocated) == (8, 4)
    assert (nodes["v100-01"].memory, nodes["v100-01"].partitions) == (64000, ("v100", "site"))
    assert nodes["v100-01"].port % 100 == 31


def test_a_partition_says_who_may_use_it_and_for_how_long(release):
    partitions = {each.name: each for each in replay(release, "partitions")}
    assert partitions["v100"].is_default
    assert (partitions["v100"].max_time, partitions["v100"].gpus) == (timedelta(days=2), 16)
    assert partitions["v100"].qos == "group-v100"
    assert partitions["p100_shar"].max_time is None
    locked = partitions["locked"]
    assert (locked.state, locked.is_hidden, locked.max_nodes) == ("DOWN", True, 1)
    assert (locked.allow_accounts, locked.allow_qos) == (("face", "behavior"), ("emergency",))


def test_limits_are_numbers_and_no_limit_is_none(release):
    emergency = next(each for each in replay(release, "qos") if each.name == "emergency")
    assert emergency.limits == Limits(
        max_tres_per_user={"cpu": 32, "gres/gpu": 16, "mem": 102400}, max_wall=timedelta(days=1)
    )
    assert (emergency.preempt, emergency.flags, emergency.priority) == (("normal",), ("DenyOnLimit",), 100)
    associations = {(each.account, each.user): each for each in replay(release, "associations")}
    assert associations["behavior", "ann"].limits.grp_tres == {"gres/gpu": 6}
    assert associations["face", ""].limits == Limits(
        grp_jobs=5, grp_submit_jobs=10, max_jobs_per_user=2, max_wall=timedelta(days=2)
    )
    assert associations["face", "ann"].share is None


def test_a_bar_in_an_account_s_description_stays_in_it(release):
    face = next(each for each in replay(release, "accounts") if each.name == "face")
    assert (face.description, face.coordinators) == ("face | recognition = x", ("bob",))


def test_the_configuration_is_a_mapping_and_the_controllers_are_told_apart(release):
    config = replay(release, "config")
    assert config["ClusterName"] == "lab"
    assert release.name == f"slurm-{'.'.join(config['SLURM_VERSION'].split('.')[:2])}"
    assert [(each.is_up, each.is_primary) for each in replay(release, "ping")] == [(True, True)]
