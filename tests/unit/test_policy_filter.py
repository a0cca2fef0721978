"""cli_filter.lua: what becomes of the options of srun and salloc before they are sent, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aistation_slurm.cluster.rules.policy import filter_text
from aistation_slurm.spec import load_spec
from tests.unit.lua_command import DEFAULTS, LuaCommand, Sent
from tests.unit.lua_slurmctld import SLURM_USER, Answer, LuaSlurmctld

EXAMPLES = Path(__file__).resolve().parents[2] / "slurm_conf" / "examples"
SIX_TEAMS = load_spec(EXAMPLES / "six-teams.yaml")
LARGE = ("gpus_per_node: 16 -> 8 (a node of v100 has no more)", "nodes: 1 -> 2 (so that there are 16 GPUs in all)")
RULES = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def srun() -> LuaCommand:
    return LuaCommand(SIX_TEAMS)


@pytest.fixture(scope="module")
def ctld(tmp_path_factory) -> LuaSlurmctld:
    return LuaSlurmctld(SIX_TEAMS, tmp_path_factory.mktemp("etc"))


@pytest.mark.parametrize("kind", ["srun", "salloc"])
def test_a_node_s_worth_too_much_becomes_more_nodes_in_the_words_of_slurmctld(ctld, kind):
    sent = LuaCommand(SIX_TEAMS, kind).run("ann", "--gpus-per-node=16")

    assert sent.options == {"gpus-per-node": "8", "nodes": "2"}
    assert sent.said == tuple(f"{kind}: {line}" for line in LARGE)
    assert ctld.submit("ann", tres_per_node="gres:gpu:16").said == LARGE


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (
            ("--gpus-per-node=v100:16", "--ntasks-per-node=16"),
            {"gpus-per-node": "v100:8", "nodes": "2", "ntasks-per-node": "8"},
        ),
        (("--gres=gpu:v100:16",), {"gres": "gres:gpu:v100:8", "nodes": "2"}),
        (("--gres=gpu:16,license:1",), {"gres": "gres:gpu:8,gres:license:1", "nodes": "2"}),
        (("--gpus-per-node=16", "--gres=license:1"), {"gpus-per-node": "8", "gres": "gres:license:1", "nodes": "2"}),
        (("--gpus=24",), {"gpus": "16"}),
        (("--gpus=24", "--nodes=1"), {"gpus": "16", "nodes": "2"}),
        (("--gpus-per-task=9", "--ntasks=4"), {"gpus-per-task": "8", "ntasks": "2"}),
        (("--gpus-per-node=8", "--nodes=1-8"), {"gpus-per-node": "8", "nodes": "1-2"}),
        (("--gpus=1", "--cpus-per-task=100", "--mem=512G"), {"gpus": "1", "cpus-per-task": "64", "mem": "256G"}),
        (("--gpus=8", "--cpus-per-gpu=99", "--nodes=1"), {"gpus": "8", "cpus-per-gpu": "8", "nodes": "1"}),
        (("--gpus=1", "--mem-per-gpu=1T"), {"gpus": "1", "mem-per-gpu": "256G"}),
        (("--ntasks=64", "--ntasks-per-gpu=2"), {"ntasks": "32", "ntasks-per-gpu": "2"}),
        (("--gpus=p100:99", "--account=behavior"), {"gpus": "p100:16", "account": "behavior"}),
    ],
)  # fmt: skip
def test_each_option_is_given_back_in_its_own_words(srun, asked, sent):
    found = srun.run("ann", *asked)
    assert found.options == sent
    assert found.said
    assert not found.wrong


def test_what_fits_is_left_as_it_is(srun):
    for words in (("--gpus=16",), ("--gpus-per-node=8", "--nodes=2"), ("--nodes=500", "--mem=9T"), ()):
        sent = srun.run("ann", *words)
        assert (sent.said, sent.wrong) == ((), ())
        assert sent.options == srun.run("nobody", *words).options


def test_a_step_of_a_running_job_is_left_alone_but_a_new_allocation_inside_one_is_not(srun):
    for sent in (
        srun.run("ann", "--gpus-per-node=16", SLURM_JOB_ID="7"),
        srun.run("ann", "--gpus-per-node=16", "--jobid=7"),
        srun.run("ann", "--gpus-per-node=16", "--no-allocate=set"),
    ):
        assert (sent.options["gpus-per-node"], sent.said) == ("16", ())
    inside = LuaCommand(SIX_TEAMS, "salloc").run("ann", "--gpus-per-node=16", SLURM_JOB_ID="7")
    assert inside.options["gpus-per-node"] == "8"


def test_a_job_for_another_cluster_and_one_of_root_are_left_alone(srun):
    assert srun.run("ann", "--gpus-per-node=16", "--clusters=other").options["gpus-per-node"] == "16"
    for uid in (0, SLURM_USER):
        assert srun.run("ann", "--gpus-per-node=16", uid=uid).options["gpus-per-node"] == "16"


def test_what_only_slurmctld_can_do_is_left_to_it(srun):
    sbatch = LuaCommand(SIX_TEAMS, "sbatch")
    assert sbatch.run("ann", "--gpus-per-node=16").options["gpus-per-node"] == "16"
    nothing = (
        srun.run("gwen", "--partition=2080ti", "--gpus-per-node=16"),  # not of a team that may
        srun.run("ann", "--partition=theirs", "--gpus-per-node=16"),  # the site's own
        srun.run("ann", "--partition=1080ti_dev", "--gpus-per-node=16"),  # no part of it fits
        srun.run("somebody", "--gpus-per-node=16"),  # of no team that is known here
    )
    for sent in nothing:
        assert (sent.options["gpus-per-node"], sent.said, sent.wrong) == ("16", (), ())


@pytest.mark.parametrize("how", ["remind", "refuse"])
def test_where_the_file_says_another_thing_than_adjust_slurmctld_says_it(how):
    srun = LuaCommand(SIX_TEAMS.model_copy(update={"over_request": how}))
    assert srun.run("ann", "--gpus-per-node=16") == Sent({"gpus-per-node": "16"})


def test_someone_in_two_teams_is_asked_for_the_account_by_slurmctld_only(srun):
    teams = {**SIX_TEAMS.teams, "robot": SIX_TEAMS.teams["robot"].model_copy(update={"members": ["ann"]})}
    both = LuaCommand(SIX_TEAMS.model_copy(update={"teams": teams}))
    assert both.run("ann", "--gpus=24").options == {"gpus": "24"}
    assert both.run("ann", "--gpus=24", "--account=robot").options["gpus"] == "16"


def test_quiet_commands_are_quiet(srun):
    sent = srun.run("ann", "--gpus=24", "--quiet=1")
    assert (sent.options["gpus"], sent.said) == ("16", ())


@pytest.mark.parametrize(
    "broken",
    [
        ("return {\n", 'return {["over_request"] = 1, x = nil + 1,\n'),  # a table that can't be made
        ("  groups = {\n", "  groupz = {\n"),  # one that lacks what the rules need
        ("function slurm_cli_post_submit", "aistation_fit = nil\nfunction slurm_cli_post_submit"),
    ],
)
def test_whatever_goes_wrong_the_command_goes_on_as_it_was(broken):
    text = filter_text(SIX_TEAMS, source="x")
    assert broken[0] in text
    sent = LuaCommand(SIX_TEAMS, text=text.replace(*broken, 1)).run("ann", "--gpus-per-node=16")
    assert (sent.options, sent.said, sent.code) == ({"gpus-per-node": "16"}, (), 0)
    assert len(sent.wrong) == 1


@pytest.mark.parametrize("version", ["lua51", "lua53", "lua54"])
def test_the_filter_is_the_same_in_every_lua_that_slurm_may_be_built_with(srun, version):
    other = LuaCommand(SIX_TEAMS, lua=pytest.importorskip(f"lupa.{version}"))
    words = ("--gres=gpu:v100:16", "--mem=512G", "--cpus-per-task=90", "--ntasks-per-node=3")
    assert other.run("ann", *words) == srun.run("ann", *words)


# What the filter sends is what slurmctld takes ------------------------------------------------------------------------

COUNTS = st.integers(1, 70).map(str)
PLACES = ("gpus", "gpus-per-node", "gpus-per-task", "gres")
OPTIONS = st.fixed_dictionaries(
    {"place": st.sampled_from(PLACES), "count": COUNTS},
    optional={
        "ntasks": COUNTS, "ntasks-per-node": COUNTS, "cpus-per-task": COUNTS, "cpus-per-gpu": COUNTS,
        "mem": st.sampled_from(["0", "1G", "300G", "2T"]), "mem-per-gpu": st.sampled_from(["1G", "300G"]),
        "nodes": st.builds(lambda a, b: f"{a}-{a + b}", st.integers(1, 12), st.integers(0, 12)),
        "partition": st.sampled_from(["v100", "p100", "p100_shar", "v100,p100"]),
    },
)  # fmt: skip
FIELDS = {
    "ntasks": "num_tasks", "ntasks-per-node": "ntasks_per_node", "cpus-per-task": "cpus_per_task",
    "partition": "partition", "gpus": "tres_per_job", "gpus-per-node": "tres_per_node", "gres": "tres_per_node",
    "gpus-per-task": "tres_per_task", "cpus-per-gpu": "cpus_per_tres", "mem-per-gpu": "mem_per_tres",
    "mem": "min_mem_per_node",
}  # fmt: skip


def mebibytes(text: str) -> int:
    return int(text.rstrip("MGT")) * {"M": 1, "G": 1024, "T": 1024**2}.get(text[-1], 1)


def as_sent(options: dict[str, str]) -> dict[str, object]:
    """Return the job that slurmctld gets of these options (slurm_opt.c, slurm_opt_create_job_desc)."""
    job: dict[str, object] = {}
    for name, value in options.items():
        if name == "nodes":
            least, _, most = value.partition("-")
            job |= {"min_nodes": int(least), "max_nodes": int(most or least)}
        elif name.startswith("gpus") or name == "cpus-per-gpu":
            job[FIELDS[name]] = f"gres:gpu:{value}"
        elif name == "mem-per-gpu":
            job[FIELDS[name]] = f"gres:gpu:{mebibytes(value)}"
        else:
            job[FIELDS[name]] = value if name in {"gres", "partition"} else mebibytes(value)
    return job


@RULES
@given(asked=OPTIONS, user=st.sampled_from(["ann", "eve"]))
def test_what_the_filter_made_to_fit_is_taken_by_slurmctld_as_it_is(srun, ctld, asked, user):
    words, place = dict(asked), asked["place"]
    words[place] = f"gpu:{asked['count']}" if place == "gres" else asked["count"]
    sent = srun.run(user, *(f"--{name}={value}" for name, value in words.items() if name not in {"place", "count"}))
    assert not sent.wrong

    answer: Answer = ctld.submit(user, script=None, **as_sent(sent.options))

    assert "ask for it so" not in " ".join(answer.said), (sent, answer.said)
    if sent.said:
        assert answer.is_accepted


@RULES
@given(st.dictionaries(st.sampled_from([*DEFAULTS, *PLACES, "mem", "account", "qos", "nodelist"]), st.text(max_size=9)))
def test_whatever_stands_in_an_option_the_filter_does_not_fail(srun, words):
    try:
        sent = srun.run("ann", *(f"--{name}={value}" for name, value in words.items()))
    except (AssertionError, ValueError, IndexError):
        return  # the command itself would have refused such a word
    assert (sent.code, sent.wrong) == (0, ())
    assert sent.options.keys() >= words.keys()
