"""The contract of `SlurmReader`, held by every reader that is present: what is known to be so is what it says.

A stage is made on a real Slurm first (`stage.py`), then each reader is asked about it. What one reader says of the rest
is what the cli reader says (`readers.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.errors import UnknownToSlurm
from aistation_slurm.slurm.model import Held, Limits, StepUsage
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.slurm.reader import QUESTIONS, SlurmReader
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import Gres
from tests.cluster import stage as on
from tests.cluster.readers import ASKED, READERS, differences

pytestmark = [pytest.mark.cluster, pytest.mark.releases]
HOUR, SINCE = timedelta(hours=1), timedelta(hours=5)
KNOWN: set[str] = set()
"""The questions that a test knows the answer of."""


@pytest.fixture(autouse=True)
def calm() -> None:
    """The stage stays whole from one test to the next; it is taken down after the last one."""


@pytest.fixture(scope="module")
def stage(station) -> Iterator[on.Stage]:
    with on.on_stage(station) as whole:
        yield whole


@pytest.fixture(scope="module", params=sorted(READERS))
def reader(request, stage) -> SlurmReader:
    made = READERS[request.param](stage.station)
    if made is None:
        pytest.skip(f"no {request.param} reader can be had here")
    return made


@pytest.fixture
def ask(request, reader) -> Callable[..., object]:
    """The question that the test is about, as this reader answers it."""
    if request.param not in reader.answers:
        pytest.skip(f"the {reader.name} reader does not answer {request.param}")
    return getattr(reader, request.param)


def about(question: str) -> pytest.MarkDecorator:
    KNOWN.add(question)
    return pytest.mark.parametrize("ask", [question], indirect=True)


def by_id(jobs):
    return {(each.job_id, each.array_task): each for each in jobs}


def by_name(found):
    return {each.name: each for each in found}


@about("jobs")
def test_a_running_job_says_what_it_was_given_and_every_word_that_was_written(ask, stage):
    job = by_id(ask())[stage.jobs["running"], ""]
    assert (job.name, job.comment, job.admin_comment) == (on.NAME, on.COMMENT, on.ADMIN_COMMENT)
    assert (job.user, job.account, job.partition, job.qos) == ("ann", "behavior", "v100", "normal")
    assert (job.state, job.reason, job.nodes, job.batch_host) == (JobState.RUNNING, "", on.RUNS_ON, on.RUNS_ON)
    assert (job.node_count, job.cpus, job.gpus, job.nice, job.features) == (1, 4, 1, 3, "quick")
    assert job.tres == {"cpu": 4, "mem": 8192, "node": 1, "billing": 4, "gres/gpu": 1, "gres/gpu:v100": 1}
    assert job.end_time - job.start_time == job.time_limit == timedelta(minutes=30)
    assert job.submit_time <= job.start_time <= datetime.now(UTC)
    assert job.start_time.tzinfo is UTC
    assert (job.stdout, job.work_dir) == ("/dev/null", str(stage.station.scratch / "ann"))
    assert (job.array_job_id, job.array_task, job.het_job_id, job.dependency) == (None, "", None, "")


@about("jobs")
def test_a_job_that_waits_says_what_for(ask, stage):
    jobs = {each.job_id: each for each in ask()}

    def reason(what):
        job = jobs[stage.jobs[what]]
        assert job.state.is_waiting
        assert job.nodes == ""
        return job.reason

    assert reason("held") == "JobHeldUser"
    assert reason("later") == reason("requeued") == "BeginTime"
    assert reason("dependent") == "Dependency"
    assert reason("over the limit") == "AssocGrpGRES"
    later, held = jobs[stage.jobs["later"]], jobs[stage.jobs["held"]]
    assert later.eligible_time - later.submit_time == timedelta(hours=1)
    assert jobs[stage.jobs["dependent"]].dependency.startswith(f"afterok:{stage.jobs['running']}")
    assert (held.gpus, held.features, held.prefer, held.priority) == (2, "quick", "big", 0)
    assert jobs[stage.jobs["reserved"]].reservation == on.LATER
    assert (jobs[stage.jobs["requeued"]].restart_count, held.restart_count) == (1, 0)


@about("jobs")
def test_an_array_s_members_and_its_waiting_rest_know_their_array(ask, stage):
    array = stage.jobs["array"]
    found = [each for each in ask() if each.array_job_id == array]
    states = {each.array_task.removesuffix("%1"): each.state for each in found}
    assert states == {"1": JobState.RUNNING, "2-4": JobState.PENDING}
    assert all(each.name == "stage-array" for each in found)


@about("jobs")
def test_the_parts_of_a_heterogeneous_job_know_the_first_one(ask, stage):
    first = stage.jobs["het"]
    parts = [each for each in ask() if each.het_job_id == first]
    assert [(each.job_id, each.het_offset, each.cpus) for each in sorted(parts, key=lambda each: each.job_id)] == [
        (first, 0, 1),
        (first + 1, 1, 2),
    ]


@about("jobs")
def test_a_job_that_is_over_is_only_told_where_it_is_asked_for(ask, stage):
    over = {stage.jobs[what] for what in ("completed", "failed", "killed", "cancelled")}
    assert all(each.state.is_leaving for each in ask() if each.job_id in over)
    found = by_id(ask(with_over=True))
    ended = [found[each, ""] for each in sorted(over)]
    assert [(each.state, each.exit_code) for each in ended] == [
        (JobState.COMPLETED, "0:0"),
        (JobState.FAILED, "3:0"),
        (JobState.FAILED, "0:9"),
        (JobState.CANCELLED, "0:15"),
    ]
    assert all(each.end_time >= each.start_time for each in ended)


@about("job")
def test_one_job_is_told_by_its_id_and_an_unknown_one_is_unknown(ask, stage):
    for what, state in (("running", JobState.RUNNING), ("held", JobState.PENDING), ("failed", JobState.FAILED)):
        job = ask(stage.jobs[what])
        assert (job.job_id, job.state) == (stage.jobs[what], state)
    with pytest.raises(UnknownToSlurm):
        ask(66_000_000)


@about("steps")
def test_the_steps_of_a_running_job_are_told_apart(ask, stage):
    steps = {(each.job_id, each.step_id): each for each in ask()}
    job = stage.jobs["running"]
    assert {step for job_id, step in steps if job_id == job} == {"0", "1", "batch"}
    ours = {steps[job, each].name: steps[job, each] for each in ("0", "1")}
    assert set(ours) == {on.NAME, "sleep"}
    for step in ours.values():
        assert (step.state, step.nodes, step.node_count, step.tasks) == (JobState.RUNNING, on.RUNS_ON, 1, 1)
        assert (step.tres["gres/gpu"], step.tres["mem"], step.usage) == (1, 8192, StepUsage())
        assert step.start_time.tzinfo is UTC
    assert steps[stage.member, "batch"].tasks == 1
    parts = {job_id: each.tasks for (job_id, step), each in steps.items() if step.split("+")[0] == "0"}
    assert (parts[stage.jobs["het"]], parts[stage.jobs["het"] + 1]) == (1, 2)


@about("nodes")
def test_a_node_that_was_set_aside_says_why_by_whom_and_when(ask):
    node = by_name(ask())[on.DRAINED]
    assert node.state.is_drained
    assert not node.state.is_down
    assert (node.reason, node.reason_user, node.comment) == (on.REASON, "root", "hello State=DOWN")
    assert timedelta(0) <= datetime.now(UTC) - node.reason_time < timedelta(hours=1)


@about("nodes")
def test_a_node_counts_what_it_has_and_what_is_given_away(ask, stage):
    nodes = by_name(ask())
    busy = nodes[on.RUNS_ON]
    assert (busy.cpus, busy.memory, busy.gpus, busy.gpus_allocated) == (8, 16384, 2, 1)
    assert (busy.features, busy.active_features) == (("quick", "big"), ("quick", "big"))
    assert busy.gres == (Gres(name="gpu", type="v100", count=2),)
    assert busy.tres["gres/gpu:v100"] == 2
    assert busy.tres_allocated["gres/gpu"] == 1
    assert busy.cpus_allocated == busy.tres_allocated["cpu"] >= 4
    assert busy.memory_allocated == busy.tres_allocated["mem"] >= 8192
    assert busy.state.is_working
    assert set(busy.partitions) == {"site", "v100"}
    assert (nodes["dev-01"].shards, nodes["dev-01"].gpus, nodes["dev-01"].state.is_idle) == (8, 2, True)
    assert busy.boot_time < datetime.now(UTC)


@about("partitions")
def test_a_partition_says_what_it_has_and_who_may_use_it(ask):
    partitions = by_name(ask())
    v100, site = partitions["v100"], partitions["site"]
    assert set(expand(v100.nodes)) == {"v100-01", "v100-02", "v100-03"}
    assert (v100.is_default, v100.state, v100.qos, v100.max_time) == (True, "UP", "group-v100", None)
    assert (set(v100.allow_qos), v100.allow_accounts) == ({"normal", "emergency"}, ())
    assert (v100.total_nodes, v100.total_cpus, v100.gpus, v100.tres["mem"]) == (3, 24, 6, 3 * 16384)
    assert (site.is_hidden, site.state, site.is_default) == (True, "DOWN", False)


@about("reservations")
def test_a_reservation_says_what_is_kept_for_whom_and_when(ask, stage):
    found = by_name(ask())
    kept, later = found[on.KEPT], found[on.LATER]
    assert (kept.nodes, kept.node_count, kept.is_active, kept.accounts) == (on.DRAINED, 1, True, ())
    assert set(kept.users) == {"ann", "bob"}
    assert {"IGNORE_JOBS", "MAINT"} <= set(kept.flags)
    assert list(kept.flags) == sorted(kept.flags)
    assert kept.end_time - kept.start_time == timedelta(hours=2)
    assert kept.tres["cpu"] == 8
    assert (set(later.accounts), later.users, later.is_active) == ({"behavior", "face"}, (), False)
    assert {"DAILY", "FLEX"} <= set(later.flags)
    assert later.start_time > datetime.now(UTC) + timedelta(days=1)


@about("config")
def test_the_configuration_is_that_of_slurmctld(ask, stage):
    assert ask()["ClusterName"] == "small"
    assert "limits" in ask()["AccountingStorageEnforce"]


@about("loaded_qos")
def test_slurmctld_knows_a_qos_as_soon_as_slurmdbd_has_told_it(ask):
    assert {on.QOS, "normal", "group-v100"} <= ask()


@about("limits_in_use")
def test_what_is_used_of_the_limits_is_told_of_users_accounts_and_qos(ask, stage):
    use = ask()
    held = {(each.account, each.user): each.held for each in use.associations}
    of_team = {"cpu": 4, "mem": 8192, "node": 1, "billing": 4, "gres/gpu": 1, "gres/gpu:v100": 1}
    assert held[on.ACCOUNT, "ann"] == held[on.ACCOUNT, ""] == Held(jobs=1, submit_jobs=2, tres=of_team)
    assert held["behavior", "ann"].tres["gres/gpu"] == 1
    assert held["face", "chen"] == Held()
    assert held["", ""].jobs if ("", "") in held else held["root", ""].jobs == held["behavior", ""].jobs + 1
    qos = {each.name: each for each in use.qos}
    v100 = qos["group-v100"]
    assert v100.held.tres["gres/gpu"] == 2
    assert set(v100.users) == {"ann"}
    assert v100.users["ann"] == v100.held
    assert v100.accounts[on.ACCOUNT] == Held(jobs=1, submit_jobs=2, tres=of_team)
    assert (qos[on.QOS].held, qos[on.QOS].users, qos[on.QOS].accounts) == (Held(), {}, {})


@about("controllers")
def test_the_controller_that_answers_is_up(ask):
    assert [(each.is_up, each.is_primary) for each in ask()] == [(True, True)]


@about("site_factors")
def test_the_site_factor_of_a_job_that_waits_is_told(ask, stage, wait_for):
    job = stage.jobs["over the limit"]
    stage.station.slurm.write.update_job(job, site_factor=77)
    wait_for(lambda: ask().get(job) == 77)
    assert stage.jobs["running"] not in ask()


@about("priority_factors")
def test_what_makes_up_the_priority_of_a_job_that_waits_is_told(ask, stage, wait_for):
    job = stage.jobs["over the limit"]
    stage.station.slurm.write.update_job(job, site_factor=78, nice=5)

    def told() -> object:
        return next((each for each in ask() if each.job_id == job and (each.site, each.nice) == (78, 5)), None)

    wait_for(told)
    assert told().partition == "v100"
    assert stage.jobs["running"] not in {each.job_id for each in ask()}


@about("asked")
def test_what_a_job_asked_for_is_told_word_by_word(ask, stage):
    job_id = stage.submit(
        "asked", "-H", "-N", "2", "-n", "4", "-c", "2", "--gpus-per-node=v100:1", "--mem=3G", "--ntasks-per-node=2",
        "-w", on.RUNS_ON,
    )  # fmt: skip
    (found,) = ask(job_id)
    assert [(each.name, each.type, each.count) for each in found.tres_per_node] == [("gpu", "v100", 1)]
    assert (found.tasks, found.cpus_per_task, found.tasks_per_node, found.memory) == (4, 2, 2, 3072)
    assert found.nodes == on.RUNS_ON
    stage.run("scancel", str(job_id))
    del stage.jobs["asked"]


@about("batch_script")
def test_a_job_s_script_is_told_as_it_was_written(ask, stage):
    assert ask(stage.jobs["running"]).startswith("#!/bin/sh\n")


@about("diag")
def test_slurmctld_counts_jobs_and_questions(ask, reader, stage):
    reader.nodes()
    diag = ask()
    assert datetime.now(UTC) - timedelta(days=2) < diag.since <= datetime.now(UTC)
    assert diag.jobs_submitted >= len(stage.jobs)
    assert diag.jobs_started >= 7
    assert diag.jobs_completed >= 3
    counts = Counter({each.name: each.count for each in diag.rpcs})
    assert counts["REQUEST_SUBMIT_BATCH_JOB"] >= len(stage.jobs) - 1  # the heterogeneous one is another message
    assert sum(counts.values()) > 20
    assert all(each.total_time > timedelta(0) for each in diag.rpcs[:3])
    assert {each.name for each in diag.rpcs_of_users} >= {"root", "ann"}


@about("qos")
def test_every_limit_of_a_qos_is_told_in_its_unit(ask):
    qos = by_name(ask())[on.QOS]
    assert (qos.description, qos.priority, qos.usage_factor) == ("every limit | of all = 1", 5, 0.5)
    assert (qos.preempt, qos.preempt_mode, qos.grace_time) == (("normal",), "requeue", timedelta(seconds=90))
    assert set(qos.flags) == {"DenyOnLimit", "NoReserve"}
    assert qos.limits == Limits(
        grp_tres={"cpu": 100, "gres/gpu": 20, "mem": 200 * 1024},
        grp_jobs=30,
        grp_submit_jobs=40,
        max_tres_per_job={"cpu": 6, "mem": 8192},
        max_tres_per_node={"cpu": 7},
        max_tres_per_user={"gres/gpu": 8},
        max_tres_per_account={"gres/gpu": 9, "gres/gpu:v100": 5},
        max_jobs_per_user=10,
        max_submit_jobs_per_user=20,
        max_jobs_per_account=11,
        max_submit_jobs_per_account=21,
        max_wall=timedelta(days=1, hours=2, minutes=3),
    )


@about("accounts")
def test_an_account_has_its_description_and_its_coordinators(ask):
    accounts = by_name(ask())
    assert accounts[on.ABOVE].description == "above | all = 1"
    assert accounts[on.ACCOUNT].coordinators == ("bob",)
    assert {"behavior", "face", "root"} <= set(accounts)


@about("users")
def test_a_user_of_two_accounts_is_one_user_with_a_default(ask):
    users = [each for each in ask() if each.name == "ann"]
    assert [(each.default_account, each.admin_level) for each in users] == [("behavior", "None")]
    assert by_name(ask())["root"].admin_level == "Administrator"


@about("associations")
def test_the_tree_of_accounts_and_each_one_s_limits_are_told(ask):
    found = {(each.account, each.user): each for each in ask("small")}
    team, member = found[on.ACCOUNT, ""], found[on.ACCOUNT, "ann"]
    assert (team.parent, team.share, found[on.ABOVE, ""].parent) == (on.ABOVE, 7, "root")
    assert team.limits == Limits(
        grp_tres={"gres/gpu": 1},
        grp_jobs=6,
        grp_submit_jobs=60,
        max_jobs_per_user=4,
        max_submit_jobs_per_user=44,
        max_tres_per_job={"cpu": 7},
        max_tres_per_node={"cpu": 5},
        max_wall=timedelta(hours=10),
    )
    assert (member.share, member.cluster, member.limits.grp_tres) == (None, "small", {})
    ann = found["behavior", "ann"]
    assert (ann.limits.grp_tres["gres/gpu"], ann.limits.grp_tres["mem"], ann.default_qos) == (6, 61440, "normal")
    assert set(ann.qos) == {"development", "normal"}
    assert ask("no-such-cluster") == []


@about("associations")
def test_an_association_of_one_partition_says_which(ask):
    eve = next(each for each in ask() if (each.account, each.user, each.partition) == (on.ACCOUNT, "eve", "v100"))
    assert (eve.share, eve.limits.max_jobs_per_user, eve.parent) == (2, 3, "")


@about("limits_in_use")
def test_what_is_used_is_told_of_an_association_of_one_partition_too(ask):
    assert (on.ACCOUNT, "eve", "v100") in {(each.account, each.user, each.partition) for each in ask().associations}


@about("fair_shares")
def test_shares_in_one_partition_are_told_apart(ask):
    eve = next(each for each in ask() if (each.account, each.user, each.partition) == (on.ACCOUNT, "eve", "v100"))
    assert (eve.shares, eve.parent) == (2, on.ACCOUNT)


@about("tres")
def test_every_tres_that_slurmdbd_counts_has_its_type_and_name(ask):
    found = {str(each): each for each in ask()}
    assert {"cpu", "mem", "node", "billing", "gres/gpu", "gres/gpu:v100", "gres/shard"} <= set(found)
    assert (found["cpu"].tres_id, found["cpu"].type, found["cpu"].name) == (1, "cpu", "")
    assert (found["gres/gpu:v100"].type, found["gres/gpu:v100"].name) == ("gres", "gpu:v100")


@about("fair_shares")
def test_shares_are_told_down_the_tree(ask):
    found = {(each.account, each.user): each for each in ask()}
    team, member, root = found[on.ACCOUNT, ""], found[on.ACCOUNT, "ann"], found["root", ""]
    assert (team.parent, team.shares, member.parent, member.shares) == (on.ABOVE, 7, on.ACCOUNT, None)
    assert (found[on.ABOVE, ""].parent, root.parent) == ("root", "")
    assert team.norm_shares == pytest.approx(1.0)
    assert found["behavior", "ann"].norm_shares == pytest.approx(0.5)
    assert all(0 <= each.factor <= 1 for each in found.values() if each.user)
    assert all(0 <= each.effective_usage <= 1 for each in found.values())


@about("history")
def test_slurmdbd_remembers_how_each_job_ended(ask, stage):
    found = by_id(ask(since=datetime.now(UTC) - SINCE))

    def job(what):
        return found[stage.jobs[what], ""]

    assert (job("completed").state, job("completed").exit_code) == (JobState.COMPLETED, "0:0")
    assert (job("failed").state, job("failed").exit_code) == (JobState.FAILED, "3:0")
    assert (job("killed").state, job("killed").exit_code) == (JobState.FAILED, "0:9")
    assert (job("cancelled").state, job("running").state) == (JobState.CANCELLED, JobState.RUNNING)
    assert (job("running").features, job("running").gpus, job("running").tres["mem"]) == ("quick", 1, 8192)
    assert (job("failed").user, job("failed").account, job("failed").partition) == ("ann", "behavior", "v100")
    assert job("failed").time_limit == timedelta(minutes=30)
    assert job("failed").end_time - job("failed").start_time == job("failed").elapsed
    het = stage.jobs["het"]
    assert {(each.job_id, each.het_offset) for each in found.values() if each.het_job_id == het} == {
        (het, 0),
        (het + 1, 1),
    }
    assert found[stage.member, "1"].array_job_id == stage.jobs["array"]


@about("history")
def test_slurmdbd_can_be_asked_for_some_jobs_for_one_user_and_for_every_run(ask, stage):
    failed, requeued = stage.jobs["failed"], stage.jobs["requeued"]
    assert [each.job_id for each in ask(job_ids=(failed,))] == [failed]
    assert {each.user for each in ask(user="ann", since=datetime.now(UTC) - SINCE)} == {"ann"}
    assert ask(user="chen", job_ids=(failed,)) == []
    runs = ask(job_ids=(requeued,), duplicates=True)
    assert runs[0].state is JobState.REQUEUED
    assert {each.job_id for each in runs} == {requeued}


@about("step_history")
def test_slurmdbd_remembers_the_steps_of_a_job_and_what_they_used(ask, stage):
    failed, running = stage.jobs["failed"], stage.jobs["running"]
    steps = {(each.job_id, each.step_id): each for each in ask(failed, running)}
    batch = steps[failed, "batch"]
    assert (batch.name, batch.state, batch.exit_code) == ("batch", JobState.FAILED, "3:0")
    assert (batch.nodes, batch.node_count, batch.tasks, batch.cpus) == (batch.nodes, 1, 1, 1)
    assert batch.tres["mem"] == 2048
    assert batch.end_time >= batch.start_time
    assert timedelta(0) <= batch.usage.cpu_time < timedelta(minutes=1)
    assert {step for job_id, step in steps if job_id == running} == {"batch", "0", "1"}
    assert steps[running, "0"].usage == StepUsage()
    assert steps[running, "0"].end_time is None
    assert ask() == []


@about("running_usage")
def test_what_a_running_job_uses_is_told_by_its_nodes(ask, stage):
    running = stage.jobs["running"]
    steps = {each.step_id: each for each in ask(running)}
    assert set(steps) == {"batch", "0", "1"}
    assert {each.job_id for each in steps.values()} == {running}
    assert all(each.usage.max_rss is not None and each.usage.cpu_time is not None for each in steps.values())
    assert ask(stage.jobs["failed"]) == ask() == []


@about("usage")
def test_what_was_used_in_an_hour_is_told_of_the_user_and_of_each_account_above(ask, stage):
    found = {(each.account, each.user, each.tres): each.seconds for each in ask(stage.hour, stage.hour + HOUR)}
    assert {tres: found[on.ACCOUNT, "ann", tres] for tres in on.USED} == on.USED
    assert found[on.ABOVE, "", "cpu"] >= found[on.ACCOUNT, "", "cpu"] >= on.USED["cpu"]
    assert ask(stage.hour - HOUR, stage.hour) == []
    assert ask(stage.hour, stage.hour + timedelta(minutes=59)) == []


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_each_reader_says_what_the_cli_reader_says(reader, stage, question, wait_for):
    if question not in reader.answers:
        pytest.skip(f"the {reader.name} reader does not answer {question}")
    found: list[str] = []

    def same() -> bool:
        found[:] = differences(ASKED[question](reader, stage), ASKED[question](stage.cli, stage))
        return not found

    try:
        wait_for(same, within=20, every=0.5)
    except AssertionError:
        pytest.fail("\n".join(found))


def test_each_question_that_a_reader_declares_is_asked_of_it(reader):
    assert reader.answers <= KNOWN
    assert set(ASKED) == KNOWN == QUESTIONS
