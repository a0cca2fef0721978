"""Random changes of the cluster file, applied one after the other to a cluster full of jobs: none of them is hurt.

AISTATION_TEST_CHANGES=200 tries so many (20 without it), AISTATION_TEST_SEED others than these. Each goes the way of
`aistation cluster apply`. One that is refused must have changed nothing; after one that is applied a second apply has
nothing to do; and slurmctld answers again no later than after a restart of its own.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from aistation_slurm.cli.main import app
from aistation_slurm.errors import AistationError, SpecError, UnsafePlan
from aistation_slurm.slurm.model import Job
from aistation_slurm.spec import load_spec
from tests.cluster.conftest import Station
from tests.cluster.full_cluster import Watch, batches, fill, hurt, restart
from tests.cluster.random_changes import Data, Edit, Site, edited, read_data, some_edits, write_data

pytestmark = pytest.mark.cluster

CHANGES = int(os.environ.get("AISTATION_TEST_CHANGES", "20"))
RESTARTS = 5 if CHANGES > 20 else 1
"""How often slurmctld's own restart is measured; a single one says little."""
SEED = int(os.environ.get("AISTATION_TEST_SEED", "17"))


@pytest.fixture
def watch(customer) -> Iterator[Watch]:
    """Somebody who asks slurmctld ten times a second."""
    found = Watch(customer)
    thread = threading.Thread(target=found.run)
    thread.start()
    yield found
    found.over.set()
    thread.join()


@dataclass
class Hurt(Exception):
    """A change did what none may do."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass
class Road:
    """The way from a cluster file to Slurm, as an administrator goes it."""

    customer: Station
    site: Site
    watch: Watch
    limit: float
    """Seconds that slurmctld may be away."""
    longest: float = 0.0
    said: str = ""
    """What the last command said, all of it."""

    @property
    def path(self) -> Path:
        return self.customer.scratch / "cluster.yaml"

    def apply(self) -> str:
        """Return what the command said.

        Raises:
            AistationError: it refused.
        """
        done = CliRunner().invoke(app, ["cluster", "apply", "--yes", str(self.path)], env=self.customer.env())
        self.said = done.output
        if isinstance(done.exception, AistationError):
            raise done.exception
        assert done.exit_code == 0, f"{done.output}{done.exception!r}"
        return done.stdout

    def is_cluster_file(self) -> bool:
        """True where it is not the file itself that is wrong."""
        with contextlib.suppress(SpecError):
            return bool(load_spec(self.path))
        return False

    def all_there_is(self) -> tuple[object, ...]:
        """Return all that an apply can change."""
        read, etc = self.customer.slurm.read, self.customer.settings.slurm.conf.parent
        files = {path.name: path.read_bytes() for path in etc.iterdir() if path.suffix in {".conf", ".lua"}}
        return read.partitions(), read.qos(), read.accounts(), read.associations(), files

    def jobs(self) -> dict[int, Job]:
        return {each.job_id: each for each in self.customer.slurm.read.jobs()}

    def take(self, data: Data) -> str:
        """Apply the file, hold what became of Slurm against what must, and return `applied` or why it was refused.

        Raises:
            Hurt: that is not what became of it.
        """
        self.path.write_text(write_data(data))
        jobs, before, since = self.jobs(), self.all_there_is(), time.monotonic()
        try:
            self.apply()
            said = "applied"
        except (UnsafePlan, SpecError) as error:
            said = f"{'refused' if self.is_cluster_file() else 'no cluster file'}: {error}"
            if self.all_there_is() != before:
                raise Hurt(f"something changed, but it was {said}") from error
        except AistationError as error:
            raise Hurt(f"{type(error).__name__}: {error}; {error.hint}\n{self.said}") from error
        self._look(jobs, since)
        if said == "applied" and not (again := self.apply()).startswith("nothing to do"):
            raise Hurt(f"a second apply finds more to do:\n{again}")
        return said

    def _look(self, before: Mapping[int, Job], since: float) -> None:
        if found := list(hurt(before, self.jobs(), batches())):
            raise Hurt("; ".join(found))
        away = self.watch.away(since)
        self.longest = max(self.longest, away)
        if away > self.limit:
            raise Hurt(f"slurmctld was away for {away:.1f} s, more than {self.limit:.1f} s")

    def smallest(self, data: Data, edits: Sequence[Edit]) -> str:
        """Return which single edit is enough to do harm, as far as that can be told from a cluster that was hurt."""
        for edit in edits if len(edits) > 1 else ():
            fresh, said = edited(data, [edit], self.site)
            try:
                self.take(data)
                self.take(fresh)
            except (Hurt, AistationError, AssertionError) as error:
                return f"{' '.join(said)} alone does it, too: {error}"
        return "no single one of them does it again" if len(edits) > 1 else ""


@pytest.fixture
def road(customer, watch) -> Iterator[Road]:
    """A full cluster; afterwards it is what its own file says again."""
    settings = customer.settings
    data = read_data(settings.cluster_file.read_text())
    fill(customer)
    own = [restart(customer, watch) for _ in range(RESTARTS)]
    road = Road(customer, Site.of(data), watch, limit=3 * max(own) + 3)
    print(f"slurmctld's own restarts: away for {', '.join(f'{each:.1f}' for each in own)} s")
    yield road
    customer.cancel_all()
    done = customer.exec([sys.executable, "-m", "aistation_slurm", "cluster", "apply", "--yes", "--force"])
    assert done.returncode == 0, done.stderr


def test_whatever_changes_no_job_is_hurt_and_slurmctld_is_away_no_longer_than_by_its_restart(road):
    dice, outcomes = random.Random(SEED), Counter[str]()
    data = read_data(road.customer.settings.cluster_file.read_text())
    data["groups"]["p100"]["nodes"], data["groups"]["2080ti"]["nodes"] = "p100-[01-24]", "ti-[01-40]"
    assert road.take(data) == "applied"
    for number in range(CHANGES):
        edits = some_edits(dice, data, road.site)
        fresh, said = edited(data, edits, road.site)
        try:
            outcome = road.take(fresh)
        except (Hurt, AistationError, AssertionError) as error:
            lines = difflib.unified_diff(write_data(data).splitlines(), write_data(fresh).splitlines(), lineterm="")
            smallest = road.smallest(data, edits)
            pytest.fail("\n".join([f"seed {SEED}, change {number}: {'; '.join(said)}: {error}", smallest, *lines]))
        print(f"{number:3} {outcome:8.80}  {'; '.join(said)}")
        outcomes[outcome.partition(":")[0]] += 1
        data = fresh if outcome == "applied" else data
    print(f"{dict(outcomes)}; slurmctld away for {road.longest:.1f} s at most, allowed were {road.limit:.1f} s")
    assert outcomes["applied"] >= CHANGES // 3
    assert outcomes["no cluster file"] <= CHANGES // 10, "a file that does not even load proves nothing"
