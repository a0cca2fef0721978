"""What a plan holds, decided without a Slurm: an imagined one takes the changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster import changes as c
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.plan import Plan, decide
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.site.conf import SiteConf
from aistation_slurm.cluster.site.keys import site_keys
from aistation_slurm.cluster.wanted.desired import job_qos, partition_qos
from aistation_slurm.errors import SpecError, SpecErrors, UnsafePlan
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Job, Limits, Node, Partition, Qos, User
from aistation_slurm.slurm.states import JobState, NodeState
from aistation_slurm.slurm.tres import Gres, read_tres
from aistation_slurm.spec import ClusterSpec, load_spec

ETC = Path("/etc/slurm")
EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
SMALL = load_spec(EXAMPLES / "small.yaml")
NORMAL = Qos(name="normal", description="Normal QOS default")


@pytest.fixture(scope="module")
def six_teams() -> ClusterSpec:
    return load_spec(EXAMPLES / "six-teams.yaml")


@pytest.fixture(scope="module")
def small() -> ClusterSpec:
    return load_spec(EXAMPLES / "small.yaml")


def fresh(spec: ClusterSpec, **others: object) -> Observed:
    """Return a Slurm that has the nodes and keys, and knows nothing of us yet."""
    keys = {key.lower(): (value, "slurm.conf:1") for key, value in site_keys(spec).items()}
    values: dict[str, object] = {
        "cluster": spec.cluster,
        "site": SiteConf(ETC / "slurm.conf", keys, includes=["aistation.conf"]),
        "files": {"aistation.conf": "", "gres.conf": None},
        "qos": {"normal": NORMAL},
        "nodes": {node.name: node for node in nodes_of(spec)},
    }
    return Observed(**{**values, **others})


def nodes_of(spec: ClusterSpec) -> list[Node]:
    return [
        Node(
            name=name,
            state=NodeState.parse("DOWN"),
            cpus=group.cpus,
            memory=group.memory,
            gres=(
                Gres(name="gpu", type=group.gpu_type, count=group.gpus_per_node),
                *([Gres(name=group.sharing, count=group.shards_per_node)] if group.shards_per_node else []),
            ),
        )
        for group in spec.groups.values()
        for name in group.node_names()
    ]


def plan_of(spec: ClusterSpec, observed: Observed) -> Plan:
    return decide(spec, observed, conf_dir=ETC, gpu_device="/dev/nvidia", source="/etc/aistation/cluster.yaml")


def after(plan: Plan, spec: ClusterSpec, observed: Observed) -> Observed:  # noqa: PLR0912, PLR0915  one case for each kind
    """Return the Slurm once the plan was carried out, its changes taken in their order."""
    qos, accounts = dict(observed.qos), dict(observed.accounts)
    users, rows, files = dict(observed.users), dict(observed.associations), dict(observed.files)
    partitions = dict(observed.partitions)
    for change in plan.changes:
        match change:
            case c.CreateQos():
                assert not set(change.names) & set(qos)
                qos |= {name: qos_of(name, change.values) for name in change.names}
            case c.ModifyQos():
                qos[change.name] = qos_of(change.name, change.new)
            case c.CreateAccounts():
                for name in change.names:
                    accounts[name] = Account(name=name, description=MARK)
                    rows[name, ""] = row(name, "", change.qos, change.limits)
            case c.AddUsers():
                assert change.account in accounts, "a user before the account"
                for user in change.users:
                    rows[change.account, user] = row(change.account, user, change.qos, change.limits)
                    users.setdefault(user, User(name=user, default_account=change.account))
            case c.ModifyAssociations():
                for user in change.users or ("",):
                    old = rows[change.account, user]
                    kept = (set(old.qos) | set(change.rights.give)) - set(change.rights.take)
                    rows[change.account, user] = row(change.account, user, tuple(kept), change.new, was=old)
            case c.MoveAccounts():
                for name in change.names:
                    assert change.parent == "root" or change.parent in accounts, "below an account that is not there"
                    assert name not in [change.parent, *above(rows, change.parent)], "slurmdbd takes no circle"
                    rows[name, ""] = replace(rows[name, ""], parent=change.parent)
            case c.AddCoordinators() | c.RemoveCoordinators():
                for name in change.accounts:
                    assert set(change.users) <= users.keys(), "a coordinator before the user"
                    accounts[name] = coordinated(accounts[name], change)
            case c.SetDefaultAccount():
                users |= {user: User(name=user, default_account=change.account) for user in change.users}
            case c.WriteFile():
                files[change.path.name] = change.text
            case c.Reconfigure():
                named = {partition_qos(name) for name in spec.groups}
                assert named <= qos.keys(), "slurmctld 22.05 ends on a partition whose QOS is unknown"
                partitions = {
                    name: Partition(
                        name=name,
                        nodes=group.nodes,
                        qos=partition_qos(name),
                        allow_qos=job_qos(group, has_nights=spec.calendar.has_nights),
                        allow_accounts=spec.allowed_teams(name),
                        max_time=group.max_time,
                        default_time=group.default_time,
                    )
                    for name, group in spec.groups.items()
                }
            case c.RemoveUsers():
                defaults = {users[user].default_account == change.account for user in change.users}
                assert len(defaults) == 1, "slurmdbd refuses to take some users' default account with others' last"
                for user in change.users:
                    del rows[change.account, user]
                    left = [account for account, name in rows if name == user]
                    assert not left or users[user].default_account != change.account, "slurmdbd refuses this"
                    if not left:
                        del users[user]
            case c.DeleteAccounts():
                for name in change.names:
                    assert not [user for account, user in rows if account == name and user]
                    left = {account for account, _ in rows} - set(change.names)
                    assert not [each for each in left if name in above(rows, each)], "it takes along all below it"
                    del rows[name, ""], accounts[name]
            case c.DeleteQos():
                assert not {each.qos for each in partitions.values()} & set(change.names)
                for name in change.names:
                    del qos[name]
    return replace(
        observed, qos=qos, accounts=accounts, users=users, associations=rows, files=files, partitions=partitions
    )


def qos_of(name: str, values: dict[str, str]) -> Qos:
    return Qos(
        name=name,
        description=MARK,
        priority=int(values.get("Priority", 0)),
        preempt=tuple(filter(None, values.get("Preempt", "").split(","))),
        preempt_mode=values.get("PreemptMode", "cluster"),
        flags=tuple(filter(None, values.get("Flags", "").split(","))),
        limits=Limits(
            grp_tres=read_tres(values.get("GrpTRES", "")),
            max_tres_per_user=read_tres(values.get("MaxTRESPerUser", "")),
            max_tres_per_account=read_tres(values.get("MaxTRESPerAccount", "")),
            max_tres_per_job=read_tres(values.get("MaxTRESPerJob", "")),
            max_jobs_per_user=number(values, "MaxJobsPerUser"),
            max_submit_jobs_per_user=number(values, "MaxSubmitJobsPerUser"),
            max_jobs_per_account=number(values, "MaxJobsPerAccount"),
            max_submit_jobs_per_account=number(values, "MaxSubmitJobsPerAccount"),
        ),
    )


def number(values: dict[str, str], key: str) -> int | None:
    return int(values[key]) if key in values else None


def above(rows: Mapping[tuple[str, str], Association], account: str) -> Iterator[str]:
    """Yield the accounts above this one."""
    while (account := rows[account, ""].parent if (account, "") in rows else "root") != "root":
        yield account


def coordinated(account: Account, change: c.AddCoordinators | c.RemoveCoordinators) -> Account:
    have, who = set(account.coordinators), set(change.users)
    assert isinstance(change, c.AddCoordinators) or who <= have, "nobody to take"
    return replace(account, coordinators=tuple(have | who if isinstance(change, c.AddCoordinators) else have - who))


def row(
    account: str, user: str, qos: tuple[str, ...], limits: dict[str, str], was: Association | None = None
) -> Association:  # fmt: skip
    return Association(
        cluster="station",
        account=account,
        user=user,
        parent="" if user else limits.get("Parent", was.parent if was else "root"),
        share=int(limits.get("Fairshare", 1)),
        qos=qos,
        limits=Limits(
            grp_tres=read_tres(limits.get("GrpTRES", "")),
            grp_jobs=number(limits, "GrpJobs"),
            grp_submit_jobs=number(limits, "GrpSubmitJobs"),
        ),
    )


def applied(spec: ClusterSpec, observed: Observed | None = None) -> Observed:
    before = observed or fresh(spec)
    return after(plan_of(spec, before), spec, before)


def changed(spec: ClusterSpec, **fields: object) -> ClusterSpec:
    return spec.model_copy(update=fields)


def with_team(spec: ClusterSpec, name: str, **fields: object) -> ClusterSpec:
    return changed(spec, teams={**spec.teams, name: spec.teams[name].model_copy(update=fields)})


def test_planning_twice_gives_the_same_plan_and_changes_nothing(six_teams):
    observed = fresh(six_teams)
    first, second = plan_of(six_teams, observed), plan_of(six_teams, observed)
    assert first == second
    assert first.checksum == second.checksum
    assert first.counts == {"create": 8 + 6 + 120 + 2 + len(policy.NAMES), "update": 3, "delete": 0}


def test_a_plan_right_after_apply_is_empty(six_teams):
    plan = plan_of(six_teams, applied(six_teams))
    assert not plan
    assert plan.lines() == []
    assert "nothing to do" in plan.summary()


def test_six_teams_are_made_by_a_handful_of_commands(six_teams):
    commands = [change for change in plan_of(six_teams, fresh(six_teams)).changes if change.argv()]
    assert len(commands) <= 15


def test_qos_come_before_files_and_deletions_last(six_teams):
    ranks = [change.rank for change in plan_of(six_teams, fresh(six_teams)).changes]
    assert ranks == sorted(ranks)
    assert c.CreateQos.rank < c.CreateAccounts.rank < c.AddUsers.rank < c.WriteFile.rank < c.Reconfigure.rank
    assert c.Reconfigure.rank < c.RemoveUsers.rank < c.DeleteAccounts.rank < c.DeleteQos.rank


def test_a_change_says_itself_in_one_line(small):
    observed = applied(small)
    faster = changed(
        small, quota=small.quota.model_copy(update={"per_user": small.quota.per_user.model_copy(update={"gpu": 2})})
    )
    lines = plan_of(faster, observed).lines()
    assert lines[0].startswith(
        "~ user ann,bob  in behavior GrpTRES cpu=30,gres/gpu=6,mem=60G -> cpu=14,gres/gpu=2,mem=28G"
    )


def test_a_partition_that_changes_is_shown_key_by_key(small):
    observed = applied(small)
    group = small.groups["v100"].model_copy(update={"teams": ["face"]})
    plan = plan_of(changed(small, groups={**small.groups, "v100": group}), observed)
    assert "    ~ partition v100  AllowAccounts none -> face" in plan.lines()
    assert [type(change) for change in plan.changes] == [c.WriteFile, c.Reconfigure, *[c.WriteRules] * 3]


def test_a_limit_that_is_lifted_is_named_with_minus_one():
    change = c.ModifyQos("group-v100", {"MaxTRESPerUser": "cpu=8,gres/gpu=1"}, {"MaxTRESPerUser": "gres/gpu=2"})
    assert change.argv()[-1] == "MaxTRESPerUser=gres/gpu=2,cpu=-1"


def test_a_qos_made_by_hand_is_none_of_our_business(small):
    theirs = Qos(name="theirs", description="the site's", priority=7)
    observed = fresh(small)
    observed = applied(small, replace(observed, qos={**observed.qos, "theirs": theirs}))
    assert not plan_of(small, observed)
    assert observed.qos["theirs"] is theirs


def test_a_qos_of_ours_that_the_file_no_longer_has_goes(small):
    old = Qos(name="group-old", description=MARK)
    observed = applied(small)
    plan = plan_of(small, replace(observed, qos={**observed.qos, "group-old": old}))
    assert plan.lines() == ["- qos group-old"]


def test_a_qos_stays_while_another_cluster_shares_the_slurmdbd(small):
    old = Qos(name="group-old", description=MARK)
    observed = replace(applied(small), other_clusters=frozenset({"other"}))
    assert not plan_of(small, replace(observed, qos={**observed.qos, "group-old": old}))


def test_a_qos_given_by_hand_to_a_user_stays(small):
    observed = applied(small)
    ann = observed.associations["behavior", "ann"]
    rows = {**observed.associations, ("behavior", "ann"): replace(ann, qos=(*ann.qos, "theirs"))}
    assert not plan_of(small, replace(observed, associations=rows))


def test_the_right_to_emergency_is_given_and_taken(small):
    observed = applied(small)
    given = plan_of(with_team(small, "behavior", emergency=["ann"]), observed)
    assert given.lines() == ["~ user ann  in behavior QOS+=emergency"]
    taken = plan_of(with_team(small, "face", emergency=[]), observed)
    assert taken.lines() == ["~ user chen  in face QOS-=emergency"]


def test_a_user_taken_out_of_the_file_loses_the_association_only(small):
    plan = plan_of(with_team(small, "behavior", members=["ann"]), applied(small))
    assert plan.lines() == ["- user bob  in behavior"]
    assert plan.changes[0].argv() == (
        "sacctmgr", "delete", "user", "where", "name=bob", "account=behavior", "cluster=small",
    )  # fmt: skip


def test_a_user_who_changes_teams_gets_a_new_default_account_first(small):
    moved = with_team(with_team(small, "behavior", members=["ann"]), "face", members=["chen", "eve", "bob"])
    observed = applied(small)
    plan = plan_of(moved, observed)
    assert [line.split("  ")[0] for line in plan.lines()] == ["+ user bob", "~ user bob", "- user bob"]
    assert not plan_of(moved, after(plan, moved, observed))


def test_an_account_of_the_site_is_not_taken_over(small):
    observed = fresh(small, accounts={"face": Account(name="face", description="people of the site")})
    with pytest.raises(SpecError, match="account face: made by the site") as caught:
        plan_of(small, observed)
    assert "sacctmgr modify account where name=face" in caught.value.hint


def test_users_of_an_account_of_the_site_stay(small):
    site = Account(name="physics", description="physics")
    rows = {("physics", ""): row("physics", "", (), {}), ("physics", "ann"): row("physics", "ann", (), {})}
    observed = applied(small, fresh(small, accounts={"physics": site}, associations=rows))
    assert not plan_of(small, observed)
    assert ("physics", "ann") in observed.associations


def test_a_gres_conf_of_the_site_is_not_overwritten(small):
    plan = plan_of(small, fresh(small, files={"gres.conf": "NodeName=x Name=gpu\n", "aistation.conf": ""}))
    assert "gres.conf" not in {change.path.name for change in plan.changes if isinstance(change, c.WriteFile)}
    assert "gres.conf is the site's own, and is left as it is" in " ".join(plan.notes)


def test_another_file_of_the_site_stands_in_the_way(small):
    with pytest.raises(SpecError, match=r"aistation\.conf: was not written by aistation"):
        plan_of(small, fresh(small, files={"aistation.conf": "PartitionName=x Nodes=y\n"}))


def test_a_file_of_ours_that_was_edited_by_hand_is_shown_as_such(small):
    observed = applied(small)
    edited = observed.files["aistation.conf"].replace("MaxTime=UNLIMITED", "MaxTime=60", 1)
    plan = plan_of(small, replace(observed, files={**observed.files, "aistation.conf": edited}))
    assert "changed by hand since the last apply" in plan.lines()[0]
    assert plan.lines()[1] == "    ~ partition v100  MaxTime 60 -> UNLIMITED"


def test_another_cluster_file_of_the_same_meaning_changes_nothing(small):
    plan = decide(small, applied(small), conf_dir=ETC, gpu_device="/dev/nvidia", source="/tmp/other.yaml")
    assert not plan


def test_slurmctld_that_missed_a_reconfigure_is_told_again(small):
    plan = plan_of(small, replace(applied(small), partitions={}))
    assert plan.lines() == ["~ slurmctld  reconfigure: it does not know partition v100 yet"]


def test_a_partition_changed_by_hand_is_seen_and_one_set_down_is_left(small):
    observed = applied(small)
    short = replace(observed.partitions["v100"], max_time=timedelta(hours=1), state="DOWN")
    down = replace(observed.partitions["v100"], state="DOWN")
    lines = plan_of(small, replace(observed, partitions={**observed.partitions, "v100": short})).lines()
    assert lines == ["~ slurmctld  reconfigure: MaxTime of its partition v100 is not the file's"]
    assert not plan_of(small, replace(observed, partitions={**observed.partitions, "v100": down}))


def test_what_the_site_says_of_all_partitions_is_no_difference_where_the_file_says_nothing(small):
    observed = applied(small)
    inherits = replace(observed.partitions["v100"], default_time=timedelta(hours=1))
    assert small.groups["v100"].default_time is None
    assert not plan_of(small, replace(observed, partitions={**observed.partitions, "v100": inherits}))


def test_a_group_does_not_go_under_its_jobs(small):
    observed = applied(small)
    job = Job(job_id=7, name="x", user="ann", partition="dev", state=JobState.PENDING)
    fewer = changed(small, groups={"v100": small.groups["v100"]})
    plan = plan_of(fewer, replace(observed, jobs=(job,)))
    with pytest.raises(UnsafePlan, match="group 'dev' can't go while it has jobs: 7"):
        plan.raise_if_unsafe(force=True)
    plan_of(fewer, observed).raise_if_unsafe()


def test_nobody_leaves_a_team_while_having_jobs_there(small):
    observed = applied(small)
    job = Job(job_id=7, name="x", user="bob", account="behavior", partition="v100", state=JobState.RUNNING)
    plan = plan_of(with_team(small, "behavior", members=["ann"]), replace(observed, jobs=(job,)))
    with pytest.raises(UnsafePlan, match="bob can't leave team 'behavior' while having jobs there: 7"):
        plan.raise_if_unsafe(force=True)


def test_a_plan_that_takes_too_much_away_refuses_itself(six_teams):
    one = changed(six_teams, teams={"robot": six_teams.teams["robot"]}, groups=without_teams(six_teams))
    plan = plan_of(one, applied(six_teams))
    assert plan.counts["delete"] == 105
    with pytest.raises(UnsafePlan, match="105 of 134 accounts, users and QOS would be deleted"):
        plan.raise_if_unsafe()
    plan.raise_if_unsafe(force=True)


def without_teams(spec: ClusterSpec) -> dict[str, object]:
    return {name: group.model_copy(update={"teams": []}) for name, group in spec.groups.items()}


def test_the_site_is_told_every_line_that_it_lacks(small):
    site = SiteConf(ETC / "slurm.conf", {"gresmypes": ("gpu", "x"), "grestypes": ("gpu", "/etc/slurm/slurm.conf:9")})
    with pytest.raises(SpecErrors) as caught:
        plan_of(small, fresh(small, site=site))
    assert (
        "/etc/slurm/slurm.conf: does not include aistation.conf; add the line: Include aistation.conf"
        in caught.value.hint
    )
    assert (
        "/etc/slurm/slurm.conf:9: GresTypes=gpu does not do; change it to the line: GresTypes=gpu,shard"
        in caught.value.hint
    )
    assert "add the line: PreemptType=preempt/qos" in caught.value.hint


def test_a_line_that_is_not_yet_in_force_is_told(small):
    running = {**site_keys(small), "AccountingStorageEnforce": "none"}
    notes = plan_of(small, fresh(small, config=running)).notes
    assert notes == ("slurm.conf:1: slurmctld still runs with AccountingStorageEnforce=none; restart it",)


def test_a_file_for_another_cluster_is_refused(small):
    keys = {**fresh(small).site.keys, "clustername": ("other", "slurm.conf:3")}
    site = SiteConf(ETC / "slurm.conf", keys, includes=["aistation.conf"])
    with pytest.raises(SpecError, match="this is cluster 'other', not 'small'"):
        plan_of(small, fresh(small, site=site))


def test_a_partition_that_stands_in_the_sites_file_too_is_refused(small):
    site = replace(fresh(small).site, partitions={"v100": "slurm.conf:12"})
    with pytest.raises(SpecError, match=r"slurm\.conf:12: partition v100 stands here too"):
        plan_of(small, fresh(small, site=site))


def test_a_node_that_slurmctld_does_not_know_is_refused_with_its_line(small):
    nodes = [node for node in nodes_of(small) if node.name != "v100-02"]
    with pytest.raises(SpecError, match="slurmctld knows no node v100-02") as caught:
        plan_of(small, fresh(small, nodes={node.name: node for node in nodes}))
    assert "NodeName=v100-02 CPUs=8 RealMemory=16384 Gres=gpu:v100:2" in caught.value.hint


def test_nodes_without_their_shares_are_refused_with_their_line(small):
    nodes = [replace(node, gres=node.gres[:1]) for node in nodes_of(small)]
    with pytest.raises(SpecError, match=r"dev-01 has Gres=shard:0, not 8") as caught:
        plan_of(small, fresh(small, nodes={node.name: node for node in nodes}))
    assert "NodeName=dev-01 CPUs=8 RealMemory=16384 Gres=gpu:gtx1080ti:2,shard:8" in caught.value.hint


NAMES = st.lists(st.sampled_from(["ann", "bob", "chen", "eve", "finn", "gwen"]), unique=True)


@st.composite
def specs(draw: st.DrawFn) -> ClusterSpec:
    """Yield the small cluster with other teams, quotas and groups."""
    spec = SMALL
    teams = {}
    for name in draw(st.lists(st.sampled_from(["behavior", "face", "robot"]), unique=True)):
        members = draw(NAMES)
        urgent = draw(st.lists(st.sampled_from(members), unique=True)) if members else []
        team = spec.teams["face"].model_copy(update={"members": members, "emergency": urgent})
        quota = draw(st.fixed_dictionaries({}, optional={"gpu": st.integers(0, 9), "jobs": st.integers(0, 9)}))
        teams[name] = team.model_copy(update={"quota": team.quota.model_copy(update=quota)})
    kept = draw(st.lists(st.sampled_from(sorted(spec.groups)), unique=True, min_size=1))
    groups = {name: spec.groups[name] for name in spec.groups if name in kept}
    return spec.model_copy(update={"teams": teams, "groups": groups})


@given(st.lists(specs(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_whatever_the_file_was_before_the_second_plan_is_empty(files):
    observed = fresh(SMALL)
    for spec in files:
        observed = applied(spec, observed)
        assert not plan_of(spec, observed)
