"""PyTorch, JAX and MPI on two nodes: disturbed trainings, each held to the loss of one that nothing happened to.

Each framework runs undisturbed, and each fault strikes one of them; AISTATION_TEST_FAULTS=all tries each fault on each
framework (ten minutes). `pytest -rP` shows a line of the table in docs/measured.md for each. TensorFlow takes 1.6 GB
and Ray half a minute: tried where AISTATION_TEST_TENSORFLOW and AISTATION_TEST_RAY name a Python that has them.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from aistation_slurm.checkpoint import Checkpoints
from aistation_slurm.devcluster.record import INSTALLED
from tests.cluster.conftest import SLURM
from tests.cluster.kills import FAULTS, Victim, cut_off
from tests.cluster.trainings import EXAMPLES, Lab

pytestmark = pytest.mark.cluster
STEPS = 160
SAVED = r"\ncheckpoint of step (\d+)\n"
RESUMED = r"resumed from the checkpoint of step (\d+)\n"
RUN = re.compile(r"aistation: run \d+ of job \d+ on ")


@dataclass(frozen=True)
class Framework:
    """How a framework's example is run."""

    template: str
    script: str
    module: str
    settings: tuple[str, ...] = ()
    python: str = sys.executable


TENSORFLOW, RAY = os.environ.get("AISTATION_TEST_TENSORFLOW", ""), os.environ.get("AISTATION_TEST_RAY", "")
FRAMEWORKS = {
    "pytorch": Framework("pytorch-ddp", "digits_ddp.py", "torch", ("launcher=srun",)),
    "jax": Framework("jax", "digits_jax.py", "jaxlib"),
    "mpi": Framework("mpi", "digits_mpi.py", "mpi4py"),
}
if TENSORFLOW:
    FRAMEWORKS["tensorflow"] = Framework("tensorflow-multiworker", "digits_tf.py", "", python=TENSORFLOW)
SOME = [
    ("jax", "batch node dies"), ("mpi", "asked to stop"), ("mpi", "time limit"), ("mpi", "preempted"),
    ("pytorch", "killed in a save"),
]  # fmt: skip
ALL = [(framework, fault) for framework in FRAMEWORKS for fault in FAULTS]
EACH = os.environ.get("AISTATION_TEST_FAULTS") == "all"
CELLS = ALL if EACH else SOME


@pytest.fixture
def lab(station, ann, wait_for) -> Lab:
    lab = Lab(station, ann, wait_for)
    lab.bring(*(EXAMPLES / each.script for each in FRAMEWORKS.values()))
    return lab


@pytest.fixture(scope="module")
def losses() -> dict[tuple[str, int], float]:
    """(framework, nodes) -> the final loss of a run that nothing happened to."""
    return {}


@pytest.fixture
def undisturbed(lab, losses) -> Callable[..., float]:
    """`undisturbed("jax")` is the final loss of a run that nothing happens to; each framework runs one once."""

    def loss(name: str, *, nodes: int = 2) -> float:
        if (name, nodes) not in losses:
            _skip_without(name, lab)
            log = lab.until_over(submit(lab, name, nodes=nodes))
            assert "ended with code 0 " in log, log[-3000:]
            losses[name, nodes] = final_loss(log)
        return losses[name, nodes]

    return loss


def _skip_without(name: str, lab: Lab) -> None:
    """Skip what isn't installed here; MPI also where this Slurm has no PMIx, as a release of another distribution."""
    for module in filter(None, (FRAMEWORKS[name].module, "sklearn")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (scripts/test installs it)")
    if name == "mpi" and SLURM != INSTALLED:
        try:
            found = lab.ann.told("srun", "--mpi=pmix", "true", timeout=30)
        except subprocess.TimeoutExpired:
            pytest.skip("this Slurm doesn't find PMIx on its nodes")
        if found.returncode:
            pytest.skip(f"this Slurm can't start MPI: {found.stderr.splitlines()[0]}")


def submit(lab: Lab, name: str, *args: str, settings: tuple[str, ...] = (), nodes: int = 2, minutes: int = 10) -> int:
    """Submit the framework's example, and return its job's id."""
    framework = FRAMEWORKS[name]
    return lab.hand_in(
        framework.template, framework.script, "--steps", str(STEPS), *args,
        settings=(*framework.settings, *settings), nodes=nodes, minutes=minutes,
        python=framework.python,
    )  # fmt: skip


def final_loss(log: str) -> float:
    """Return what the log says at its end, and only once."""
    found = re.findall(r"final loss (\S+)", log)
    assert len(found) == 1, log[-3000:]
    return float(found[0])


def last(pattern: str, text: str) -> int:
    """Return the last number that the text has in this place; 0 where it has none."""
    return int(([0, *re.findall(pattern, text)])[-1])


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_training_on_two_nodes_runs_to_its_end_and_learns(undisturbed, name):
    assert undisturbed(name) < 0.5


@pytest.mark.parametrize(("name", "fault"), CELLS, ids=lambda each: each.replace(" ", "-"))
def test_a_disturbed_training_ends_as_if_nothing_had_been(lab, undisturbed, name, fault):
    expected, kind = undisturbed(name), FAULTS[fault]
    job_id = submit(lab, name, *kind.args, settings=kind.settings, minutes=kind.minutes)
    struck = kind.strike(Victim(lab, job_id, FRAMEWORKS[name].script))
    log = lab.until_over(job_id, within=300)

    assert lab.station.job(job_id).state.is_success, log[-3000:]
    runs = RUN.split(log)[1:]
    assert len(runs) > 1, "the fault struck nobody"
    saved = 0
    for before, after in pairwise(runs):
        saved = max(saved, last(SAVED, before))
        resumed = last(RESUMED, after)
        assert resumed >= saved  # no step is lost beyond the last whole checkpoint
        assert saved or fault == "time limit"  # whose notice may come before the first one
        if kind.saves:
            assert resumed == last(r"asked to stop: leaving after step (\d+)\n", before) > 0
        if re.search(r"\nstep \d+/", after):
            assert int(re.findall(r"\nstep (\d+)/", after)[0]) == resumed + 1
    assert math.isclose(final_loss(log), expected, rel_tol=1e-6)
    standing = Checkpoints(lab.ann.folder / f"t-{job_id}" / "checkpoints").checkpoints()
    assert standing[-1].step == STEPS
    assert not any(each.fault() for each in standing)
    _tell(name, fault, runs, struck=struck, off=abs(final_loss(log) - expected) / expected)


@pytest.mark.skipif(not EACH, reason="test_jobs.py does it with PyTorch; AISTATION_TEST_FAULTS=all with each")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_run_that_lives_on_behind_a_cut_network_spoils_nothing(lab, undisturbed, name):
    """One process on one node: nothing tells the old run that its node is lost, and it goes on training and saving."""
    expected = undisturbed(name, nodes=1)
    job_id = submit(lab, name, "--step-time", "0.2", nodes=1)
    struck = cut_off(Victim(lab, job_id, FRAMEWORKS[name].script))
    log = lab.until_over(job_id, within=300)

    old, new = RUN.split(log)[1:]
    assert "was replaced by claim 2" in new  # the old run lived, and was about to save once more
    resumed = last(RESUMED, new)
    assert resumed >= last(SAVED, old) > 0
    assert math.isclose(final_loss(log), expected, rel_tol=1e-6)
    standing = Checkpoints(lab.ann.folder / f"t-{job_id}" / "checkpoints")
    assert [(each.step, each.fault()) for each in standing.checkpoints()] == [(140, ""), (150, ""), (160, "")]
    assert len(list((standing.folder / "runs").iterdir())) == 1
    first_step = float(re.findall(r"phase: first step at (\S+)", new)[0]) - struck
    print(f"| {name} | network cut | {resumed} | | {abs(final_loss(log) - expected):.0e} | {first_step:.1f} |")


DRIVER = """
import os, sys, time, ray

@ray.remote(num_cpus=1)
def here(number):
    time.sleep(0.5)
    return os.environ["SLURMD_NODENAME"]

ray.init(log_to_driver=False)
print("GPUs", int(ray.cluster_resources()["GPU"]), flush=True)
print("tasks on", *sorted(set(ray.get([here.remote(number) for number in range(16)]))), flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.skipif(not RAY, reason="AISTATION_TEST_RAY names a Python that has Ray")
def test_two_ray_clusters_share_a_node_and_each_ends_with_its_script(lab):
    (lab.ann.folder / "driver.py").write_text(DRIVER)
    good, bad = (lab.hand_in("ray", "driver.py", code, python=RAY) for code in ("0", "3"))
    lab.wait_for(lambda: all(lab.station.job(each).state.is_running for each in (good, bad)))
    nodes = {job_id: lab.station.nodes_of(job_id) for job_id in (good, bad)}
    assert set(nodes[good]) & set(nodes[bad])  # three nodes, each wants two

    for job_id in (good, bad):
        log = lab.until_over(job_id, within=180)
        assert "GPUs 2\n" in log, log[-3000:]
        assert f"tasks on {' '.join(nodes[job_id])}\n" in log
    assert lab.station.job(good).state.is_success
    assert re.search(r"ended with code (3|143) ", lab.log(bad))  # srun's is the largest: 143 of the node that was ended
    assert not list(Path("/tmp").glob(f"ray-{good}-*")) + list(Path("/tmp").glob(f"ray-{bad}-*"))


def _tell(name: str, fault: str, runs: list[str], *, struck: float, off: float) -> None:
    """Print the row of the table in docs/measured.md."""
    resumed = last(RESUMED, runs[1])
    lost = last(r"\nstep (\d+)/", runs[0]) - resumed
    first_step = float(([math.nan, *re.findall(r"phase: first step at (\S+)", runs[1])])[-1]) - struck
    print(f"| {name} | {fault} | {resumed} | {lost} | {off:.0e} | {first_step:.1f} |")
