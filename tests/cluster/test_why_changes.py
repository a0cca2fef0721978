"""What is said to start a job now does so: random queues on a real Slurm, the change applied as its user would.

One queue in which changes are offered; with AISTATION_TEST_WHY=all forty (some ten minutes).
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

pytestmark = pytest.mark.cluster
WHY = (sys.executable, "-m", "aistation_slurm", "job", "why", "--json")
USERS = ("ann", "bob", "chen", "eve")
SEEDS = range(40) if os.environ.get("AISTATION_TEST_WHY") == "all" else (33,)
ASKED_IN_EACH = 5 if len(SEEDS) > 1 else 3
SOON = 30
"""Seconds in which "now" must have come; Slurm looks at the queue each second here, and the machine may be slow."""


@dataclass
class Trial:
    """What was said of the jobs of one queue, and what came of it."""

    station: Any
    wait_for: Any
    seed: int
    started: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def fill(self) -> None:
        """Submit jobs of random users, sizes and limits until enough of them wait."""
        dice = random.Random(self.seed)
        for _ in range(dice.randint(5, 10)):
            shape = dice.choice((
                [f"--gpus={dice.randint(1, 4)}", f"-N{dice.choice((1, 1, 2))}"],
                ["--gpus-per-node=2", f"-N{dice.randint(1, 3)}"],
                [f"--gpus={dice.randint(1, 2)}"],
                [f"--gpus={dice.randint(1, 2)}", f"--cpus-per-gpu={dice.randint(1, 3)}"],
                [f"--gpus={dice.randint(1, 2)}", f"--cpus-per-gpu={dice.randint(1, 3)}", "--mem-per-cpu=1G"],
            ))  # fmt: skip
            options = [*shape, "-o", "/dev/null", "-t", str(dice.choice((5, 10, 20, 40, 60, 120)))]
            if dice.random() < 0.15:
                options.append(f"-wv100-0{dice.randint(1, 3)}")
            self.station.user(dice.choice(USERS)).told("sbatch", "--parsable", *options, "--wrap", "sleep 3600")
        self.until_calm()

    def until_calm(self) -> None:
        """Wait until Slurm has looked at every job, and has told the same of all of them for a while."""
        seen: list[object] = []

        def is_calm() -> bool:
            jobs = self.station.slurm.read.jobs()
            seen.append(sorted((each.job_id, each.state, each.reason) for each in jobs))
            known = all(each.reason not in {"", "None"} for each in jobs if each.state.is_waiting)
            return known and len(seen) > 4 and seen[-1] == seen[-5]

        self.wait_for(is_calm, within=60, every=0.2)

    def try_some(self) -> None:
        """Ask why some of the jobs wait; apply the first change of each that is said to start it now."""
        dice = random.Random(self.seed)
        waiting = [each for each in self.station.slurm.read.jobs() if each.state.is_waiting]
        for job in dice.sample(waiting, min(ASKED_IN_EACH, len(waiting))):
            user = self.station.user(job.user)
            tries = user.folder / f"tries-{job.job_id}"  # the limit of ten a minute is not what is tried here
            said = user.told(*WHY, str(job.job_id), env={"XDG_STATE_HOME": str(tries)})
            assert said.returncode == 0, said.stderr
            now = [each for each in json.loads(said.stdout).get("better", ()) if each["is_now"]]
            if now:
                gentle = [each for each in now if not each["preempts"]]
                self._apply(job.job_id, user, dice.choice(gentle or now))
                self.until_calm()

    def _apply(self, job_id: int, user: Any, change: dict[str, Any]) -> None:
        what = f"queue {self.seed}, job {job_id}: {change['change']} ({' '.join(change['command'])})"
        done = user.told(*change["command"])
        give_up = time.monotonic() + SOON
        while time.monotonic() < give_up and not self.station.job(job_id).state.is_running:
            time.sleep(0.2)
        job = self.station.job(job_id)
        if job.state.is_running:
            self.started.append(what)
        else:
            self.failed.append(f"{what}: {job.state} {job.reason} {done.stderr}")


def test_a_change_that_is_said_to_start_a_job_now_does_so(station, ann, wait_for):
    started, failed = list[str](), list[str]()
    for seed in SEEDS:
        trial = Trial(station, wait_for, seed)
        trial.fill()
        trial.try_some()
        started += trial.started
        failed += trial.failed
        station.cancel_all()
    kinds = Counter(each.partition(": ")[2].partition(" (")[0].lstrip("0123456789 ") for each in started)
    print(f"{len(started)} of {len(started) + len(failed)} changes started their job: {dict(kinds)}")
    print("\n".join([*started, *failed]))
    assert len(started) >= (len(SEEDS) + 1) // 2, "hardly a change was offered"
    assert len(started) >= 0.95 * (len(started) + len(failed)), "\n".join(failed)
