"""Planning right after an import changes nothing, whatever the site is like; and what we made comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster.imported import Seen, tell
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.plan import decide
from aistation_slurm.cluster.rules.policy import table_text
from aistation_slurm.cluster.site.conf import SiteConf
from aistation_slurm.cluster.wanted.desired import desired
from aistation_slurm.cluster.wanted.files import wanted_files
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Limits, Node, Partition, Qos
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.slurm.tres import Gres
from aistation_slurm.spec import ClusterSpec, Quota, is_name, load_spec
from tests.unit.test_cluster_plan import applied, plan_of
from tests.unit.test_slurm_recorded import replay

UNIT = Path(__file__).resolve().parent
EXAMPLES = UNIT.parents[1] / "slurm_conf" / "examples"
RECORDED = UNIT.parent / "recorded"
SITES = sorted(path.parent for path in RECORDED.glob("sites/*/slurm.conf"))
ETC = Path("/etc/slurm")
ASKED = {
    "nodes": commands.show_nodes,
    "partitions": commands.show_partitions,
    "qos": commands.show_qos,
    "accounts": commands.show_accounts,
    "associations": lambda: commands.show_associations("small"),
}


@pytest.fixture(scope="module")
def tmp(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("imported") / "cluster.yaml"


def imported(observed: Observed, path: Path, *, before: str = "") -> tuple[ClusterSpec, str]:
    """Return the imported file, read back; `before` is the file that was applied last."""
    text = str(tell(Seen(observed, before=before)))
    path.write_text(text)
    return load_spec(path), text


def shown(spec: ClusterSpec, observed: Observed | None = None) -> Observed:
    """Return what Slurm shows once the cluster file was applied."""
    after = applied(spec, observed)
    partitions = {name: replace(each, is_default=name == spec.default_group) for name, each in after.partitions.items()}
    return replace(after, partitions=partitions)


def meaning(spec: ClusterSpec) -> tuple[object, ...]:
    """Return all that the cluster file wants of Slurm; a weight of 1 is what every account has."""
    teams = {name: team.model_copy(update={"weight": team.weight or 1}) for name, team in spec.teams.items()}
    return (
        desired(spec.model_copy(update={"teams": teams})),
        wanted_files(spec, gpu_device="/dev/nvidia", source="x"),
        table_text(spec),
    )


@pytest.mark.parametrize("name", ["small", "eight-machines", "six-teams"])
def test_what_we_made_comes_back_as_it_was(name, tmp):
    spec = load_spec(EXAMPLES / f"{name}.yaml")
    observed = shown(spec)
    found, text = imported(observed, tmp)
    assert meaning(found) == meaning(spec)
    assert not plan_of(found, observed)
    assert "site" not in text.partition("cluster:")[2]
    assert ("Note: calendar: no Slurm tells the hours of QOS night" in text) == spec.calendar.has_nights


@pytest.mark.parametrize("name", ["small", "eight-machines", "six-teams"])
def test_what_slurm_has_no_word_for_is_taken_from_the_file_that_was_applied_last(name, tmp):
    path = EXAMPLES / f"{name}.yaml"
    spec = load_spec(path)
    found, text = imported(shown(spec), tmp, before=path.read_text())
    assert "Left out" not in text
    assert "Note" not in text
    assert meaning(found) == meaning(spec)
    for key in ("timezone", "calendar", "environments"):
        assert getattr(found, key) == getattr(spec, key)
    assert [team.description for team in found.teams.values()] == [team.description for team in spec.teams.values()]
    assert [group.cache for group in found.groups.values()] == [group.cache for group in spec.groups.values()]


def test_a_file_of_another_cluster_or_of_none_that_can_be_read_is_not_remembered(tmp):
    spec = load_spec(EXAMPLES / "small.yaml")
    for before in ("cluster: other\ngroups: {}\n", "no: [yaml", (EXAMPLES / "six-teams.yaml").read_text()):
        found, _ = imported(shown(spec), tmp, before=before)
        assert found.timezone == "UTC"
        assert not any(team.description for team in found.teams.values())


def a_site(answer: Callable[[str], list[Any]]) -> Observed:
    """Return what a real Slurm showed; `answer` reads a recorded one."""
    rows = answer("associations")
    return Observed(
        cluster=rows[0].cluster,
        site=SiteConf(ETC / "slurm.conf", {"clustername": (rows[0].cluster, "slurm.conf:1")}),
        files={},
        qos={each.name: each for each in answer("qos")},
        accounts={each.name: each for each in answer("accounts")},
        associations={(each.account, each.user): each for each in rows if not each.partition},
        nodes={each.name: each for each in answer("nodes")},
        partitions={each.name: each for each in answer("partitions")},
    )


def recorded_site(folder: Path) -> tuple[Observed, list[Association]]:
    """Return what a site of its own showed, and its associations with one partition alone."""

    def answer(name: str) -> list[Any]:
        argv, _, text = (folder / f"{name}.txt").read_text().split("\n", 2)
        assert tuple(json.loads(argv)) == ASKED[name]().argv
        return ASKED[name]().read(text)

    return a_site(answer), [row for row in answer("associations") if row.partition]


@pytest.mark.parametrize("folder", SITES, ids=lambda path: path.name)
def test_a_site_of_its_own_becomes_this_file_and_planning_right_after_changes_nothing(folder, tmp):
    observed, narrow = recorded_site(folder)
    text = str(tell(Seen(observed, narrow)))
    assert text == (folder / "expected.yaml").read_text()
    tmp.write_text(text)
    spec = load_spec(tmp)
    assert not spec.is_ours
    assert not plan_of(spec, observed)


@pytest.mark.parametrize("release", sorted(RECORDED.glob("slurm-*")), ids=lambda path: path.name)
def test_planning_right_after_importing_what_a_real_slurm_showed_changes_nothing(release, tmp):
    observed = a_site(partial(replay, release))
    spec, text = imported(observed, tmp)
    assert not plan_of(spec, observed)
    assert list(spec.groups) == ["v100", "p100_shar"]
    assert spec.groups["v100"].quota.per_user.gpu_types == {"v100": 4}
    assert spec.teams["behavior"].quota == Quota(gpu=24, cpu=100, memory="500G")
    assert (spec.teams["face"].quota.jobs, spec.teams["face"].quota.submitted) == (5, 10)
    assert not spec.is_ours
    assert "# Note: account behavior: our mark, but no QOS development of ours: left to the site" in text
    assert "# Left out: partition locked: its nodes are in group p100_shar already" in text


def test_what_somebody_changed_by_hand_in_an_account_of_ours_is_said(tmp):
    spec = load_spec(EXAMPLES / "small.yaml")
    observed = shown(spec)
    ann = observed.associations["behavior", "ann"]
    more = replace(ann, limits=replace(ann.limits, grp_tres={"gres/gpu": 12}))
    observed = replace(observed, associations={**observed.associations, ("behavior", "ann"): more})
    found, text = imported(observed, tmp)
    (line,) = plan_of(found, observed).lines()
    assert line == "~ user ann  in behavior GrpTRES gres/gpu=12 -> cpu=30,gres/gpu=6,mem=60G"
    assert f"what `plan` would change: {line}" in text
    assert found.quota.per_user.gpu == 6


def test_a_site_beside_what_is_ours_stays_the_sites(tmp):
    spec = load_spec(EXAMPLES / "small.yaml")
    observed = shown(spec)
    physics = Association(cluster="small", account="physics", parent="root", share=30)
    observed = replace(
        observed,
        accounts={**observed.accounts, "physics": Account(name="physics", description="physics")},
        associations={**observed.associations, ("physics", ""): physics},
        nodes={**observed.nodes, "old-1": a_node("old-1", "k80", 4)},
        partitions={**observed.partitions, "old": Partition(name="old", nodes="old-1", max_time=timedelta(days=3))},
    )
    found, _ = imported(observed, tmp)
    assert not plan_of(found, observed)
    assert list(found.managed_groups()) == ["v100", "dev"]
    assert list(found.managed_teams()) == ["behavior", "face"]
    assert (found.groups["old"].gpu_type, found.groups["old"].max_time) == ("k80", timedelta(days=3))
    assert found.teams["physics"].weight == 30


def test_a_tree_of_accounts_keeps_its_parents_weights_and_coordinators(tmp):
    above = {"science": "root", "physics": "science", "lasers": "physics", "ultrafast": "lasers"}
    rows = [Association(cluster="lab", account="root"), Association(cluster="lab", account="root", user="root")]
    rows += [
        Association(cluster="lab", account=name, parent=parent, share=n)
        for n, (name, parent) in enumerate(above.items(), 1)
    ]
    rows += [Association(cluster="lab", account="ultrafast", user=user, qos=("normal",)) for user in ("ann", "bob")]
    accounts = {name: Account(name=name, coordinators=("bob", "eve") if name == "ultrafast" else ()) for name in above}
    observed = a_slurm(
        [a_node("g-1", "v100", 2)], [Partition(name="gpu", nodes="g-1", allow_accounts=("physics",))], rows, accounts
    )
    spec, text = imported(observed, tmp)
    assert {name: team.parent for name, team in spec.teams.items()} == {**above, "science": None}
    assert [team.weight for team in spec.teams.values()] == [None, 2, 3, 4]
    assert spec.teams["ultrafast"].coordinators == ["bob"]
    assert spec.allowed_teams("gpu") == ("physics", "lasers", "ultrafast")
    assert "# Left out: coordinator eve of account ultrafast: not a member of it" in text


def test_of_partitions_that_share_their_nodes_the_one_for_everybody_becomes_the_group(tmp):
    nodes = [a_node(f"g-{number}", "v100", 2) for number in range(1, 5)] + [a_node("a-1", "a100", 8)]
    partitions = [
        Partition(name="debug", nodes="g-1", max_time=timedelta(hours=1)),
        Partition(name="hidden", nodes="g-[1-4]", is_hidden=True),
        Partition(name="every", nodes="g-[1-4],a-1"),
        Partition(name="gpu", nodes="g-[1-4]", is_default=True),
        Partition(name="a100", nodes="a-1"),
    ]
    spec, text = imported(a_slurm(nodes, partitions), tmp)
    assert list(spec.groups) == ["gpu", "a100"]
    assert spec.default_group == "gpu"
    for name in ("debug", "hidden", "every"):
        assert f"# Left out: partition {name}: its nodes are in group " in text


def test_shares_by_mps_and_by_shard_are_told_apart(tmp):
    nodes = [a_node("s-1", "v100", 2, shard=8), a_node("m-1", "v100", 2, mps=200), a_node("w-1", "v100", 2, mps=16)]
    partitions = [Partition(name=each.name.partition("-")[0], nodes=each.name) for each in nodes]
    spec, text = imported(a_slurm(nodes, partitions), tmp)
    assert {name: (group.sharing, group.shards_per_gpu) for name, group in spec.groups.items()} == {
        "s": ("shard", 4),
        "m": ("mps", 64),
        "w": ("mps", 8),
    }
    assert "partition m: each GPU is shared by 100 (mps), of which the file can say 64" in text


def test_the_limits_of_the_one_qos_that_all_users_have_are_the_quota_over_all_groups(tmp):
    rows = [Association(cluster="lab", account="a"), Association(cluster="lab", account="a", user="ann", qos=("std",))]
    std = Qos(name="std", limits=Limits(max_tres_per_user={"gres/gpu": 8, "node": 2}, max_jobs_per_user=5))
    long = Qos(name="long", priority=7, limits=Limits(max_wall=timedelta(days=9)))
    observed = a_slurm([a_node("g-1", "v100", 2)], [Partition(name="gpu", nodes="g-1")], rows, qos=[std, long])
    spec, text = imported(observed, tmp)
    assert spec.quota.per_user == Quota(gpu=8, nodes=2, jobs=5)
    assert "QOS long, which nobody may use: Priority=7 MaxWall=9-00:00:00: no key says that" in text


def a_node(name: str, gpu: str, gpus: int, **shares: int) -> Node:
    gres = [Gres(name="gpu", type=gpu, count=gpus)] if gpus else []
    gres += [Gres(name=kind, type="", count=count) for kind, count in shares.items() if count]
    return Node(name=name, state=NodeState.parse("IDLE"), cpus=32, memory=128_000, gres=tuple(gres))


def a_slurm(
    nodes: list[Node],
    partitions: list[Partition],
    rows: list[Association] | None = None,
    accounts: dict[str, Account] | None = None,
    qos: list[Qos] | None = None,
) -> Observed:
    """Return a site's own Slurm, with a slurm.conf that knows nothing of us."""
    names = dict.fromkeys(row.account for row in rows or [])
    return Observed(
        cluster="lab",
        site=SiteConf(ETC / "slurm.conf", {"clustername": ("lab", "slurm.conf:1")}),
        files={"gres.conf": "AutoDetect=nvml\n"},
        qos={each.name: each for each in [Qos(name="normal"), *(qos or [])]},
        accounts=accounts or {name: Account(name=name) for name in names},
        associations={(row.account, row.user): row for row in rows or []},
        nodes={each.name: each for each in nodes},
        partitions={each.name: each for each in partitions},
    )


ODD = st.sampled_from(
    ["a", "b", "gpu", "no", "1e3", "08", "Ann", "a b", "root", "all", "x:y", "é", "d" * 45, "a=b", "~"]
)
USERS = st.sampled_from(["ann", "bob", "chen", "DOMAIN\\eve", "root", "é"])
AMOUNTS = st.dictionaries(
    st.sampled_from(["gres/gpu", "gres/gpu:v100", "gres/gpu:a100", "gres/shard", "cpu", "mem", "node", "billing"]),
    st.integers(0, 2000),
    max_size=3,
)
COUNTS = st.none() | st.integers(0, 50)
LIMITS = st.builds(
    Limits,
    grp_tres=AMOUNTS,
    grp_jobs=COUNTS,
    grp_submit_jobs=COUNTS,
    max_tres_per_job=AMOUNTS,
    max_tres_per_user=AMOUNTS,
    max_tres_per_account=AMOUNTS,
    max_jobs_per_user=COUNTS,
    max_submit_jobs_per_account=COUNTS,
    max_wall=st.none() | st.just(timedelta(hours=5)),
)
TIMES = st.none() | st.sampled_from([timedelta(minutes=5), timedelta(days=2)])


MARKS = st.sampled_from(["the site's", MARK])


@st.composite
def sites(draw: st.DrawFn) -> Observed:
    """Yield a site: any partitions over any nodes, any tree of accounts, any limits, our mark on some of it."""
    nodes = [
        a_node(f"n-{number}", draw(st.sampled_from(["v100", "a100", "", "x" * 50])), gpus, shard=2 * gpus)
        for number, gpus in enumerate(draw(st.lists(st.integers(0, 4), max_size=6)))
    ]
    nodes.append(a_node("s-1", "v100", 2))
    qos = {name: Qos(name=name, description=draw(MARKS)) for name in ("normal", "emergency")}
    for name in draw(st.lists(st.sampled_from(["std", "long", "group-gpu", "development"]), unique=True)):
        qos[name] = Qos(name=name, limits=draw(LIMITS), description=draw(MARKS))
    names = draw(st.lists(ODD, unique=True, max_size=5))
    rows = [Association(cluster="lab", account="root"), Association(cluster="lab", account="root", user="root")]
    for number, name in enumerate(names):
        rows += accounts(draw, name, draw(st.sampled_from(["root", *names[:number]])), sorted(qos))
    partitions = {name: a_partition(draw, name, nodes, qos, names) for name in draw(st.lists(ODD, unique=True))}
    partitions["sure"] = Partition(name="sure", nodes="s-1")
    people = {name: tuple(draw(st.lists(USERS, unique=True, max_size=2))) for name in names}
    marks = {name: draw(MARKS) if is_name(name) else "" for name in names}
    return replace(
        a_slurm(nodes, list(partitions.values()), rows),
        qos=qos,
        accounts={name: Account(name=name, description=marks[name], coordinators=people[name]) for name in names},
    )


def accounts(draw: st.DrawFn, name: str, parent: str, qos: list[str]) -> list[Association]:
    """Return an account's own row and those of its users."""
    share = st.sampled_from([1, 7, None])
    own = Association(cluster="lab", account=name, parent=parent, limits=draw(LIMITS), share=draw(share))
    rights = st.lists(st.sampled_from(qos), unique=True).map(tuple)
    users = draw(st.lists(USERS, unique=True, max_size=3))
    return [
        own,
        *(Association(cluster="lab", account=name, user=user, qos=draw(rights), limits=draw(LIMITS)) for user in users),
    ]


def a_partition(draw: st.DrawFn, name: str, nodes: list[Node], qos: dict[str, Qos], accounts: list[str]) -> Partition:
    some = draw(st.lists(st.sampled_from([node.name for node in nodes]), unique=True, min_size=1))
    return Partition(
        name=name,
        nodes=fold(some),
        is_default=draw(st.booleans()),
        is_hidden=draw(st.booleans()),
        qos=draw(st.sampled_from(["", *qos])),
        allow_accounts=tuple(draw(st.lists(st.sampled_from(["root", *accounts]), unique=True))),
        max_time=draw(TIMES),
        default_time=draw(TIMES),
        max_nodes=draw(COUNTS),
    )


@given(sites())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_site_is_like_its_file_loads_and_planning_right_after_changes_nothing_of_the_sites(tmp, observed):
    spec, text = imported(observed, tmp)
    if spec.is_ours:
        return
    plan = decide(spec, observed, conf_dir=ETC, gpu_device="/dev/nvidia", source="x")
    unused = [line for line in plan.lines() if line.startswith("- qos ")]
    assert plan.lines() == unused
    assert all(observed.is_our_qos(name) for line in unused for name in line.removeprefix("- qos ").split(","))
    assert bool(unused) == ("what `plan` would change: - qos" in text)
