"""Emergency jobs and rights: what is shown, what is refused, and what happens when Slurm says no."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from aistation_slurm.cluster.wanted import desired as cluster_desired
from aistation_slurm.errors import (
    InvalidRequest,
    NotPermitted,
    RequestError,
    SpecError,
    StalePlan,
    UnknownNameError,
    UnknownToSlurm,
    UsageError,
)
from aistation_slurm.priority.administrator import require_administrator, who_acts
from aistation_slurm.priority.emergency import listed, plan_order, rights
from aistation_slurm.priority.rights import EMERGENCY, carry_out, plan_right, team_of
from aistation_slurm.slurm.model import Association, Job, User
from aistation_slurm.slurm.states import JobState
from aistation_slurm.spec import load_spec

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FILE = """cluster: x
groups:
  v100: {nodes: "v-[1-2]", gpu_type: v100, gpus_per_node: 2, cpus: 8, memory: 16G}
teams:
  a: {members: [ann, bob]}          # ours
  b: {members: [bob, eve], emergency: [eve]}
"""


def association(account, user, *qos):
    return Association(cluster="x", account=account, user=user, qos=("normal", *qos))


def a_job(job_id, state=JobState.PENDING, *, qos=EMERGENCY, **fields):
    return Job(job_id=job_id, name="j", user="ann", account="a", qos=qos, state=state, **{"priority": 9, **fields})


class FakeSlurm:
    """A Slurm that holds what it is told, or refuses."""

    def __init__(self, *, jobs=(), factors=None, refuse=None, cluster="x", users=()):
        self.qos = {("a", "ann"): set(), ("a", "bob"): set(), ("b", "bob"): set(), ("b", "eve"): {EMERGENCY}}
        self.jobs, self.refuse, self.said = list(jobs), refuse, []
        self.factors = {each.job_id: 0 for each in self.jobs} if factors is None else factors
        config = {"ClusterName": cluster, "PriorityWeightAge": "1000", "SlurmUser": "nobody(65534)"}
        self.read = SimpleNamespace(
            config=lambda: config,
            associations=lambda _: [association(*pair, *qos) for pair, qos in self.qos.items()],
            jobs=lambda: self.jobs,
            site_factors=lambda: self.factors,
            users=lambda: list(users),
        )
        self.write = SimpleNamespace(sacctmgr=self._sacctmgr)

    def _sacctmgr(self, *words):
        self.said.append(words)
        if self.refuse:
            raise self.refuse
        pair = (words[4].removeprefix("account="), words[3].removeprefix("name="))
        if words[-1] == "QOS+=emergency":
            self.qos[pair].add(EMERGENCY)
        else:
            self.qos[pair].discard(EMERGENCY)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE)
    return path


def test_the_qos_has_the_name_that_the_cluster_file_becomes():
    assert EMERGENCY == cluster_desired.EMERGENCY


def test_a_grant_is_two_lines_and_after_it_file_and_slurm_agree(path):
    slurm = FakeSlurm()
    plan = plan_right(path, slurm, user="ann", team=None, give=True)
    assert plan.lines() == [f"~ file {path}  teams.a.emergency: + ann", "~ user ann  in a QOS+=emergency"]
    assert path.read_text() == FILE, "a plan changes nothing"
    assert list(carry_out(plan, slurm)) == plan.lines()
    assert path.read_text() == FILE.replace("[ann, bob]}", "[ann, bob], emergency: [ann]}")
    assert slurm.said == [("modify", "user", "where", "name=ann", "account=a", "cluster=x", "set", "QOS+=emergency")]
    assert not plan_right(path, slurm, user="ann", team=None, give=True), "the second time nothing is to do"


def test_a_grant_that_was_cut_short_is_finished_by_the_same_command(path):
    slurm = FakeSlurm()
    list(carry_out(plan_right(path, slurm, user="ann", team=None, give=True), slurm))
    slurm.qos["a", "ann"].clear()
    assert plan_right(path, slurm, user="ann", team=None, give=True).lines() == ["~ user ann  in a QOS+=emergency"]


def test_where_slurm_refuses_the_file_is_as_it_was_and_the_error_says_so(path):
    slurm = FakeSlurm(refuse=NotPermitted("Your user doesn't have privilege", where="sacctmgr", hint="be root"))
    with pytest.raises(NotPermitted, match="privilege") as refused:
        list(carry_out(plan_right(path, slurm, user="ann", team=None, give=True), slurm))
    assert refused.value.hint == "be root\nthe cluster file is as it was"
    assert path.read_text() == path.with_name("cluster.yaml.old").read_text() == FILE


def test_where_slurm_is_interrupted_the_file_is_as_it_was(path):
    slurm = FakeSlurm(refuse=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        list(carry_out(plan_right(path, slurm, user="eve", team=None, give=False), slurm))
    assert path.read_text() == FILE


def test_what_somebody_else_wrote_in_this_moment_is_not_overwritten(path):
    slurm = FakeSlurm()
    plan = plan_right(path, slurm, user="ann", team=None, give=True)
    path.write_text(FILE + "# mine\n")
    with pytest.raises(StalePlan, match="somebody changed it"):
        list(carry_out(plan, slurm))
    assert path.read_text() == FILE + "# mine\n"
    assert slurm.said == []


def test_wrong_names_are_refused_with_the_nearest_right_one(path):
    spec = load_spec(path)
    with pytest.raises(UnknownNameError, match="no user called 'anne'") as unknown:
        team_of(spec, "anne", None, path=path)
    assert unknown.value.hint == "did you mean 'ann'?"
    with pytest.raises(UnknownNameError, match="no team called 'c'"):
        team_of(spec, "ann", "c", path=path)
    with pytest.raises(SpecError, match="ann is not in team b") as elsewhere:
        team_of(spec, "ann", "b", path=path)
    assert elsewhere.value.hint == "ann is in a"
    with pytest.raises(UsageError, match="bob is in a and b") as several:
        team_of(spec, "bob", None, path=path)
    assert several.value.hint == "say in which: --team a"
    assert team_of(spec, "bob", "b", path=path) == "b"


def test_a_file_of_another_cluster_and_a_user_whom_slurm_lacks_are_refused(path):
    with pytest.raises(SpecError, match="is about cluster 'x', but this Slurm is 'y'"):
        plan_right(path, FakeSlurm(cluster="y"), user="ann", team=None, give=True)
    slurm = FakeSlurm()
    del slurm.qos["a", "ann"]
    with pytest.raises(UnknownToSlurm, match="Slurm has no ann in a yet"):
        plan_right(path, slurm, user="ann", team=None, give=True)


def test_rights_are_those_of_the_file_and_of_slurm_and_differences_are_told(path):
    found = rights(load_spec(path), [association("b", "eve"), association("a", "ann", EMERGENCY)])
    assert [(each.user, each.team, each.note.partition(":")[0]) for each in found] == [
        ("eve", "b", "not in Slurm yet"),
        ("ann", "a", "in Slurm only"),
    ]


def test_the_list_has_what_runs_longest_and_then_what_starts_next():
    hour = timedelta(hours=1)
    jobs = [
        a_job(1, priority=5, submit_time=NOON - hour),
        a_job(2, priority=7),
        a_job(3, JobState.RUNNING, start_time=NOON - hour),
        a_job(4, JobState.RUNNING, start_time=NOON - 3 * hour),
        a_job(5, qos="normal"),
        a_job(6, priority=0),
        a_job(7, qos="EMERGENCY", priority=7),
        a_job(8, JobState.COMPLETED),
    ]
    found = listed(jobs, NOON)
    assert [(each.job.job_id, each.place) for each in found] == [
        (4, None), (3, None), (2, 1), (7, 2), (1, 3), (6, 4),
    ]  # fmt: skip
    assert [each.for_ for each in found] == [3 * hour, hour, None, None, hour, None]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (a_job(7, qos="normal"), "job 7 is of QOS normal"),
        (a_job(7, JobState.RUNNING, qos="normal"), "job 7 runs under QOS normal, not emergency"),
        (a_job(7, JobState.RUNNING), "job 7 runs already"),
        (a_job(7, JobState.COMPLETING), "job 7 is ending"),
        (a_job(7, priority=0), "job 7 is held: release it first"),
        (a_job(7, het_job_id=7), "job 7 is a heterogeneous job"),
        (a_job(8), "no job 7 waits or runs"),
    ],
)
def test_only_an_emergency_job_that_waits_can_be_ordered(job, says):
    with pytest.raises(RequestError, match=says):
        plan_order(FakeSlurm(jobs=[job]), "7", before=None)


def test_a_job_that_may_not_start_yet_has_no_place_in_the_order():
    slurm = FakeSlurm(jobs=[a_job(7, reason="BeginTime"), a_job(8)], factors={8: 0})
    with pytest.raises(RequestError, match=r"job 7 may not start yet \(BeginTime\)"):
        plan_order(slurm, "8", before="7")


def test_an_order_among_emergency_jobs_leaves_ordinary_ones_alone():
    slurm = FakeSlurm(jobs=[a_job(1, priority=90), a_job(2, priority=80), a_job(3, priority=500, qos="normal")])
    plan = plan_order(slurm, "2", before=None)
    assert plan.lines() == ["~ job 2  SiteFactor 0 -> 1011 (first)"]
    assert plan.summary() == "emergency job 2 of ann goes first"
    with pytest.raises(UsageError, match="can't come before itself"):
        plan_order(slurm, "2", before="2")


def test_a_member_of_an_array_is_named_as_slurm_names_it():
    member = a_job(12, array_job_id=10, array_task="3", priority=1)
    plan = plan_order(FakeSlurm(jobs=[a_job(9, priority=50), member]), "10_3", before="9")
    assert plan.job == member
    assert plan.summary() == "emergency job 10_3 of ann goes before 9"


def test_only_root_slurms_own_user_and_operators_are_administrators():
    import pwd

    nobody = next(each for each in pwd.getpwall() if each.pw_name == "nobody")
    daemon = next(each for each in pwd.getpwall() if each.pw_name == "daemon")
    require_administrator(FakeSlurm(), uid=0)
    require_administrator(FakeSlurm(), uid=nobody.pw_uid)
    with pytest.raises(NotPermitted, match="daemon is no administrator"):
        require_administrator(FakeSlurm(users=[User(name="daemon")]), uid=daemon.pw_uid)
    require_administrator(FakeSlurm(users=[User(name="daemon", admin_level="Operator")]), uid=daemon.pw_uid)


def test_the_audit_names_whoever_is_behind_sudo():
    assert who_acts({"SUDO_USER": "ann"}, uid=0) == "ann as root"
    assert who_acts({}, uid=0) == "root"
    assert who_acts({"SUDO_USER": "ann"}, uid=4_000_000_000) == "4000000000"


def test_more_than_slurm_can_hold_never_reaches_it():
    with pytest.raises(InvalidRequest):
        plan_order(FakeSlurm(jobs=[a_job(1, priority=2**31), a_job(2)]), "2", before=None)
