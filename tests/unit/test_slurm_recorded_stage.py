"""What a real Slurm answered about the contract tests' stage, read: recorded by tests/recorded/record.py."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.commands import Command
from aistation_slurm.slurm.model import Held, Job, JobStep
from aistation_slurm.slurm.states import JobState

RECORDED = Path(__file__).parents[1] / "recorded"
RELEASES = ("22.05", "24.11", "26.05")
NAME = "stage|a = b State=FAILED\nJobId=1 'q\" 你好"
HET, COMPLETED, FAILED, KILLED, REQUEUED, CANCELLED = 1000001, 1000003, 1000004, 1000005, 1000006, 1000007
RUNNING, ARRAY, HELD = 1000008, 1000011, 1000012
ASKED: dict[str, Callable[[tuple[str, ...]], Command[object]]] = {
    "jobs": lambda _: commands.squeue(with_over=True),
    "steps": lambda _: commands.running_steps(),
    "steps-shown": lambda _: commands.show_steps([]),
    "nodes": lambda _: commands.show_nodes(),
    "partitions": lambda _: commands.show_partitions(),
    "reservations": lambda _: commands.show_reservations(),
    "limits-in-use": lambda _: commands.show_limits_in_use(),
    "diag": lambda _: commands.sdiag(),
    "qos": lambda _: commands.show_qos(),
    "accounts": lambda _: commands.show_accounts(),
    "users": lambda _: commands.show_users(),
    "associations": lambda _: commands.show_associations(),
    "tres": lambda _: commands.show_tres(),
    "shares": lambda _: commands.sshare(),
    "history": lambda _: commands.history(),
    "history-duplicates": lambda _: commands.history(duplicates=True),
    "step-history": lambda argv: commands.step_history(*map(int, argv[argv.index("-j") + 1].split(","))),
    "usage": lambda argv: commands.sreport(*(datetime.fromtimestamp(each, UTC) for each in hours_of(argv))),
}
FEW = {"steps-shown"}
"""Nothing comes of them without the steps that squeue told."""


def hours_of(argv: tuple[str, ...]) -> list[int]:
    return [int(word) for word in re.findall(r"=uts(\d+)", " ".join(argv))]


def recorded(release: str, name: str) -> tuple[tuple[str, ...], str]:
    asked, _, text = (RECORDED / f"slurm-{release}" / "stage" / f"{name}.txt").read_bytes().decode().split("\n", 2)
    return tuple(json.loads(asked)), text


def mark_of(argv: tuple[str, ...]) -> str:
    return next(("\x1f" + word.split("\x1f")[1] + "\x1f" for word in argv if "\x1f" in word), "")


def remarked(text: str, argv: tuple[str, ...], command: Command[object]) -> str:
    """Set today's mark in the place of the one that was drawn when it was recorded."""
    return text.replace(mark_of(argv), mark_of(command.argv)) if mark_of(argv) else text


def replay(release: str, name: str) -> object:
    argv, text = recorded(release, name)
    command = ASKED[name](argv)
    assert [remarked(word, argv, command) for word in argv] == list(command.argv)
    return command.read(remarked(text, argv, command))


def steps_of(release: str) -> dict[tuple[int, str], JobStep]:
    running = replay(release, "steps")
    name = "steps-shown-of-arrays" if release == "22.05" else "steps-shown"
    found = commands.show_steps(running).read(recorded(release, name)[1])
    return {(each.job_id, each.step_id): each for each in found}


def job_of(release: str, job_id: int, name: str = "jobs") -> Job:
    return next(each for each in replay(release, name) if each.job_id == job_id)


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


def test_every_question_is_recorded_of_every_release():
    missing = [
        f"{release}/{name}"
        for release in RELEASES
        for name in ASKED
        if not (RECORDED / f"slurm-{release}" / "stage" / f"{name}.txt").exists()
    ]
    assert missing == []


@pytest.mark.parametrize("name", sorted(set(ASKED) - FEW))
def test_every_recorded_answer_is_read(release, name):
    assert replay(release, name)


@pytest.mark.parametrize("name", sorted(ASKED))
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_half_an_answer_is_refused_or_read_short_but_never_a_traceback(release, name, share):
    argv, text = recorded(release, name)
    with suppress(SlurmUnreadable):
        ASKED[name](argv).read(text[: int(len(text) * share)])


def test_every_word_that_was_written_comes_back(release):
    job = job_of(release, RUNNING)
    assert (job.name, job.comment) == (NAME, "x=1 | y\n State=DOWN")
    assert (job.admin_comment, job.features, job.nice) == ("JS1:H4sI=|x y\nz", "quick", 3)


def test_a_job_says_what_it_depends_on_prefers_and_belongs_to(release):
    jobs = replay(release, "jobs")
    held = job_of(release, HELD)
    assert (held.prefer, held.features, held.reason) == ("big", "quick", "JobHeldUser")
    assert f"afterok:{RUNNING}(unfulfilled)" in {each.dependency for each in jobs}
    assert "stage-later" in {each.reservation for each in jobs}
    for name in ("jobs", "history"):
        parts = {each.job_id: each.het_offset for each in replay(release, name) if each.het_job_id == HET}
        assert parts == {HET: 0, HET + 1: 1}


def test_steps_have_their_tres_whatever_their_name(release):
    steps = steps_of(release)
    ours = [each for (job_id, step), each in steps.items() if job_id == RUNNING and step != "batch"]
    assert sorted(each.name for each in ours) == ["sleep", NAME]
    for each in ours:
        assert (each.tres["gres/gpu"], each.tres["mem"], each.node_count, each.state) == (1, 8192, 1, JobState.RUNNING)


def test_the_steps_of_an_array_s_member_carry_its_own_id(release):
    steps, argv = steps_of(release), recorded(release, "steps-shown-of-arrays")[0]
    member = next(
        each.job_id for each in replay(release, "jobs") if each.array_job_id == ARRAY and each.state is JobState.RUNNING
    )
    assert (steps[member, "batch"].name, argv[-1]) == ("batch", commands.EVERY_JOB)


def test_steps_of_other_days_say_what_they_used(release):
    found = {(each.job_id, each.step_id): each for each in replay(release, "step-history")}
    failed = found[FAILED, "batch"]
    assert (failed.state, failed.exit_code, failed.tasks, failed.tres["mem"]) == (JobState.FAILED, "3:0", 1, 2048)
    assert timedelta(0) <= failed.usage.cpu_time < timedelta(seconds=5)
    assert found[RUNNING, "0"].usage.cpu_time is None
    assert {step for job_id, step in found if job_id == RUNNING} == {"batch", "0", "1"}


def test_reservations_are_kept_for_somebody_and_for_a_time(release):
    kept, later = sorted(replay(release, "reservations"), key=lambda each: each.name)
    assert (kept.name, kept.nodes, kept.is_active, set(kept.users)) == ("stage-kept", "v100-03", True, {"ann", "bob"})
    assert (set(later.accounts), later.users, later.is_active) == ({"behavior", "face"}, (), False)
    assert later.end_time - later.start_time == timedelta(hours=1)
    assert {"DAILY", "FLEX"} <= set(later.flags)


def test_what_is_used_of_the_limits_is_read_from_every_release(release):
    use = replay(release, "limits-in-use")
    held = {(each.account, each.user): each.held for each in use.associations}
    of_team = {"cpu": 4, "mem": 8192, "node": 1, "billing": 4, "gres/gpu": 1, "gres/gpu:v100": 1}
    assert held["stage-team", "ann"] == held["stage-team", ""] == Held(jobs=1, submit_jobs=2, tres=of_team)
    v100 = next(each for each in use.qos if each.name == "group-v100")
    assert (set(v100.users), set(v100.accounts)) == ({"ann"}, {"behavior", "stage-team"})
    assert v100.users["ann"].tres["gres/gpu"] == v100.held.tres["gres/gpu"] == 2


def test_slurmctld_s_counters_are_read_from_every_release(release):
    diag = replay(release, "diag")
    assert diag.since > datetime(2026, 1, 1, tzinfo=UTC)
    assert diag.jobs_submitted >= 14
    assert diag.jobs_started >= 8
    assert diag.schedule_cycle_mean > timedelta(0)
    assert {"REQUEST_SUBMIT_BATCH_JOB", "REQUEST_JOB_INFO"} <= {each.name for each in diag.rpcs}
    assert {each.name for each in diag.rpcs_of_users} >= {"root", "ann", "slurm"}


def test_shares_and_usage_are_told_down_the_tree(release):
    shares = {(each.account, each.user): each for each in replay(release, "shares")}
    team, member = shares["stage-team", ""], shares["stage-team", "ann"]
    assert (team.parent, team.shares, member.parent, member.shares) == ("stage-above", 7, "stage-team", None)
    assert member.factor is not None
    used = {(each.account, each.user, each.tres): each.seconds for each in replay(release, "usage")}
    assert [used["stage-team", "ann", tres] for tres in ("cpu", "mem", "gres/gpu")] == [7200, 3_600_000, 3600]
    assert used["root", "", "cpu"] >= used["stage-above", "", "cpu"] >= used["stage-team", "", "cpu"]


def test_a_job_s_end_is_the_same_in_slurmctld_and_slurmdbd(release):
    for name in ("jobs", "history"):
        assert [job_of(release, each, name).state for each in (COMPLETED, FAILED, KILLED, CANCELLED)] == [
            JobState.COMPLETED,
            JobState.FAILED,
            JobState.FAILED,
            JobState.CANCELLED,
        ]
    assert job_of(release, REQUEUED).restart_count == 1
    assert JobState.REQUEUED in {each.state for each in replay(release, "history-duplicates")}


def test_every_tres_has_a_type_and_a_name(release):
    assert {"cpu", "mem", "gres/gpu", "gres/gpu:v100", "gres/shard"} <= {str(each) for each in replay(release, "tres")}
