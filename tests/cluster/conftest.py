"""One real Slurm for most cluster tests: `station`, its users `ann` and `chen`, and `wait_for`.

    def test_a_job_runs(station, ann, wait_for):
        job = ann.sbatch("hostname", "--gpus=1")
        wait_for(lambda: station.job(job).state.is_success, within=30)

The cluster is `small.yaml`, each node in its own network namespace, with agents and daemon; what an earlier session
left of it goes down first, and itself with this session, unless AISTATION_TEST_KEEP is set. AISTATION_TEST_NAME names
another than `test`, for two sessions side by side; AISTATION_TEST_SLURM another release of Slurm than the installed one
(`debian:trixie`; `scripts/dev/releases` runs the tests on each).
After each test its jobs are cancelled and what it broke is healed. `customer` is another one: the customer's cluster of
95 nodes, of `six-teams.yaml`.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster import packages
from aistation_slurm.devcluster.cluster import DevCluster, bring_up, down, stop
from aistation_slurm.devcluster.faults import CLUSTER_FAULTS, Struck, strike
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.nodes import PASSING, resume_for
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.devcluster.record import INSTALLED
from aistation_slurm.errors import AistationError
from aistation_slurm.settings import Settings, read_settings
from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.slurm.model import Job, Node
from aistation_slurm.slurm.nodelist import expand

NAME = os.environ.get("AISTATION_TEST_NAME", "test")
KEEP = bool(os.environ.get("AISTATION_TEST_KEEP"))
SLURM = os.environ.get("AISTATION_TEST_SLURM", INSTALLED)
EXAMPLES = asset_dir("slurm_conf") / "examples"
SMALL = EXAMPLES / "small.yaml"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what is tried on each release of Slurm (`scripts/dev/releases`): all that needs the station."""
    if "station" in getattr(item, "fixturenames", ()):
        item.add_marker("releases")


Told = subprocess.CompletedProcess[str]


def wait_until(predicate: Callable[[], object], *, within: float = 30, every: float = 0.05) -> object:
    """Return what the predicate returns once that is true; an error of ours, such as "no such job", is not yet true."""
    give_up = time.monotonic() + within
    while True:
        with contextlib.suppress(AistationError):
            if found := predicate():
                return found
        assert time.monotonic() < give_up, f"not true within {within} s"
        time.sleep(every)


@dataclass(frozen=True)
class StationUser:
    """A Unix user of the station, logged in."""

    station: "Station"
    name: str
    folder: Path

    def run(self, *argv: str, stdin: str = "", check: bool = True, timeout: float = 60) -> str:
        """Return what the command prints when the user runs it in their folder."""
        done = self.station.exec(argv, user=self.name, cwd=self.folder, stdin=stdin, timeout=timeout)
        assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def told(self, *argv: str, env: Mapping[str, str] | None = None, timeout: float = 60) -> Told:
        """Return how the user's command ended, and what they read of it."""
        words = ["env", *(f"{name}={value}" for name, value in (env or {}).items()), *argv]
        return self.station.exec(words, user=self.name, cwd=self.folder, timeout=timeout)

    def sbatch(self, script: str = "sleep 300", *options: str) -> int:
        """Submit a script (lines of sh) and return the job's id; its output is `slurm-ID.out` in the folder."""
        text = script if script.startswith("#!") else f"#!/bin/sh\n{script}\n"
        return int(self.run("sbatch", "--parsable", *options, stdin=text).split(";")[0])

    def output(self, job_id: int) -> str:
        """Return what the job has printed so far."""
        path = self.folder / f"slurm-{job_id}.out"
        return path.read_text() if path.exists() else ""


@dataclass
class Station:
    """A cluster that is up, and all that a test does with it."""

    cluster: DevCluster
    slurm: Slurm
    settings: Settings
    scratch: Path
    broken: list[tuple[str, str]] = field(default_factory=list)

    def env(self) -> dict[str, str]:
        """SLURM_CONF, AISTATION_CONFIG, PATH."""
        return self.cluster.env()

    def exec(
        self, argv: tuple[str, ...] | list[str], *, user: str | None = None, cwd: Path | None = None, stdin: str = "",
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a command on the cluster, as one of its users if need be."""
        prepared = become(self.cluster, tuple(argv), user=user, cwd=cwd)
        account = prepared.account
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        return subprocess.run(
            prepared.argv, env=prepared.env, cwd=prepared.cwd, input=stdin, capture_output=True, text=True,
            timeout=timeout, check=False, **who,
        )  # fmt: skip

    def user(self, name: str) -> StationUser:
        """A Unix user of the station, with a folder to work in."""
        folder = self.scratch / name
        folder.mkdir(exist_ok=True)
        account = pwd.getpwnam(name)
        os.chown(folder, account.pw_uid, account.pw_gid)
        return StationUser(self, name, folder)

    def job(self, job_id: int) -> Job:
        """The job, as Slurm sees it now."""
        return self.slurm.read.job(job_id)

    def nodes_of(self, job_id: int) -> tuple[str, ...]:
        """The names of the nodes that the job runs on."""
        return tuple(expand(self.job(job_id).nodes))

    def node(self, name: str) -> Node:
        """The node, as Slurm sees it now."""
        return next(each for each in self.slurm.read.nodes() if each.name == name)

    def fault(self, kind: str, node: str = "") -> Struck:
        """Break something for real; it is healed after the test."""
        self.broken.append((kind, node))
        return strike(self.cluster, kind, node)

    def heal(self) -> None:
        """Heal what was broken, and take passing marks off the nodes."""
        for kind, node in reversed(self.broken):
            strike(self.cluster, "heal" if kind in CLUSTER_FAULTS or not node else "heal-node", node)
        for node in {node for _, node in self.broken if node}:
            resume_for(self.cluster.paths, node, PASSING)
        self.broken.clear()

    def cancel_all(self) -> None:
        """Cancel every job, and wait until the nodes are free of them."""
        ids = [str(each.job_id) for each in self.slurm.read.jobs() if not each.state.is_over]
        if ids:
            self.exec(["scancel", "--signal=KILL", "--full", *ids])
            self.exec(["scancel", *ids])
            wait_until(lambda: all(each.state.is_over for each in self.slurm.read.jobs()), within=40)

    @contextlib.contextmanager
    def without(self, *services: str) -> Iterator[None]:
        """Without these daemons of ours (`daemon`, `page`) while it lasts."""
        stop(self.cluster, lambda name: name in services)
        try:
            yield
        finally:
            bring_up(self.cluster, [each for each in self.cluster.our_side() if each.name in services])


@contextlib.contextmanager
def standing(wishes: Wishes, *, file: Path) -> Iterator[Station]:
    """Yield the cluster of this file, which is gone afterwards; skip the test where none can stand."""
    if os.geteuid() != 0:
        pytest.skip("a real Slurm needs root")
    if missing := packages.missing(slurm=SLURM == INSTALLED):
        pytest.skip(f"not installed: {', '.join(missing)} (aistation dev install)")
    if not KEEP:  # of a session that was killed; whatever state it left its nodes in
        down(wishes.name, say=print)
    cluster = start_cluster(wishes, file=file)
    settings = read_settings(cluster.paths.config)
    scratch = Path("/var/tmp") / f"aistation-{wishes.name}"
    shutil.rmtree(scratch, ignore_errors=True)  # a new cluster counts its jobs from the start again
    scratch.mkdir()
    yield Station(cluster, connect(settings.slurm), settings, scratch)
    if not KEEP:
        down(wishes.name, say=print)
        shutil.rmtree(scratch)


@pytest.fixture(scope="session")
def station() -> Iterator[Station]:
    """The cluster; started once for all tests."""
    wishes = Wishes(name=NAME, layout="netns", agents=True, daemon=True, page=False, slurm=SLURM)
    with standing(wishes, file=SMALL) as station:
        yield station


@pytest.fixture(scope="session")
def customer() -> Iterator[Station]:
    """The customer's cluster: 95 nodes, six teams, 120 users; Slurm alone, without our daemons."""
    wishes = Wishes(name=f"{NAME}-teams", layout="loopback", agents=False, daemon=False, page=False, slurm=SLURM)
    with standing(wishes, file=EXAMPLES / "six-teams.yaml") as station:
        yield station


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the station to the next test as the last one found it."""
    yield
    for name in {"station", "customer"} & set(request.fixturenames):
        station: Station = request.getfixturevalue(name)
        station.heal()
        station.cancel_all()


@pytest.fixture
def ann(station: Station) -> StationUser:
    """A member of the team `behavior`."""
    return station.user("ann")


@pytest.fixture
def chen(station: Station) -> StationUser:
    """A member of the team `face`, who may submit emergency jobs."""
    return station.user("chen")


@pytest.fixture
def wait_for() -> Callable[..., object]:
    """`wait_for(predicate, within=30)`."""
    return wait_until
