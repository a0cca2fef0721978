"""From `sbatch` of an emergency job on a full cluster to its first line, and what became of who made room.

All GPUs of a group are taken by trainings from the template `plain`. One after the other, emergency jobs come: each
takes the place of a training, is cancelled once that one waits for its turn, and the training runs again. There are
three kinds of trainings: one hears TERM, takes its time to save, and leaves; one dies of TERM, and has saved by itself
before; one is deaf, so that Slurm kills it after KillWait (30 s). What an emergency job waits for is the victim's save,
or KillWait; what it took beyond that is Slurm's.

    scripts/dev/bench emergency                             40 trials of those that save, and of those that die
    scripts/dev/bench emergency --kinds deaf --trials 5     35 s each
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent))

from timing import line, percentile

from aistation_slurm import checkpoint
from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.cluster import DevCluster, down
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm.connect import connect

SMALL = asset_dir("slurm_conf") / "examples/small.yaml"
OURS = (sys.executable, "-m", "aistation_slurm")
KINDS = ("saves", "dies", "deaf")
AIM = 5.0
"""Seconds beyond the victim's save, or beyond KillWait."""
PATIENCE = 180.0
TRAINING = """
import os, signal, sys, time
from checkpoint import Checkpoints, SaveSoon

kind, seconds = sys.argv[1], float(sys.argv[2])
soon = SaveSoon(signal.SIGUSR2, signal.SIGTERM) if kind == "saves" else None
if kind == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
checkpoints = Checkpoints(os.environ["AISTATION_CHECKPOINT_DIR"])
found = checkpoints.claim()
step = found.step if found else 0
print(f"goes on from step {step} at {time.time():.3f}", flush=True)
while not (soon and soon.wanted):
    time.sleep(0.02)
    step += 1
    if kind != "saves" and step % 20 == 0:
        checkpoints.save(step, str(step).encode())
        print(f"saved step {step} at {time.time():.3f}", flush=True)
print(f"told at {time.time():.3f}", flush=True)
time.sleep(seconds)
checkpoints.save(step, str(step).encode())
print(f"saved step {step} at {time.time():.3f}", flush=True)
"""
T = TypeVar("T")


@dataclass(frozen=True)
class Trial:
    """What one emergency showed; times in seconds."""

    kind: str
    to_first_line: float
    to_save: float
    """How long the victim took from hearing TERM to having saved; 0 where it doesn't."""
    to_turn: float
    """From the first line until the victim waited for nothing but room."""
    to_rerun: float
    """From there being room again until the victim's next run began to train."""
    saved: int
    went_on_from: int

    @property
    def is_good(self) -> bool:
        """True where the victim went on from what it had saved; or from later, where it died before it could say so."""
        return self.went_on_from >= self.saved > 0


class Bench:
    """A cluster whose group v100 is full of trainings, and chen, who may submit emergency jobs."""

    def __init__(self, cluster: DevCluster) -> None:
        self.cluster = cluster
        self.read = connect(read_settings(cluster.paths.config).slurm).read
        self.trainings: dict[int, str] = {}

    def run(self, user: str, *argv: str, stdin: str = "") -> str:
        """Return what the command printed that the user ran at home."""
        prepared = become(self.cluster, argv, user=user)
        assert prepared.account
        done = subprocess.run(
            prepared.argv, env=prepared.env, cwd=prepared.cwd, input=stdin, capture_output=True, text=True, check=False,
            user=prepared.account.pw_uid, group=prepared.account.pw_gid, extra_groups=[],
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def home(self, user: str) -> Path:
        """Return where the user is at home."""
        return become(self.cluster, ("true",), user=user).cwd

    def fill(self, kind: str, seconds: float) -> None:
        """Take all six GPUs with three trainings, and wait until all of them train."""
        for user in ("ann", "bob", "eve"):
            for name, text in (("train.py", TRAINING), ("checkpoint.py", Path(checkpoint.__file__).read_text())):
                (self.home(user) / name).write_text(text)
                (self.home(user) / name).chmod(0o644)
            words = ("job", "submit", "--parsable", "--template", "plain", "--group", "v100", "--gpus-per-node", "2",
                     "--name", "bench", "--python", sys.executable, "train.py", "--", kind, str(seconds))  # fmt: skip
            self.trainings[int(self.run(user, *OURS, *words))] = user
        until("all trainings train", lambda: all("goes on from" in self.log(each) for each in self.trainings))

    def log(self, job_id: int) -> str:
        """Return what a training has printed."""
        path = self.home(self.trainings[job_id]) / f"bench-{job_id}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def restarts(self) -> dict[int, int]:
        """Return how often each training was put back."""
        return {each.job_id: each.restart_count for each in self.read.jobs() if each.job_id in self.trainings}

    def empty(self) -> None:
        """Cancel everything, and wait until it is gone."""
        ids = [str(each.job_id) for each in self.read.jobs() if not each.state.is_over]
        env = {**os.environ, **self.cluster.env()}
        for words in (("--signal=KILL", "--full"), ()):
            subprocess.run(("scancel", *words, *ids), env=env, check=False)
        until("the cluster is empty", lambda: all(each.state.is_over for each in self.read.jobs()))
        self.trainings.clear()


def until(what: str, found: Callable[[], T]) -> T:
    """Return what is found once it is true."""
    give_up = time.monotonic() + PATIENCE
    while not (answer := found()):
        if time.monotonic() > give_up:
            sys.exit(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.02)
    return answer


def trial(bench: Bench, kind: str) -> Trial:
    """Let one emergency come and go, and return what it and its victim did."""
    before, at = bench.restarts(), time.time()
    urgent = int(bench.run("chen", "sbatch", "--parsable", "--qos=emergency", "--gpus=2",
                           stdin="#!/bin/sh\ndate +%s.%N\nexec sleep 100000\n"))  # fmt: skip
    output = bench.home("chen") / f"slurm-{urgent}.out"
    first = float(until("its first line", lambda: output.exists() and output.read_text().strip()))
    [victim] = [job for job, count in bench.restarts().items() if count > before[job]]
    until("the victim's turn", lambda: (job := bench.read.job(victim)).state.is_waiting and job.reason != "BeginTime")
    log, turn = bench.log(victim), time.time()
    bench.run("chen", "scancel", str(urgent))
    runs = log.count("goes on from")
    new = until("the victim's next run", lambda: (text := bench.log(victim)).count("goes on from") > runs and text)
    step, began = re.findall(r"goes on from step (\d+) at ([\d.]+)", new)[-1]
    saved, saved_at = re.findall(r"saved step (\d+) at ([\d.]+)", log)[-1]
    told = re.findall(r"told at ([\d.]+)", log)
    return Trial(
        kind=kind,
        to_first_line=first - at,
        to_save=float(saved_at) - float(told[-1]) if told else 0.0,
        to_turn=turn - first,
        to_rerun=float(began) - turn,
        saved=int(saved),
        went_on_from=int(step),
    )


def report(kind: str, trials: list[Trial], kill_wait: float) -> bool:
    """Print what was seen, and return whether each victim went on and all but one in twenty kept the aim."""
    wait = kill_wait if kind == "deaf" else 0.0
    beyond = [each.to_first_line - each.to_save - wait for each in trials]
    print(line(f"{kind}: sbatch to the first line", [each.to_first_line for each in trials]))
    if kind != "dies":
        print(line(f"{kind}: beyond {'KillWait' if wait else 'the save'}", beyond))
    print(line(f"{kind}: until the victim's turn", [each.to_turn for each in trials]))
    print(line(f"{kind}: room to the victim's next run", [each.to_rerun for each in trials]))
    good = sum(each.is_good for each in trials)
    print(f"{kind}: went on from what they had saved: {good} of {len(trials)}")
    kept = percentile(beyond, 0.95) <= AIM
    print(f"{kind}: aim, at most {AIM:.0f} s beyond it at p95: {'kept' if kept else 'MISSED'}")
    return kept and good == len(trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--kinds", default="saves,dies", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--save", type=float, default=2.0, help="how many seconds a save takes")
    parser.add_argument("--name", default="bench")
    parser.add_argument("--out", type=Path, help="write every trial as a line of JSON")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    options = parser.parse_args()
    wishes = Wishes(name=options.name, layout="netns", agents=True, daemon=True, page=False)
    bench, good = Bench(start_cluster(wishes, file=SMALL)), True
    kill_wait = float(bench.read.config()["KillWait"].split()[0])
    for kind in options.kinds.split(","):
        bench.fill(kind, options.save)
        trials = []
        for _ in range(options.trials):
            trials.append(last := trial(bench, kind))
            print(f"{len(trials):3} {kind}  {last.to_first_line:6.2f} s", flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(vars(last)) + "\n")
        good &= report(kind, trials, kill_wait)
        bench.empty()
    if not options.keep:
        down(options.name, say=lambda _: None)
    sys.exit(0 if good else "some emergency came late, or a victim lost what it had saved")


if __name__ == "__main__":
    main()
