"""The rules of submission, run by a real Lua 5.1 as slurmctld does: what a user reads, and what Slurm then gets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aistation_slurm.cluster.rules.policy import TABLE
from aistation_slurm.jobs.fit import Adjustment
from aistation_slurm.spec import ClusterSpec, load_spec
from tests.unit.lua_command import LuaCommand
from tests.unit.lua_slurmctld import ERROR, NO_TEAM, REFUSED, SLURM_USER, LuaSlurmctld

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "slurm_conf" / "examples"
SIX_TEAMS = load_spec(EXAMPLES / "six-teams.yaml")

Make = Callable[..., LuaSlurmctld]


@pytest.fixture(scope="module")
def make(tmp_path_factory) -> Make:
    """`make(over_request="refuse")`: a slurmctld with the rules of the six teams, or of another cluster file."""

    def made(spec: ClusterSpec = SIX_TEAMS, *, release: tuple[int, int] = (24, 11), **changed: object) -> LuaSlurmctld:
        return LuaSlurmctld(spec.model_copy(update=changed), tmp_path_factory.mktemp("etc"), release=release)

    return made


@pytest.fixture(scope="module")
def ctld(make) -> LuaSlurmctld:
    return make()


@pytest.mark.parametrize("words", ["gres:gpu:16", "gres/gpu:16", "gpu:16", "gres:gpu:v100:16", "gres/gpu:v100=16"])
def test_more_gpus_than_a_node_has_become_more_nodes_in_the_words_of_every_release(ctld, words):
    answer = ctld.submit(tres_per_node=words, min_nodes=1, max_nodes=1)

    assert answer.is_accepted
    assert answer.said == (
        str(Adjustment("gpus_per_node", 16, 8, "a node of v100 has no more")),
        str(Adjustment("nodes", 1, 2, "so that there are 16 GPUs in all")),
    )
    assert (answer.job["min_nodes"], answer.job["max_nodes"]) == (2, 2)
    assert answer.job["tres_per_node"] == words.replace("16", "8")


def test_what_fits_is_left_as_it_is(ctld):
    for fields in ({"tres_per_node": "gres:gpu:8", "min_nodes": 2}, {"tres_per_job": "gres:gpu:16"}, {}):
        answer = ctld.submit(**fields)
        assert (answer.code, answer.said) == (0, ())
        assert {key: answer.job[key] for key in fields} == fields
        assert "partition" not in answer.job


def test_a_job_without_gpus_is_untouched_however_large(ctld):
    wishes = {"min_nodes": 500, "min_mem_per_node": 10**9, "cpus_per_task": 900, "min_cpus": 900}
    answer = ctld.submit(**wishes)
    assert (answer.code, answer.said) == (0, ())
    assert {key: answer.job[key] for key in wishes} == wishes


def test_more_gpus_than_the_quota_allows_at_all_become_fewer(ctld):
    answer = ctld.submit(tres_per_job="gres:gpu:24")
    assert answer.said == ("gpus: 24 -> 16 (a user may have 16 GPUs of v100)",)
    assert answer.job["tres_per_job"] == "gres:gpu:16"


def test_the_quota_over_all_groups_holds_where_the_groups_own_is_larger(make):
    answer = make().submit("eve", partition="p100_shar", tres_per_job="gres:gpu:32")
    assert answer.said == ("gpus: 32 -> 24 (a user may have 24 GPUs in all)",)


def test_a_teams_quota_is_the_least_of_all(make):
    quota = SIX_TEAMS.teams["behavior"].quota.model_copy(update={"gpu": 6})
    teams = {**SIX_TEAMS.teams, "behavior": SIX_TEAMS.teams["behavior"].model_copy(update={"quota": quota})}
    answer = make(teams=teams).submit(tres_per_job="gres:gpu:8")
    assert answer.said == ("gpus: 8 -> 6 (team behavior may have 6 GPUs in all)",)


def test_a_total_that_nodes_cannot_share_evenly_becomes_the_next_smaller(ctld):
    answer = ctld.submit(tres_per_node="gres:gpu:11")
    assert answer.job["tres_per_node"] == "gres:gpu:5"
    assert answer.job["min_nodes"] == 2
    assert answer.said[-1] == "gpus: 11 -> 10 (the same on each node)"


def test_the_tasks_of_a_node_are_spread_with_its_gpus(ctld):
    answer = ctld.submit(tres_per_node="gres:gpu:16", min_nodes=1, ntasks_per_node=16, num_tasks=16, min_cpus=16)
    assert "ntasks_per_node: 16 -> 8 (as many in all)" in answer.said
    assert (answer.job["num_tasks"], answer.job["ntasks_per_node"]) == (16, 8)


def test_gpus_for_each_task_are_those_of_one_node_and_tasks_as_many_as_the_quota_has_gpus(ctld):
    answer = ctld.submit(tres_per_task="gres:gpu:9", num_tasks=4, min_cpus=8, cpus_per_task=2)
    assert answer.said == (
        "gpus_per_task: 9 -> 8 (a node of v100 has no more)",
        "ntasks: 4 -> 2 (a user may have 16 GPUs of v100)",
    )
    assert (answer.job["tres_per_task"], answer.job["num_tasks"], answer.job["min_cpus"]) == ("gres:gpu:8", 2, 4)


def test_cpus_and_memory_of_a_node_are_its_own(ctld):
    answer = ctld.submit(tres_per_node="gres:gpu:1", min_mem_per_node=524288, cpus_per_task=100, min_cpus=100)
    assert answer.said == (
        "cpus_per_task: 100 -> 64 (a node of v100 has no more)",
        "memory_per_node: 512G -> 256G (a node of v100 has no more)",
    )
    assert (answer.job["min_cpus"], answer.job["min_mem_per_node"]) == (64, 262144)


def test_cpus_and_memory_for_each_gpu_are_its_share_of_the_node(ctld):
    answer = ctld.submit(tres_per_node="gres/gpu:8", cpus_per_tres="gres/gpu:16", mem_per_tres="gres/gpu:65536")
    assert answer.job["cpus_per_tres"] == "gres/gpu:8"
    assert answer.job["mem_per_tres"] == "gres/gpu:32768"


def test_memory_for_each_cpu_counts_the_cpus_that_come_with_the_gpus_unless_a_task_says_its_own(ctld):
    share = ctld.submit(tres_per_job="gres:gpu:1", min_mem_per_cpu=65536)
    assert share.said == ("memory_per_cpu: 64G -> 32G (a node of v100 has no more)",)
    both = ctld.submit(tres_per_job="gres:gpu:2", min_mem_per_cpu=32768, max_nodes=1, min_nodes=1)
    assert both.said == ("memory_per_cpu: 32G -> 16G (a node of v100 has no more)",)
    own = ctld.submit(tres_per_job="gres:gpu:1", min_mem_per_cpu=65536, cpus_per_task=2)
    assert own.said == ()


def test_the_scripts_environment_says_what_the_job_now_has(ctld):
    environment = {
        "PATH": "/bin",
        "SLURM_GPUS_PER_NODE": "v100:16",
        "SLURM_NTASKS": "1",
        "SLURM_NPROCS": "1",
        "A": "16",
    }
    answer = ctld.submit(tres_per_node="gres:gpu:v100:16", num_tasks=1, environment=environment)
    assert answer.job["environment"] == {
        "PATH": "/bin", "SLURM_GPUS_PER_NODE": "v100:8", "SLURM_NTASKS": "2", "SLURM_NPROCS": "2", "A": "16",
    }  # fmt: skip


def test_srun_and_salloc_are_told_what_to_ask_for_since_they_keep_to_their_own_request(ctld):
    answer = ctld.submit(script=None, tres_per_node="gres:gpu:16")
    assert answer.code == REFUSED
    assert answer.said == (
        "refused, this is more than fits; what would fit:",
        "gpus_per_node: 16 -> 8 (a node of v100 has no more)",
        "nodes: 1 -> 2 (so that there are 16 GPUs in all)",
        "ask for it so: --gpus-per-node=8 --nodes=2",
    )
    assert answer.job["tres_per_node"] == "gres:gpu:16"


def test_each_part_of_a_het_job_is_made_to_fit_though_only_the_first_has_the_script(ctld):
    answer = ctld.submit(script=None, het_job_offset=1, environment={"PATH": "/bin"}, tres_per_node="gres:gpu:16")
    assert answer.is_accepted
    assert answer.job["tres_per_node"] == "gres:gpu:8"


def test_a_file_that_says_remind_leaves_the_job_alone_and_says_what_would_fit(make):
    answer = make(over_request="remind").submit(tres_per_node="gres:gpu:16")
    assert answer.is_accepted
    assert answer.said[0] == "this is more than fits, and is left as it is; what would fit:"
    assert "gpus_per_node: 16 -> 8 (a node of v100 has no more)" in answer.said
    assert answer.job["tres_per_node"] == "gres:gpu:16"


def test_a_reminder_never_says_that_it_refuses(make):
    answer = make(over_request="remind").submit(partition="1080ti_dev", tres_per_node="gres:gpu:1")
    assert answer.is_accepted
    assert answer.said == ("no part of this fits into 1080ti_dev (a development environment has no more)",)


def test_who_is_in_no_team_is_left_for_slurm_to_refuse(ctld):
    answer = ctld.submit("nobody", partition="2080ti", tres_per_node="gres:gpu:16")
    assert (answer.code, answer.said) == (0, ())


def test_a_file_that_says_refuse_refuses_and_says_what_would_fit(make):
    answer = make(over_request="refuse").submit(tres_per_node="gres:gpu:16")
    assert answer.code == REFUSED
    assert answer.said[-1] == "ask for it so: --gpus-per-node=8 --nodes=2"
    assert answer.job["tres_per_node"] == "gres:gpu:16"


def test_a_gpu_type_leads_to_the_group_that_has_it_and_is_not_shared(ctld):
    answer = ctld.submit(tres_per_job="gres:gpu:p100:4")
    assert answer.job["partition"] == "p100"
    assert answer.said == ("partition: none -> p100 (its GPUs are p100)",)


def test_a_team_is_led_to_the_group_that_it_may_use(ctld):
    assert ctld.submit("gwen", tres_per_job="gres:gpu:p100:4").job["partition"] == "p100_shar"


def test_a_job_without_a_group_goes_where_its_team_may_if_the_default_one_is_closed_to_it(make):
    groups = {**SIX_TEAMS.groups, "v100": SIX_TEAMS.groups["v100"].model_copy(update={"teams": ["face"]})}
    answer = make(groups=groups).submit("gwen", tres_per_job="gres:gpu:4")
    assert answer.said == ("partition: none -> p100_shar (team speech may use it)",)


def test_a_team_is_told_which_groups_it_may_use(ctld):
    for fields in ({"partition": "2080ti", "tres_per_job": "gres:gpu:4"}, {"tres_per_job": "gres:gpu:rtx2080ti:4"}):
        answer = ctld.submit("gwen", **fields)
        assert answer.code == NO_TEAM
        assert answer.said == (
            "team speech may not use 2080ti (face, robot may)",
            "it may use: p100_shar, v100, 1080ti_dev",
        )


def test_shares_go_to_the_group_for_development_when_that_is_what_they_are_for(ctld):
    answer = ctld.submit(tres_per_node="gres:shard:1", qos="development")
    assert answer.job["partition"] == "1080ti_dev"


def test_nobody_needs_to_say_the_qos_of_a_group_for_development(ctld):
    answer = ctld.submit(partition="1080ti_dev", tres_per_node="gres:shard:4")
    assert answer.job["qos"] == "development"
    assert answer.job["tres_per_node"] == "gres:shard:1"
    assert answer.said == ("shards: 4 -> 1 (a development environment has no more)",)
    assert ctld.submit(partition="1080ti_dev", qos="normal").job["qos"] == "normal"


def test_what_can_never_fit_is_refused_with_the_reason(ctld):
    answer = ctld.submit(partition="1080ti_dev", tres_per_node="gres:gpu:1")
    assert answer.code == REFUSED
    assert answer.said == ("refused: no part of this fits into 1080ti_dev (a development environment has no more)",)


def test_gpus_of_a_type_that_the_named_group_has_not_are_said_to_be_elsewhere(ctld):
    answer = ctld.submit("gwen", partition="v100", tres_per_job="gres:gpu:p100:2")
    assert (answer.code, answer.said) == (0, ("v100 has no GPUs of type p100; they are in p100_shar",))
    assert ctld.submit(partition="v100", tres_per_job="gres:gpu:h100:2").said == ("v100 has no GPUs of type h100",)


def test_a_type_that_no_group_has_is_answered_with_those_that_there_are(ctld):
    answer = ctld.submit(tres_per_job="gres:gpu:h100:2")
    assert (answer.code, answer.said) == (
        0, ("no group has GPUs of type h100; there are p100, v100, rtx2080ti, gtx1080ti",),
    )  # fmt: skip
    assert ctld.submit(tres_per_job="gres:gpu:h100:2", site_default="theirs").said == ()


def test_no_gpus_are_no_request_for_gpus(ctld):
    answer = ctld.submit(tres_per_job="gres:gpu:0", min_nodes=5, max_nodes=5)
    assert (answer.code, answer.said, answer.job["min_nodes"]) == (0, (), 5)


def test_the_partitions_of_the_site_are_the_sites_business(ctld, make):
    for partition in ("theirs", "v100,theirs"):
        answer = ctld.submit(partition=partition, tres_per_node="gres:gpu:99")
        assert (answer.code, answer.said, answer.job["tres_per_node"]) == (0, (), "gres:gpu:99")
    own_default = make(default_group=None).submit(site_default="theirs", tres_per_node="gres:gpu:99")
    assert "partition" not in own_default.job


def test_of_several_groups_the_smallest_node_counts(ctld, make):
    v100 = SIX_TEAMS.groups["v100"].model_copy(update={"gpus_per_node": 4})
    answer = make(groups={**SIX_TEAMS.groups, "v100": v100}).submit(partition="v100,p100", tres_per_node="gres:gpu:8")
    assert answer.said[0] == "gpus_per_node: 8 -> 4 (a node of v100 has no more)"


@pytest.mark.parametrize("uid", [0, SLURM_USER])
def test_root_and_slurms_own_user_pass(ctld, uid):
    answer = ctld.submit(uid=uid, tres_per_node="gres:gpu:99", qos="emergency")
    assert (answer.code, answer.said) == (0, ())


BEFORE = {"account": "behavior", "partition": "v100", "qos": "normal", "tres_per_node": "gres:gpu:1", "min_nodes": 1}


def test_an_update_goes_by_the_same_rules(ctld):
    answer = ctld.modify(before=BEFORE, tres_per_node="gres:gpu:16")
    assert answer.said[0] == "gpus_per_node: 16 -> 8 (a node of v100 has no more)"
    assert (answer.job["tres_per_node"], answer.job["min_nodes"]) == ("gres:gpu:8", 2)
    assert "nodes: 99 -> 8 (v100 has no more)" in ctld.modify(before=BEFORE, min_nodes=99).said
    assert ctld.modify("gwen", before={**BEFORE, "account": "speech"}, partition="2080ti").code == NO_TEAM


def test_an_update_that_touches_no_size_passes_whatever_the_job_had(ctld):
    answer = ctld.modify(before={**BEFORE, "tres_per_node": "gres:gpu:16"})
    assert (answer.code, answer.said) == (0, ())
    assert "tres_per_node" not in answer.job


def test_a_running_job_is_not_resized(ctld):
    answer = ctld.modify(before={**BEFORE, "job_state": 1}, tres_per_node="gres:gpu:16")
    assert (answer.code, answer.said) == (0, ())


def test_where_slurm_does_not_tell_of_an_update_it_is_refused_rather_than_changed_in_silence(make):
    answer = make(release=(22, 5)).modify(before=BEFORE, tres_per_node="gres:gpu:16")
    assert answer.code == REFUSED
    assert answer.job["tres_per_node"] == "gres:gpu:16"


def test_a_job_that_moves_to_a_group_for_development_gets_its_qos(ctld):
    assert ctld.modify(before={**BEFORE, "tres_per_node": None}, partition="1080ti_dev").job["qos"] == "development"


def test_without_its_table_nobody_but_root_submits(tmp_path):
    ctld = LuaSlurmctld(SIX_TEAMS, tmp_path, table="this is no Lua")
    for answer in (ctld.submit(), ctld.modify(before=BEFORE, min_nodes=2)):
        assert answer.code == ERROR
        assert len(answer.said) == 1
        assert "tell your administrator" in answer.said[0]
        assert TABLE in answer.logged[0]
    assert ctld.submit(uid=0).is_accepted


def test_an_error_in_the_rules_refuses_the_job(tmp_path):
    ctld = LuaSlurmctld(SIX_TEAMS, tmp_path, table="return {exempt = {}, teams = {}}")
    answer = ctld.submit(tres_per_node="gres:gpu:1")
    assert answer.code == ERROR
    assert len(answer.said) == 1
    assert len(answer.logged) == 1


@pytest.mark.parametrize("version", ["lua51", "lua53", "lua54"])
def test_the_rules_are_the_same_in_every_lua_that_slurm_may_be_built_with(tmp_path, ctld, version):
    other = LuaSlurmctld(SIX_TEAMS, tmp_path, lua=pytest.importorskip(f"lupa.{version}"))
    for fields in OF_THE_PAGE:
        assert other.submit(**fields) == ctld.submit(**fields)


TOLD = re.compile(r"^(?:sbatch|srun): (?:error: )?(.*)$", re.MULTILINE)
OF_THE_PAGE = (
    {"tres_per_node": "gres:gpu:16", "min_nodes": 1, "max_nodes": 1},
    {"tres_per_job": "gres:gpu:1", "cpus_per_task": 100, "pn_min_cpus": 100, "min_mem_per_node": 524288},
    {"tres_per_job": "gres:gpu:24"},
    {"tres_per_node": "gres:gpu:16", "script": None},
    {"tres_per_job": "gres:gpu:p100:4"},
    {"user": "gwen", "partition": "2080ti", "tres_per_job": "gres:gpu:4"},
    {"qos": "emergency", "tres_per_job": "gres:gpu:4"},
)


def test_the_page_shows_what_users_read(ctld):
    shown = [
        line for line in TOLD.findall((ROOT / "docs" / "submission.md").read_text()) if "job submission" not in line
    ]
    told = [list(ctld.submit(**fields).said) for fields in OF_THE_PAGE]
    refused = next(number for number, fields in enumerate(OF_THE_PAGE) if "script" in fields)
    filtered = LuaCommand(SIX_TEAMS, "srun").run("ann", "--gpus-per-node=16").said
    told.insert(refused + 1, [line.removeprefix("srun: ") for line in filtered])  # the same, with cli_filter.lua
    assert shown == [line for lines in told for line in lines]
