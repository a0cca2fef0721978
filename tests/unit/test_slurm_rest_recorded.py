"""What slurmrestd of each version really answered is what our reader makes of it."""

from datetime import UTC, datetime, timedelta

import pytest

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.model import Controller, Limits
from aistation_slurm.slurm.reader import QUESTIONS
from aistation_slurm.slurm.readers.rest import RestReader
from aistation_slurm.slurm.states import JobState
from aistation_slurm.slurm.tres import Gres
from tests.unit.restd import elsewhere, http, recorded, saying, serving

VERSIONS = (38, 40, 42, 45)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a Unix socket's path is short
    return tmp_path / "s"


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def reader(path, version):
    with serving(path, recorded(version)):
        yield RestReader(path)


def by_name(found):
    return {each.name: each for each in found}


def test_a_running_job_says_what_it_was_given_and_every_word_that_was_written(reader):
    job = by_name(job for job in reader.jobs() if job.state is JobState.RUNNING)["run one"]
    assert (job.comment, job.user, job.account, job.partition, job.qos) == (
        "c | =x é",
        "root",
        "face",
        "v100",
        "normal",
    )
    assert (job.nodes, job.batch_host, job.node_count, job.cpus, job.gpus) == ("v100-01", "v100-01", 1, 2, 1)
    assert (job.time_limit, job.end_time - job.start_time) == (timedelta(days=1), timedelta(days=1))
    assert (job.work_dir, job.stdout) == ("/tmp", f"/tmp/out-{job.job_id}.txt")
    assert (job.array_job_id, job.array_task, job.het_job_id, job.reason) == (None, "", None, "")
    assert job.submit_time <= job.start_time < datetime.now(UTC)
    assert job.elapsed > timedelta(0)


def test_jobs_that_are_over_say_how_and_only_where_they_are_asked_for(reader):
    found = by_name(job for job in reader.jobs(with_over=True) if job.job_id > 18)
    said = {name: (found[name].state, found[name].exit_code) for name in ("ok", "fails", "killed")}
    assert said == {
        "ok": (JobState.COMPLETED, "0:0"),
        "fails": (JobState.FAILED, "3:0"),
        "killed": (JobState.FAILED, "0:9"),
    }
    assert found["cancelled"].state is JobState.CANCELLED
    assert not {*said, "cancelled"} & set(by_name(reader.jobs()))
    assert found["fails"].stdout == f"/tmp/slurm-{found['fails'].job_id}.out"


def test_jobs_that_wait_say_what_for(reader):
    found = by_name(reader.jobs())
    held, dependent, requeued = found["held"], found["dep"], found["requeued"]
    assert (held.reason, held.admin_comment, held.nice, held.priority) == ("JobHeldUser", "JS1:abc", -7, 0)
    assert (held.tres["mem"], held.time_limit, held.nodes) == (3072, timedelta(minutes=5), "")
    assert (dependent.reason, dependent.dependency) == ("Dependency", f"afterok:{held.job_id}(unfulfilled)")
    assert (requeued.reason, requeued.restart_count) == ("BeginTime", 1)
    assert all(each.elapsed == timedelta(0) for each in (held, dependent, requeued))


def test_an_array_and_the_parts_of_a_heterogeneous_job_know_where_they_belong(reader):
    jobs = reader.jobs()
    array = [job for job in jobs if job.name == "arr" and job.array_job_id == 27]
    assert {job.array_task: job.state for job in array} == {
        "0": JobState.RUNNING,
        "1": JobState.RUNNING,
        "2-9%2": JobState.PENDING,
    }
    assert {job.stdout for job in array} == {"/tmp/a-27_0.txt", "/tmp/a-27_1.txt", ""}
    parts = {job.het_offset: job for job in jobs if job.name == "het"}
    assert {each.het_job_id for each in parts.values()} == {parts[0].job_id}
    assert set(parts) == {0, 1}


def test_nodes_are_told_with_what_they_have_and_why_they_are_set_aside(reader):
    nodes = by_name(reader.nodes())
    drained, busy, shared = nodes["v100-02"], nodes["v100-01"], nodes["dev-01"]
    assert drained.state.is_drained
    assert (drained.reason, drained.reason_user) == ("aistation: GPU 3 fell = off | x", "root")
    assert drained.reason_time.tzinfo is UTC
    assert (busy.reason, busy.reason_user, busy.reason_time, busy.state.is_working) == ("", "", None, True)
    assert (busy.cpus, busy.memory, busy.gpus, busy.gpus_allocated) == (8, 16384, 2, 1)
    assert busy.gres == (Gres(name="gpu", type="v100", count=2),)
    assert busy.tres_allocated["gres/gpu"] == 1
    assert busy.cpus_allocated == busy.tres_allocated["cpu"]
    assert set(busy.partitions) == {"site", "v100"}
    assert (shared.comment, shared.shards) == ("a comment", 8)
    assert 0 < busy.load < 100
    assert busy.memory_free > 1000


def test_associations_have_their_place_in_the_tree_and_their_limits(reader):
    found = {(each.account, each.user): each for each in reader.associations()}
    team, member = found["sub", ""], found["sub", "ann"]
    assert (team.parent, team.share, team.cluster, member.share) == ("top", 7, "small", None)
    assert team.limits == Limits(
        grp_tres={"cpu": 55, "mem": 1024**2},
        grp_jobs=5,
        grp_submit_jobs=6,
        max_tres_per_job={"cpu": 9},
        max_tres_per_node={"cpu": 4},
        max_jobs_per_user=3,
        max_submit_jobs_per_user=4,
        max_wall=timedelta(minutes=10),
    )
    assert (set(member.qos), member.default_qos) == ({"normal", "normal2"}, "normal")


def test_accounts_users_and_tres_are_told(reader, version):
    accounts, users = by_name(reader.accounts()), by_name(reader.users())
    assert (accounts["sub"].description, accounts["sub"].coordinators) == ("x y", ("ann", "chen"))
    assert users["ann"].default_account == ("behavior" if version == 38 else "face")
    assert users["root"].admin_level == "Administrator"
    kinds = {str(each): each.tres_id for each in reader.tres()}
    assert kinds["cpu"] == 1
    assert {"mem", "billing", "gres/gpu:v100", "gres/shard"} <= set(kinds)
    assert "dynamic_offset" not in kinds


def test_slurmctld_s_counters_are_told_where_they_are_whole(reader, version):
    assert ("diag" in reader.answers) is (version != 40)
    if version == 40:
        with pytest.raises(SlurmUnreadable):
            reader.diag()
        return
    diag = reader.diag()
    assert diag.jobs_submitted >= 20
    assert diag.jobs_started >= 7
    assert diag.since < datetime.now(UTC)
    assert timedelta(0) < diag.schedule_cycle_mean <= diag.schedule_cycle_max
    assert diag.rpcs[0].count >= diag.rpcs[1].count > 0
    assert {each.name for each in diag.rpcs_of_users} >= {"root", "nobody"}


def test_reservations_are_told_on_22_05_alone(reader, version):
    assert ("reservations" in reader.answers) is (version == 38)
    kept = by_name(reader.reservations())["keep"]
    assert (kept.nodes, kept.node_count, kept.users) == ("v100-02", 1, ("root", "ann"))
    assert kept.flags == ("DAILY", "IGNORE_JOBS", "MAINT", "SPEC_NODES")
    assert kept.end_time - kept.start_time == timedelta(hours=1)
    assert kept.tres == {"cpu": 8}


def test_from_23_11_on_a_history_and_the_controllers_are_told(reader, version):
    told = {"history", "job", "controllers"}
    assert told & reader.answers == (told if version >= 40 else set())
    if version < 40:
        return
    assert reader.controllers() == [Controller(host="vm", is_up=True, is_primary=True)]
    ended = {each.job_id: each for each in reader.history(job_ids=(20, 22))}
    assert (ended[20].name, ended[20].state, ended[20].exit_code) == ("fails", JobState.FAILED, "3:0")
    assert (ended[22].state, ended[22].exit_code, ended[22].cpus) == (JobState.FAILED, "0:9", 1)
    assert ended[20].elapsed == ended[20].end_time - ended[20].start_time
    running = ended[19]
    assert (running.comment, running.gpus, running.end_time) == ("", 1, None)
    assert (running.time_limit, running.tres["mem"]) == (timedelta(days=1), 2048)
    assert (ended[30].array_job_id, ended[30].array_task, running.array_job_id) == (27, "0", None)


def test_a_job_without_a_script_has_no_output_and_no_host_that_runs_one(path, version):
    def interactive(asked, said):
        if asked == "jobs":
            said["jobs"] = [{**said["jobs"][0], "batch_flag": False}]
        return said

    with serving(path, recorded(version, change=interactive)):
        (job,) = RestReader(path).jobs(with_over=True)
    assert (job.stdout, job.batch_host) == ("", "")


def test_what_is_declared_is_a_question_of_the_contract(reader):
    assert reader.answers < QUESTIONS
    assert all(callable(getattr(reader, question)) for question in reader.answers)


@pytest.mark.parametrize("noun", ["jobs", "nodes", "associations", "users", "accounts"])
def test_a_field_that_nobody_knows_is_borne_and_one_that_is_needed_is_missed(path, version, noun):
    def more(asked, said):
        if asked == noun:
            said[noun][0]["a_field_of_2027"] = {"set": True}
        return said

    with serving(path, recorded(version, change=more)):
        assert getattr(RestReader(path), noun)()
    needed = {"jobs": "time_limit", "nodes": "real_memory", "associations": "shares_raw", "users": "default"}

    def less(asked, said):
        if asked == noun:
            del said[noun][0][needed.get(noun, "description")]
        return said

    with serving(path, recorded(version, change=less)), pytest.raises(SlurmUnreadable) as raised:
        getattr(RestReader(path), noun)()
    assert f"/v0.0.{version}/{noun}" in str(raised.value)
    assert needed.get(noun, "description") in str(raised.value)


def test_text_that_is_no_utf_8_or_holds_control_characters_is_borne(path):
    body = b'{"meta": {"slurm": {"release": "24.11.5"}}, "accounts": [{"name": "a\xff", "description": "b\nc\x1f", '
    body += b'"coordinators": []}]}'
    ping = recorded(42)

    def talk(connection, request):
        (ping if "/ping " in request else saying(http(200, body)))(connection, request)

    with serving(path, talk):
        account = RestReader(path).accounts()[0]
    assert (account.name, account.description) == ("a\ufffd", "b\nc\x1f")


def test_the_newest_version_that_both_know_is_spoken(path):
    with serving(path, recorded(40, 42)) as restd:
        RestReader(path).nodes()
    assert restd.targets[-1] == "/slurm/v0.0.42/nodes"
    assert restd.targets.count("/slurm/v0.0.42/ping") == 1


def test_a_slurmrestd_that_lost_its_version_is_asked_by_another_one_at_once(path):
    with serving(path, recorded(42)):
        reader = RestReader(path)
        assert len(reader.nodes()) == 3
    with serving(path, recorded(45)) as restd:
        assert len(reader.nodes()) == 3
        assert "reservations" not in reader.answers
    assert restd.targets[0] == "/slurm/v0.0.42/nodes"
    assert restd.targets[-1] == "/slurm/v0.0.45/nodes"


def test_a_slurmrestd_that_was_updated_is_asked_by_its_newest_version_from_then_on(path):
    with serving(path, recorded(42)):
        reader = RestReader(path)
        reader.nodes()

    def updated(_, said):
        said["meta"]["slurm"]["release"] = "26.05.5"
        return said

    with serving(path, recorded(42, 45, change=updated)) as restd:
        reader.nodes()
        reader.nodes()
    assert restd.targets[0] == "/slurm/v0.0.42/nodes"
    assert restd.targets[-1] == "/slurm/v0.0.45/nodes"


def test_slurm_23_02_has_comments_of_reservations_that_v0_0_38_does_not_tell(path):
    def of_23_02(_, said):
        said["meta"]["Slurm"]["release"] = "23.02.7"
        return said

    with serving(path, recorded(38, change=of_23_02)):
        assert "reservations" not in RestReader(path).answers


SINCE = 1795668000
NO_NEWS = b'{"meta": {}, "errors": [], "jobs": [], "last_update": {"set": true, "infinite": false, "number": 0}}'
HALF_NEWS = b'{"errors": [{"error_number": 1900, "error": "Data has not changed since time specified"}]}'


@pytest.mark.parametrize(
    ("what", "answer", "changed"),
    [
        ("nodes", b"HTTP/1.1 304 NOT MODIFIED\r\n\r\n", False),
        ("partitions", b"HTTP/1.1 304 NOT MODIFIED\r\n\r\n", False),
        ("jobs", b"HTTP/1.1 304 NOT MODIFIED\r\n\r\n", False),
        ("jobs", http(200, NO_NEWS), False),
        ("jobs", http(200, b'{"jobs": [], "last_update": {"set": true, "infinite": false, "number": 9}}'), True),
        ("jobs", http(200, b'{"jobs": []}'), True),  # v0.0.38, an empty queue
        ("nodes", http(500, HALF_NEWS), True),
        ("nodes", http(200, b'{"nodes": [{}]}'), True),
    ],
)
def test_whether_anything_changed_is_told_in_every_version_s_way(path, version, what, answer, changed):
    told = recorded(version)

    def talk(connection, request):
        (saying(answer) if "update_time=" in request else told)(connection, request)

    with serving(path, talk) as restd:
        found = RestReader(path).changed_since(what, SINCE)
    assert (found is not None) is changed
    assert found is None or 1795665000 < found < 1795700000  # slurmctld's own clock when it was recorded
    asked = f"update_time={'' if version == 38 else 'uts'}{SINCE}"
    assert any(asked in each for each in restd.targets)


def test_the_first_stamp_costs_no_dump(path, version):
    with serving(path, recorded(version)) as restd:
        assert RestReader(path).changed_since("jobs", 0)
    assert not any("/jobs" in each for each in restd.targets)


def test_an_address_that_is_nowhere_is_unreadable_and_not_asked_for_without_end(path):
    ping = recorded(42)

    def talk(connection, request):
        (ping if "/ping " in request else saying(elsewhere()))(connection, request)

    with serving(path, talk) as restd, pytest.raises(SlurmUnreadable):
        RestReader(path).nodes()
    assert len(restd.requests) < 20


def test_from_23_11_on_the_steps_of_a_history_say_what_they_used(reader, version):
    assert ("step_history" in reader.answers) is (version >= 40)
    if version < 40:
        return
    steps = {(each.job_id, each.step_id): each for each in reader.step_history(19, 20, 23)}
    batch, cancelled, running = steps[20, "batch"], steps[23, "batch"], steps[19, "batch"]
    assert (batch.name, batch.state, batch.exit_code) == ("batch", JobState.FAILED, "3:0")
    assert (batch.nodes, batch.node_count, batch.tasks, batch.cpus) == ("v100-01", 1, 1, 1)
    assert batch.elapsed == batch.end_time - batch.start_time
    assert timedelta(0) <= batch.usage.cpu_time < timedelta(seconds=5)
    assert 0 < cancelled.usage.max_rss < 100  # MiB
    assert cancelled.usage.tres_max["mem"] == cancelled.usage.max_rss
    assert cancelled.usage.tres_max["cpu"] < 5  # seconds
    assert (running.end_time, running.usage.cpu_time, running.tres["gres/gpu:v100"]) == (None, None, 1)
    assert reader.step_history() == []
