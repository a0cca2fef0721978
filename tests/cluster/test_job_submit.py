"""The rules of submission on the real slurmctld: what real users read, and what Slurm then holds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.cluster import apply, load, make_plan
from aistation_slurm.cluster.rules.policy import PLUGIN, RULES, TABLE
from aistation_slurm.devcluster.cluster import down
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.devcluster.record import INSTALLED
from aistation_slurm.devcluster.release import PROGRAMS
from aistation_slurm.errors import SpecError
from aistation_slurm.jobs.compiled import COMPILED
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm.connect import connect
from aistation_slurm.spec import ClusterSpec
from tests.cluster.conftest import NAME, SLURM, SMALL

pytestmark = pytest.mark.cluster

LARGE = ("gpus_per_node: 4 -> 2 (a node of v100 has no more)", "nodes: 1 -> 2 (so that there are 4 GPUs in all)")
Told = subprocess.CompletedProcess[str]


@pytest.fixture
def spec(station) -> ClusterSpec:
    return load(station.settings.cluster_file)


@pytest.fixture
def settle(station, spec) -> Iterator[Callable[[ClusterSpec], list[str]]]:
    """`settle(spec)` applies it and returns what was done; afterwards the cluster is what its own file says again."""
    settings = station.settings

    def carry_out(wanted: ClusterSpec) -> list[str]:
        plan = make_plan(
            wanted, station.slurm, conf_dir=settings.slurm.conf.parent, gpu_device=settings.slurm.gpu_device,
            source=str(settings.cluster_file),
        )  # fmt: skip
        return list(apply(plan, station.slurm, force=True))

    yield carry_out
    carry_out(spec)


def told(user, *argv: str) -> Told:
    return user.station.exec(argv, user=user.name, cwd=user.folder)


def sbatch(user, *options: str, script: str = "true") -> tuple[int, list[str]]:
    """Return the job's id (0 if it was refused), and what the user read, line by line."""
    done = told(user, "sbatch", "--parsable", *options, "--wrap", script)
    said = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in done.stderr.splitlines()]
    return int(done.stdout.split(";")[0] or 0), said


def shown(station, job: int) -> dict[str, str]:
    """Return what `scontrol show job` says of it."""
    text = station.exec(["scontrol", "-o", "show", "job", str(job)]).stdout
    return dict(word.partition("=")[::2] for word in text.split())


def gpus(station, job: int) -> int:
    return station.job(job).tres.get("gres/gpu", 0)


@pytest.mark.parametrize("options", [("--gpus-per-node=4",), ("--gres=gpu:v100:4",), ("-N1", "--gres=gpu:4")])
def test_a_node_s_worth_too_much_becomes_more_nodes_and_the_user_reads_it(station, ann, options):
    job, said = sbatch(ann, "--hold", *options)
    assert said == list(LARGE)
    assert gpus(station, job) == 4
    assert shown(station, job)["NumNodes"].partition("-")[0] == "2"


def test_the_steps_of_an_adjusted_job_run_on_all_its_nodes(station, ann, wait_for):
    script = "srun --ntasks-per-node=1 sh -c 'echo $SLURM_NODEID:$SLURM_GPUS_ON_NODE'"
    for option in ("--gpus-per-node=4", "--gpus=6"):
        job, said = sbatch(ann, "-N1", option, "-t", "5", script=script)
        assert said[-1] == "nodes: 1 -> 2 (so that there are 4 GPUs in all)"
        wait_for(lambda job=job: station.job(job).state.is_over, within=60)
        assert sorted(ann.output(job).split()) == ["0:2", "1:2"]


def test_what_the_quota_will_never_allow_is_cut_down_to_it(station, ann):
    job, said = sbatch(ann, "--hold", "--gpus=6")
    assert said == ["gpus: 6 -> 4 (a user may have 4 GPUs of v100)"]
    assert gpus(station, job) == 4


def test_cpus_and_memory_become_what_a_node_has(station, ann):
    job, said = sbatch(ann, "--hold", "--gpus=1", "--cpus-per-task=16", "--mem=64G")
    assert said == [
        "cpus_per_task: 16 -> 8 (a node of v100 has no more)",
        "memory_per_node: 64G -> 16G (a node of v100 has no more)",
    ]
    found = shown(station, job)
    assert (found["CPUs/Task"], found["MinMemoryNode"]) == ("8", "16G")


def test_tasks_and_the_gpus_of_each_become_what_fits(station, ann):
    job, said = sbatch(ann, "--hold", "-n6", "--gpus-per-task=1")
    assert said == ["ntasks: 6 -> 4 (a user may have 4 GPUs of v100)"]
    assert shown(station, job)["NumTasks"] == "4"


CAN_RUN = (
    ("-N1-3", "--gpus-per-node=2"),
    ("-N1-3", "--gpus=6"),
    ("-N2-3", "--gpus-per-node=4"),
    ("-w", "v100-[01-03]", "--gpus-per-node=4"),
    ("-w", "v100-01", "--gpus-per-node=3"),
    ("-x", "v100-02", "--gpus-per-node=4"),
    ("-n12", "--ntasks-per-gpu=2"),
    ("--gpus-per-node=4", "--ntasks-per-gpu=2"),
    ("--gpus=9", "--ntasks-per-gpu=1"),
    ("-n4", "--gpus-per-task=1", "-c8"),
    ("-n3", "-N3", "--gpus-per-node=1", "-c8"),
    ("-n4", "-c6", "--gpus=1"),
    ("-n50", "--gpus=1"),
    ("--gpus=4", "--cpus-per-gpu=8"),
    ("--gpus=4", "-N2", "--mem-per-gpu=99G"),
    ("--gpus-per-node=2", "-N2", "--mem=99G"),
    ("--gpus=1", "--mem=0"),
    ("--gpus=1", "--exclusive"),
    ("--gpus-per-node=4", "--array=0-3%2"),
    ("--gres=gpu:v100:4", "--requeue"),
    ("-p", "dev", "--gres=shard:8", "-c4", "--mem=9G"),
    ("-p", "dev", "--mem=100"),
)


def at_random(seed: int) -> tuple[str, ...]:
    """Return a request such as a hand would write, most of them too large in some way."""
    dice = Random(seed)
    few = dice.choice([2, 4, 12])
    place = dice.choice(
        ["--gpus={}", "--gpus-per-node={}", "--gres=gpu:{}", "--gres=gpu:v100:{}", "--gpus-per-task={}"]
    )
    options = [place.format(dice.randint(1, few))]
    if "task" in place:  # and no --ntasks-per-node beside: more than there are tasks, and Slurm runs it nowhere
        return (*options, f"-n{dice.randint(1, few)}", f"-c{dice.randint(1, 9)}")
    maybe = {
        "-N{}": dice.randint(1, 3), "-N1-{}": dice.randint(2, 5), "-n{}": dice.randint(1, 9),
        "-c{}": dice.randint(1, 16), "--ntasks-per-node={}": dice.randint(1, 12), "--mem={}G": dice.randint(0, 40),
        "--cpus-per-gpu={}": dice.randint(1, 12), "--mem-per-cpu={}G": dice.randint(1, 9), "--mem-per-gpu={}G": few * 4,
        "-xv100-0{}": dice.randint(1, 3),
    }  # fmt: skip
    wanted = dice.sample(sorted(maybe), dice.randint(0, 3))
    return (*options, *(option.format(maybe[option]) for option in wanted))


def test_whatever_is_accepted_runs_and_nothing_waits_for_ever(station, ann, wait_for):
    # Each release has its own view of odd requests (26.05 lets some wait that it can't run): on the installed one only.
    count = int(os.environ.get("AISTATION_TEST_REQUESTS", "30" if SLURM == INSTALLED else "0"))
    random = [at_random(seed) for seed in range(count)]
    jobs, refused = {}, {}
    for options in (*CAN_RUN, *random):
        job, said = sbatch(ann, "-t", "5", *options)
        if not job and options in random and is_contradiction(said):
            continue
        (jobs if job else refused)[job or options] = options if job else said
    assert not refused, "\n".join(f"{options}: {said}" for options, said in refused.items())

    def waiting() -> dict[int, str]:
        alive = {each.array_job_id or each.job_id: each for each in station.slurm.read.jobs() if not each.state.is_over}
        return {number: alive[number].reason for number in jobs.keys() & alive.keys()}

    try:
        wait_for(lambda: not waiting(), within=240)
    except AssertionError as error:
        raise AssertionError("\n".join(f"{jobs[number]}: {why}" for number, why in waiting().items())) from error
    ended = {options: station.job(job).state for job, options in jobs.items() if "--array=0-3%2" not in options}
    assert {options: state for options, state in ended.items() if not state.is_success} == {}


def is_contradiction(said: list[str]) -> bool:
    """True where Slurm refused options that don't go together, and nothing was made of them."""
    return not any(" -> " in line for line in said)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-p", "dev", "--exclusive", "--gres=shard:1"), "--exclusive takes all 2 GPUs of a node; a development"),
        (("-N3", "--exclusive", "--gpus-per-node=1"), "--exclusive takes all 2 GPUs of a node; a user may have 4 GPUs"),
        (("--gpus-per-socket=1", "--sockets-per-node=4"), "a node of v100 has no more"),
        (("-p", "dev", "--gpus=1"), "a development environment has no more"),
    ],
)
def test_what_could_only_wait_for_ever_is_refused_with_the_reason(ann, options, why):
    job, said = sbatch(ann, *options)
    assert job == 0
    assert why in said[0]


def test_all_tasks_of_an_array_are_adjusted_at_once(station, ann):
    job, said = sbatch(ann, "--hold", "--array=0-9", "--gpus-per-node=4")
    assert said == list(LARGE)
    assert shown(station, job)["NumNodes"].partition("-")[0] == "2"


def test_each_part_of_a_het_job_is_adjusted_by_itself(station, ann):
    done = told(
        ann, "sbatch", "--parsable", "--hold", "--gpus-per-node=1", ":", "--gpus-per-node=3", "-N1", "--wrap", "true"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nodes: 1 -> 3 (so that there are 3 GPUs in all)" in done.stderr
    first = int(done.stdout.split(";")[0])
    assert (gpus(station, first), gpus(station, first + 1)) == (1, 3)


def test_srun_and_salloc_are_told_what_to_ask_for(ann):
    for command in (("srun",), ("salloc",)):
        done = told(ann, *command, "--gpus-per-node=4", "true")
        assert done.returncode != 0
        lines = [line.removeprefix(f"{command[0]}: error: ") for line in done.stderr.splitlines()]
        assert lines[:4] == [
            "refused, this is more than fits; what would fit:", *LARGE,
            "ask for it so: --gpus-per-node=2 --nodes=2",
        ]  # fmt: skip
    asked = told(ann, "srun", "--gpus-per-node=2", "--nodes=2", "--time=5", "true")
    assert asked.returncode == 0, asked.stderr


def test_an_update_goes_by_the_same_rules(station, ann):
    job, _ = sbatch(ann, "--hold", "--gres=gpu:1")
    done = told(ann, "scontrol", "update", f"JobId={job}", "TresPerNode=gres:gpu:4")
    if done.returncode:  # up to 22.05 nothing can be told of an update, so nothing is changed in silence
        assert "violates accounting/QOS policy" in done.stderr
        assert gpus(station, job) == 1
    else:
        assert all(line in done.stderr for line in LARGE)
        assert gpus(station, job) == 4
    small = told(ann, "scontrol", "update", f"JobId={job}", "TimeLimit=7")
    assert small.returncode == 0, small.stderr
    assert "Invalid qos" in told(ann, "scontrol", "update", f"JobId={job}", "QOS=emergency").stderr


KINDS = {
    "a job": ((), "{}"),
    "one task of an array": (("--array=0-3%2",), "{}_1"),
    "all tasks of an array": (("--array=0-3",), "{}"),
    "a part of a het job": (("--gpus-per-node=1", ":"), "{}+1"),
}
TOO_MUCH = ("TresPerNode=gres:gpu:9", "NumNodes=9", "MinMemoryNode=99999", "Partition=dev")


@pytest.mark.parametrize("kind", KINDS)
def test_no_update_makes_a_job_larger_than_may_be_and_none_gives_it_emergency(station, ann, kind):
    before, name = KINDS[kind]
    done = told(ann, "sbatch", "--parsable", "--hold", *before, "--gpus-per-node=1", "--mem=1G", "--wrap", "true")
    assert done.returncode == 0, done.stderr
    job = name.format(done.stdout.strip().split(";")[0])
    for change in TOO_MUCH:
        updated = told(ann, "scontrol", "update", f"JobId={job}", change)
        text = station.exec(["scontrol", "-o", "show", "job", job.split("_")[0]]).stdout
        for line in filter(None, text.splitlines()):
            found = dict(word.partition("=")[::2] for word in line.split())
            nodes, memory = found["NumNodes"].partition("-")[0], found.get("MinMemoryNode", "1G")
            assert (found["Partition"], int(nodes) <= 2) == ("v100", True), (change, updated.stderr, line)
            assert memory in {"1G", "16G", "0"}, (change, line)
            assert "gpu:9" not in line
    for qos in ("emergency", "Emergency"):
        assert "Invalid qos" in told(ann, "scontrol", "update", f"JobId={job}", f"QOS={qos}").stderr


def test_nobody_needs_to_say_group_and_qos_of_a_share(station, ann):
    job, said = sbatch(ann, "--hold", "--gres=shard:1", "--mem=100")
    assert said == ["partition: none -> dev (its GPUs are shared)"]
    found = station.job(job)
    assert (found.partition, found.qos) == ("dev", "development")


def test_a_share_too_many_is_taken_off_and_a_whole_gpu_of_a_shared_one_refused(station, ann):
    job, said = sbatch(ann, "--hold", "-p", "dev", "--gres=shard:3", "--mem=100")
    assert said == ["shards: 3 -> 1 (a development environment has no more)"]
    assert station.job(job).qos == "development"
    refused, said = sbatch(ann, "-p", "dev", "--gres=gpu:1")
    assert (refused, said[0]) == (0, "refused: no part of this fits into dev (a development environment has no more)")


def test_emergency_without_the_right_is_refused_by_slurm_on_every_path(ann, chen):
    paths = (
        ("sbatch", "--qos=emergency", "--wrap", "true"),
        ("sbatch", "--qos=Emergency", "--array=0-3", "--wrap", "true"),
        ("sbatch", "--gpus=1", ":", "--qos=emergency", "--gpus=1", "--wrap", "true"),
        ("env", "SBATCH_QOS=emergency", "sbatch", "--wrap", "true"),
        ("env", "SLURM_QOS=emergency", "srun", "true"),
        ("env", "SALLOC_QOS=emergency", "salloc", "true"),
        ("srun", "--qos=emergency", "true"),
        ("salloc", "--qos=emergency", "true"),
    )
    for words in paths:
        done = told(ann, *words)
        assert done.returncode != 0, words
        assert "Invalid qos specification" in done.stderr, words
    assert sbatch(chen, "--hold", "--qos=emergency", "--gpus=1")[1] == []


def test_a_plain_job_is_untouched(station, ann):
    job, said = sbatch(ann, "--hold", "-N2", "-n3", "--mem=1G")
    assert said == []
    found = shown(station, job)
    assert (found["NumNodes"].partition("-")[0], found["NumTasks"], found["Partition"]) == ("2", "3", "v100")


def test_what_is_loaded_can_be_tried_without_submitting(ann):
    done = told(ann, "sbatch", "--test-only", "--gpus-per-node=4", "--wrap", "true")
    assert LARGE[0] in done.stderr


def test_the_next_submission_knows_the_next_rules_and_slurmctld_is_not_told(station, spec, settle, ann, wait_for):
    etc = station.settings.slurm.conf.parent
    for how in ("refuse", "remind", "adjust", "refuse"):  # faster than whole seconds go by
        done = settle(spec.model_copy(update={"over_request": how}))
        assert done == [f"~ file {etc}/{name}  (none)" for name in (COMPILED, TABLE, RULES)]
        job, said = sbatch(ann, "--hold", "--gpus=6")
        assert bool(job) == (how == "adjust")
        assert (
            said[0]
            == {
                "refuse": "refused, this is more than fits; what would fit:",
                "remind": "this is more than fits, and is left as it is; what would fit:",
                "adjust": "gpus: 6 -> 4 (a user may have 4 GPUs of v100)",
            }[how]
        )


def test_a_team_reads_which_groups_are_open_to_it(settle, spec, station, ann):
    groups = {**spec.groups, "v100": spec.groups["v100"].model_copy(update={"teams": ["face"]})}
    settle(spec.model_copy(update={"groups": groups}))
    job, said = sbatch(ann, "--gpus=1", "-p", "v100")
    assert job == 0
    assert said[:2] == ["team behavior may not use v100 (face may)", "it may use: dev"]
    assert sbatch(station.user("eve"), "--hold", "--gpus=1", "-p", "v100")[1] == []


def test_rules_that_cannot_be_read_let_nobody_through(station, ann, settle, spec):
    etc = station.settings.slurm.conf.parent
    (etc / TABLE).write_text("this is no Lua\n")
    touched = (etc / RULES).stat().st_mtime + 1
    os.utime(etc / RULES, (touched, touched))
    job, said = sbatch(ann, "--hold", "--gpus=1")
    assert job == 0
    assert said[0].startswith("the rules of submission failed, so nothing was accepted: tell your administrator")
    root = station.exec(["sbatch", "--parsable", "--hold", "--uid=ann", "--wrap", "true"], cwd=ann.folder)
    assert root.returncode == 0, root.stderr
    (etc / TABLE).unlink()
    settle(spec)
    assert sbatch(ann, "--hold", "--gpus=1")[1] == []


@pytest.fixture
def without_lua(station) -> Iterator[Path]:
    """The installed Slurm under a prefix, all of it but the plugin for Lua."""
    if SLURM != INSTALLED:
        pytest.skip("is made of the installed Slurm")
    plugins = Path(station.slurm.read.config()["PluginDir"].split(":")[0])
    prefix = station.scratch / "no-lua"
    for name in PROGRAMS:
        link(Path("/usr") / name, prefix / name)
    for plugin in plugins.glob("*.so"):
        if plugin.name != PLUGIN:
            link(plugin, prefix / "lib" / "slurm" / plugin.name)
    yield prefix
    down(f"{NAME}-no-lua", say=print)


def link(target: Path, at: Path) -> None:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.unlink(missing_ok=True)
    at.symlink_to(target)


def test_a_slurm_that_was_built_without_lua_comes_up_and_is_planned_for(without_lua):
    wishes = Wishes(
        name=f"{NAME}-no-lua", layout="loopback", agents=False, daemon=False, page=False, slurm=str(without_lua)
    )
    cluster = start_cluster(wishes, file=SMALL)
    settings = read_settings(cluster.paths.config)
    slurm = connect(settings.slurm)

    def plan():
        return make_plan(
            load(cluster.paths.spec), slurm, conf_dir=cluster.paths.etc, gpu_device=settings.slurm.gpu_device,
            source=str(cluster.paths.spec),
        )  # fmt: skip

    assert not (cluster.paths.etc / RULES).exists()
    assert plan().lines() == []
    assert any("built without Lua" in note for note in plan().notes)
    with cluster.paths.slurm_conf.open("a") as file:
        file.write("JobSubmitPlugins=lua\n")
    with pytest.raises(SpecError, match="built without Lua: slurmctld ends at its start"):
        plan()
