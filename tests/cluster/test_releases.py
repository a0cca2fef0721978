"""Another release of Slurm than the installed one, beside it on this machine: made, used by a user, gone.

The quick part; `scripts/dev/releases` runs all that needs the station on each release.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster import packages, release_shelf
from aistation_slurm.devcluster.cluster import DevCluster, down
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.devcluster.processes import read_processes
from aistation_slurm.devcluster.release import read_release
from aistation_slurm.errors import DevClusterError, NoMirror
from aistation_slurm.settings import DEV_ROOT, read_settings
from aistation_slurm.slurm.connect import Slurm, connect

pytestmark = pytest.mark.cluster
NAME = os.environ.get("AISTATION_TEST_NAME", "test")
SMALL = asset_dir("slurm_conf") / "examples" / "small.yaml"
POLICY = """
function slurm_job_submit(job, partitions, uid)
  if job.name == "unwanted" then
    slurm.log_user("not this one")
    return slurm.ERROR
  end
  return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
  return slurm.SUCCESS
end
"""


@dataclass(frozen=True)
class Other:
    """A cluster of two nodes that runs another release."""

    cluster: DevCluster
    slurm: Slurm
    version: str
    folder: Path

    def ann(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as ann, in a folder of hers."""
        prepared = become(self.cluster, argv, user="ann", cwd=self.folder)
        return subprocess.run(
            prepared.argv, env=prepared.env, cwd=prepared.cwd, input=stdin, capture_output=True, text=True,
            user=prepared.account.pw_uid, group=prepared.account.pw_gid, extra_groups=[], timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module", params=["debian:trixie", "debian:forky"])
def other(request, tmp_path_factory) -> Iterator[Other]:
    if os.geteuid() != 0:
        pytest.skip("a real Slurm needs root")
    if missing := packages.missing(slurm=False):
        pytest.skip(f"not installed: {', '.join(missing)} (aistation dev install)")
    try:
        release_shelf.provide(read_release(request.param, DEV_ROOT), DEV_ROOT, print)
    except NoMirror as error:
        pytest.skip(f"{error}; {error.hint}")
    name = f"{NAME}-{request.param.partition(':')[2]}"
    down(name, say=print)
    wishes = Wishes(name=name, layout="loopback", agents=False, daemon=False, page=False, slurm=request.param)
    try:
        cluster = start_cluster(wishes, file=SMALL, scale=1)
        folder = cluster.paths.homes / "ann"
        version = next(each.version for each in release_shelf.made(DEV_ROOT) if each.spec == request.param)
        yield Other(cluster, connect(read_settings(cluster.paths.config).slurm), version, folder)
    finally:
        down(name, say=print)
    assert not cluster.paths.root.exists()
    assert str(cluster.paths.root) not in Path("/proc/self/mounts").read_text()
    assert [each.argv for each in read_processes() if each.environ.get("AISTATION_DEV") == name] == []


def submit(other: Other, script: str, *options: str) -> int:
    done = other.ann("sbatch", "--parsable", *options, stdin=f"#!/bin/sh\n{script}\n")
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split(";")[0])


def test_a_user_runs_a_job_with_a_gpu_and_reads_it_back(other, wait_for):
    job = submit(other, "srun sh -c 'echo $CUDA_VISIBLE_DEVICES'; srun --version", "-p", "v100", "--gpus=1", "-t", "5")

    wait_for(lambda: other.slurm.read.job(job).state.is_success, within=90)
    wait_for(lambda: any(each.state.is_success for each in other.slurm.read.history(job_ids=[job])), within=60)
    seen = other.slurm.read.job(job)
    assert (seen.user, seen.partition, seen.nodes, seen.gpus) == ("ann", "v100", "v100-01", 1)
    assert seen.time_limit == timedelta(minutes=5)
    gpu, release = (other.folder / f"slurm-{job}.out").read_text().splitlines()
    assert gpu == "0"
    assert release.endswith(f" {other.version}")


def test_the_job_lives_on_this_machine_and_not_in_the_releases_debian(other, wait_for):
    job = submit(other, "cat /etc/os-release; /usr/bin/python3 -V; env", "-p", "v100")

    wait_for(lambda: other.slurm.read.job(job).state.is_success, within=90)
    output = (other.folder / f"slurm-{job}.out").read_text()
    python = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True, check=True).stdout
    assert output.startswith(Path("/etc/os-release").read_text() + python)
    assert "LD_LIBRARY_PATH" not in output


def test_a_gpu_is_shared_by_its_shards(other, wait_for):
    share = ("-p", "dev", "--qos=development", "--gres=shard:1", "--mem=100")
    jobs = [submit(other, "sleep 300", *share) for _ in range(2)]

    try:
        wait_for(lambda: all(other.slurm.read.job(each).state.is_running for each in jobs), within=90)
        node = next(each for each in other.slurm.read.nodes() if each.name == "dev-01")
        assert node.shards_allocated == 2
    finally:
        other.ann("scancel", *map(str, jobs))


def test_a_policy_in_lua_refuses_a_job_in_its_own_words(other):
    paths = other.cluster.paths
    (paths.etc / "job_submit.lua").write_text(POLICY)
    with paths.slurm_conf.open("a") as conf:
        conf.write("JobSubmitPlugins=lua\n")
    controller = {**os.environ, **other.cluster.env()}
    subprocess.run(["scontrol", "reconfigure"], env=controller, check=True, timeout=60)

    refused = other.ann("sbatch", "-J", "unwanted", "-p", "v100", stdin="#!/bin/sh\ntrue\n")
    taken = other.ann("sbatch", "-J", "wanted", "-p", "v100", stdin="#!/bin/sh\ntrue\n")

    assert refused.returncode != 0
    assert "not this one" in refused.stderr
    assert taken.returncode == 0, taken.stderr


def test_the_shell_that_is_given_the_clusters_words_uses_its_release(other):
    words = [sys.executable, "-m", "aistation_slurm", "dev", "env", "--name", other.cluster.record.name]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    done = subprocess.run(["sh", "-c", f"{lines}\nsinfo --version"], capture_output=True, text=True, check=True)

    assert done.stdout.strip().endswith(f" {other.version}")


def test_a_cluster_keeps_the_release_that_it_was_started_with(other):
    name = other.cluster.record.name
    with pytest.raises(DevClusterError, match=f"{name} runs the Slurm debian:[a-z]+, not installed") as error:
        start_cluster(Wishes(name=name, slurm="installed"))

    assert f"aistation dev down --name {name}" in error.value.hint


def test_a_release_that_a_cluster_runs_is_not_removed(other):
    spec = other.cluster.record.slurm
    with pytest.raises(DevClusterError, match=f"{spec} is what the cluster [a-z0-9-]+ runs"):
        release_shelf.remove(spec, DEV_ROOT, print)

    assert spec in [each.spec for each in release_shelf.made(DEV_ROOT)]
