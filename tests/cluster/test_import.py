"""An existing site on a real Slurm: its file is written for it, a partition taken over under its jobs, and back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aistation_slurm.cluster import apply, imported, load, make_plan
from aistation_slurm.cluster.changes import Reconfigure, RestartController
from aistation_slurm.cluster.planning.plan import Plan
from aistation_slurm.spec import ClusterSpec

pytestmark = pytest.mark.cluster

NOT_HERE = ("PartitionConfig", "QOSNotAllowed")
"""The reason of a job that waits under a QOS which its partition no longer takes; the first on 22.05."""
TEAMS = ("behavior", "face")
OWN = """\
# The site's own lines.
NodeSet=volta Nodes=v100-[01-03]
PartitionName=DEFAULT MaxTime=2-00:00:00 DefaultTime=01:00:00 State=UP
PartitionName=v100 Nodes=volta Default=YES   # for everybody
PartitionName=debug Nodes=v100-01 MaxTime=00:30:00
PartitionName=teaching Nodes=dev-01 AllowAccounts=behavior
"""


@pytest.fixture
def plan(station) -> Callable[[ClusterSpec], Plan]:
    settings = station.settings
    return lambda spec: make_plan(
        spec,
        station.slurm,
        conf_dir=settings.slurm.conf.parent,
        gpu_device=settings.slurm.gpu_device,
        source=str(settings.cluster_file),
    )


@pytest.fixture
def conf(station) -> Path:
    return station.settings.slurm.conf


@pytest.fixture
def own_site(station, plan, conf) -> Iterator[None]:
    """A Slurm that knows nothing of us: its own partitions in its own slurm.conf, its own accounts."""
    spec, before = load(station.settings.cluster_file), conf.read_text()
    list(apply(plan(left_to_the_site(spec)), station.slurm, force=True))
    describe(station, "the site's")
    sacctmgr = station.slurm.write.sacctmgr
    sacctmgr("add", "qos", "long", "Priority=1")
    sacctmgr("modify", "user", "where", "name=ann", "account=behavior", "set", "QOS+=long")
    conf.write_text(before.replace("Include aistation.conf\n", OWN))
    station.slurm.write.reconfigure()
    yield
    station.cancel_all()
    list(apply(plan(left_to_the_site(spec)), station.slurm, force=True))
    conf.write_text(before)
    describe(station, "aistation")
    sacctmgr("delete", "qos", "where", "name=long")
    list(apply(plan(spec), station.slurm, force=True))


def describe(station, text: str) -> None:
    where = ("where", f"name={','.join(TEAMS)}", "set", f"Description={text}")
    station.slurm.write.sacctmgr("modify", "account", *where)


def left_to_the_site(spec: ClusterSpec) -> ClusterSpec:
    own = {"managed_by": "site"}
    groups = {name: each.model_copy(update=own) for name, each in spec.groups.items()}
    return spec.model_copy(
        update={"groups": groups, "teams": {k: v.model_copy(update=own) for k, v in spec.teams.items()}}
    )


@pytest.fixture
def aistation(station) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *words: station.exec([sys.executable, "-m", "aistation_slurm", "cluster", *words])


def test_what_we_made_is_imported_as_ours_and_planning_right_after_changes_nothing(aistation, station, tmp_path):
    path = tmp_path / "cluster.yaml"
    done = aistation("import", "-o", str(path))
    assert done.returncode == 0, done.stderr
    spec, original = load(path), load(station.settings.cluster_file)
    assert spec.groups.keys() == spec.managed_groups().keys() == original.groups.keys()
    assert spec.managed_teams().keys() == original.teams.keys()
    assert (spec.quota, spec.environments) == (original.quota, original.environments)
    planned = aistation("plan", "--detailed-exitcode", str(path))
    assert planned.returncode == 0, planned.stdout + planned.stderr


def test_a_file_that_is_there_is_not_written_over(aistation, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("mine\n")
    refused = aistation("import", "-o", str(path))
    assert (refused.returncode, path.read_text()) == (64, "mine\n")
    assert "say --force" in refused.stderr
    assert aistation("import", "--force", "-o", str(path)).returncode == 0
    assert path.with_name("cluster.yaml.old").read_text() == "mine\n"
    assert load(path).is_ours


def test_a_user_may_import_too(station, ann):
    done = ann.run(sys.executable, "-m", "aistation_slurm", "cluster", "import")
    assert "cluster: small" in done


def test_a_partition_is_taken_over_under_its_jobs_and_given_back(
    own_site, station, plan, conf, ann, wait_for, tmp_path
):
    path, site = tmp_path / "cluster.yaml", conf.read_bytes()
    path.write_text(imported(station.slurm, conf.parent))
    spec = load(path)
    assert not spec.is_ours
    assert plan(spec).lines() == []
    assert "# Left out: partition debug: its nodes are in group v100 already" in path.read_text()
    assert (spec.groups["teaching"].teams, spec.default_group) == (["behavior"], "v100")

    running = ann.sbatch("sleep 300", "--gpus=2", "-p", "v100", "-w", "v100-01")
    waiting = ann.sbatch("sleep 300", "--gpus=2", "-p", "v100", "--begin=now+1hour")
    elsewhere = ann.sbatch("sleep 300", "--gpus=1", "-p", "teaching")
    wait_for(lambda: station.job(running).state.is_running and station.job(elsewhere).state.is_running)
    stranger = wait_for(lambda: submitted(ann, "--gpus=2", "-p", "v100", "-w", "v100-01", "--qos=long"))
    begun = {job: station.job(job).start_time for job in (running, elsewhere)}

    theirs = path.read_text()
    ours = re.sub(r"(  v100: {[^}]*),\s+managed_by: site}", r"\1}", theirs)
    path.write_text(ours)
    taken = load(path)
    assert list(taken.managed_groups()) == ["v100"]
    carry_out(station, plan(taken))
    assert plan(taken).lines() == []
    assert_alive(station, begun, waiting)
    wait_for(lambda: station.job(stranger).reason in NOT_HERE, within=60)
    assert "QoS=group-v100" in station.exec(["scontrol", "show", "partition", "v100"]).stdout

    path.write_text(theirs)
    carry_out(station, plan(load(path)))
    assert plan(load(path)).lines() == []
    assert conf.read_bytes() == site
    assert_alive(station, begun, waiting)
    wait_for(lambda: station.job(stranger).reason not in NOT_HERE, within=60)
    assert "QoS=N/A" in station.exec(["scontrol", "show", "partition", "v100"]).stdout


def submitted(user, *options: str) -> int:
    """Return the job's id; 0 while slurmctld has not heard yet of what the user may."""
    done = user.station.exec(["sbatch", "--parsable", *options, "--wrap", "true"], user=user.name, cwd=user.folder)
    return int(done.stdout) if done.returncode == 0 else 0


def carry_out(station, made: Plan) -> None:
    """Apply the plan; Slurm is told of it once."""
    made.raise_if_unsafe()
    assert sum(isinstance(change, Reconfigure | RestartController) for change in made.changes) == 1
    list(apply(made, station.slurm))


def assert_alive(station, begun: dict[int, object], waiting: int) -> None:
    """The jobs run on as if nothing had been, and the one that waits still waits."""
    for job, start in begun.items():
        found = station.job(job)
        assert (found.state.is_running, found.start_time, found.restart_count) == (True, start, 0)
    assert station.job(waiting).reason == "BeginTime"
