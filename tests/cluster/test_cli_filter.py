"""cli_filter.lua in the real srun and salloc: made to fit before they are sent, and never broken by it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aistation_slurm.cluster import apply, load, make_plan
from aistation_slurm.cluster.rules.policy import FILTER
from aistation_slurm.cluster.site.keys import CLI_FILTER
from aistation_slurm.spec import ClusterSpec

pytestmark = pytest.mark.cluster

LARGE = ("gpus_per_node: 4 -> 2 (a node of v100 has no more)", "nodes: 1 -> 2 (so that there are 4 GPUs in all)")
WHERE = "echo $SLURM_NODEID:$SLURM_GPUS_ON_NODE"


@pytest.fixture(scope="module")
def filtered(station) -> Iterator[ClusterSpec]:
    """The station with a cluster file that asks for cli_filter.lua, and slurm.conf that names it."""
    settings, conf = station.settings, station.settings.slurm.conf
    spec, plain = load(settings.cluster_file), conf.read_text()

    def settle(wanted: ClusterSpec) -> list[str]:
        plan = make_plan(
            wanted, station.slurm, conf_dir=conf.parent, gpu_device=settings.slurm.gpu_device,
            source=str(settings.cluster_file),
        )  # fmt: skip
        return list(apply(plan, station.slurm, force=True))

    wanted = spec.model_copy(update={"slurm": spec.slurm.model_copy(update={"cli_filter": True})})
    done = settle(wanted)
    assert any(FILTER in line for line in done), done
    if CLI_FILTER not in (text := conf.read_text()):
        conf.write_text(f"{CLI_FILTER}=lua\n{text}")
        station.slurm.write.reconfigure()
    assert settle(wanted) == []
    yield wanted
    conf.write_text(plain)
    station.slurm.write.reconfigure()
    (conf.parent / FILTER).unlink()
    settle(spec)


@pytest.fixture
def elsewhere(station, filtered, ann, tmp_path) -> Path:
    """A host whose slurm.conf names the plugin, and that has a cli_filter.lua of its own."""
    folder = ann.folder / tmp_path.name  # where ann may read
    folder.mkdir()
    for name in ("slurm.conf", FILTER):
        shutil.copy(station.settings.slurm.conf.with_name(name), folder)
    conf = folder / "slurm.conf"
    here = station.settings.slurm.conf.parent
    conf.write_text(conf.read_text().replace("Include aistation.conf", f"Include {here}/aistation.conf"))
    return conf


def told(user, *argv: str, conf: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command as the user; on the host with this slurm.conf."""
    at = ("env", f"SLURM_CONF={conf}") if conf else ()
    return user.station.exec((*at, *argv), user=user.name, cwd=user.folder)


def lines_of(done: subprocess.CompletedProcess[str], command: str) -> list[str]:
    return [line.removeprefix(f"{command}: ") for line in done.stderr.splitlines() if " -> " in line]


@pytest.mark.usefixtures("filtered")
def test_srun_is_made_to_fit_and_its_tasks_run_where_it_now_is(ann):
    done = told(ann, "srun", "--time=5", "--gpus-per-node=4", "sh", "-c", WHERE)
    assert done.returncode == 0, done.stderr
    assert lines_of(done, "srun") == list(LARGE)
    assert sorted(done.stdout.split()) == ["0:2", "1:2"]


@pytest.mark.usefixtures("filtered")
def test_salloc_is_made_to_fit_and_srun_inside_of_it_is_left_alone(ann):
    inside = f"srun sh -c '{WHERE}'; srun --gpus-per-node=4 true; true"
    done = told(ann, "salloc", "--time=5", "-N1", "--gpus=6", "sh", "-c", inside)
    assert done.returncode == 0, done.stderr
    assert lines_of(done, "salloc") == ["gpus: 6 -> 4 (a user may have 4 GPUs of v100)", LARGE[1]]
    assert sorted(done.stdout.split()) == ["0:2", "1:2"]
    assert "gpus_per_node" not in done.stderr


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--gres=gpu:v100:4",), LARGE),
        (("-N1-3", "--gpus-per-node=2"), ("max_nodes: 3 -> 2 (a user may have 4 GPUs of v100)",)),
        (("-n6", "--gpus-per-task=1"), ("ntasks: 6 -> 4 (a user may have 4 GPUs of v100)",)),
        (("-n6", "--ntasks-per-gpu=1"), ("ntasks: 6 -> 4 (a user may have 4 GPUs of v100)",)),
        (("--gpus=1", "--mem=64G"), ("memory_per_node: 64G -> 16G (a node of v100 has no more)",)),
        (("--gpus=1", "-c16"), ("cpus_per_task: 16 -> 8 (a node of v100 has no more)",)),
        (("-p", "dev", "--gres=shard:3", "--mem=100"), ("shards: 3 -> 1 (a development environment has no more)",)),
    ],
)
def test_whatever_was_asked_for_slurmctld_takes_what_the_filter_made_of_it(ann, options, said):
    done = told(ann, "srun", "--time=5", *options, "true")
    assert done.returncode == 0, done.stderr
    assert lines_of(done, "srun") == list(said)


@pytest.mark.usefixtures("filtered")
def test_each_part_of_a_het_job_is_made_to_fit(ann):
    done = told(ann, "salloc", "--time=5", "--gpus=1", "--mem=64G", ":", "--gpus=1", "-c16", "--mem=1G", "true")
    assert done.returncode == 0, done.stderr
    assert lines_of(done, "salloc") == [
        "memory_per_node: 64G -> 16G (a node of v100 has no more)",
        "cpus_per_task: 16 -> 8 (a node of v100 has no more)",
    ]


@pytest.mark.usefixtures("filtered")
def test_sbatch_reads_what_slurmctld_says_once(ann):
    done = told(ann, "sbatch", "--hold", "--gpus-per-node=4", "--wrap", "true")
    assert lines_of(done, "sbatch") == list(LARGE)


@pytest.mark.usefixtures("filtered")
def test_emergency_without_the_right_is_refused_as_before(ann):
    for command in ("srun", "salloc"):
        done = told(ann, command, "--qos=emergency", "--gpus-per-node=4", "true")
        assert done.returncode != 0
        assert "Invalid qos specification" in done.stderr


def test_a_job_for_a_named_cluster_is_left_to_that_one(station, filtered, ann):
    done = told(ann, "srun", f"--clusters={filtered.cluster}", "--gpus-per-node=4", "true")
    assert done.returncode != 0
    assert "ask for it so: --gpus-per-node=2 --nodes=2" in done.stderr


def test_a_filter_that_fails_leaves_the_command_as_it_was(ann, elsewhere):
    broken = elsewhere.with_name(FILTER)
    broken.write_text(broken.read_text().replace("  groups = {\n", "  groupz = {\n", 1))
    large = told(ann, "srun", "--gpus-per-node=4", "true", conf=elsewhere)
    assert "ask for it so: --gpus-per-node=2 --nodes=2" in large.stderr, "slurmctld still decides"
    small = told(ann, "srun", "--time=5", "--gpus=1", "true", conf=elsewhere)
    assert (small.returncode, small.stderr) == (0, "")


def test_a_host_without_the_file_can_submit_nothing_so_the_cluster_file_must_ask_for_it(ann, elsewhere):
    elsewhere.with_name(FILTER).unlink()
    for words in (("srun", "true"), ("salloc", "true"), ("sbatch", "--wrap", "true")):
        done = told(ann, *words, conf=elsewhere)
        assert done.returncode != 0
        assert "Unable to stat" in done.stderr
