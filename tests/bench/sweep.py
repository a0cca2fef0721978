"""A sweep of 1,000 configurations as one array: against 1,000 sbatch, and against submitit's map_array.

All three are run by the same user on the same one-machine cluster, in turn, each from its command to its end: our
own, a loop of sbatch in bash, and a Python that calls map_array (left out where submitit is not installed). The jobs
are held, so that none runs while another is being measured. slurmctld's own counters say how many submissions it was
asked for, and how long it worked on them.

With --run the members then run for real: some fail at first, some are cancelled; only those are started again, and the
table must show for each member the metric that follows from its parameters.

    scripts/dev/bench sweep
    scripts/dev/bench sweep --members 200 --rounds 1 --run
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from timing import line, seconds

from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.cluster import DevCluster, down
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm.connect import Slurm, connect

USER = "ann"
SWEEP = (sys.executable, "-m", "aistation_slurm", "job", "sweep")
SUBMIT = "REQUEST_SUBMIT_BATCH_JOB"
OURS, LOOP, PEER = "aistation job sweep", "sbatch, one by one", "submitit map_array"
TIMES = 15
"""How much quicker than a loop of sbatch a sweep is to be."""
TRAIN = """echo "$AISTATION_SWEEP_MEMBER" >>starts
[[ -e mended || $(($1 % 50)) -ne 7 ]] || exit 3
[[ -e mended || $(($1 % 100)) -ne 23 ]] || sleep 600
echo '{"step": 1, "total": 1, "time": 1, "metrics": {"loss": '"$(($1 * $1 - 7 * $2))"'}}' >>"$AISTATION_RUN_DIR/progress.jsonl"
"""  # noqa: E501
BATCH = """#!/bin/bash
#SBATCH --hold
#SBATCH --output=/dev/null
echo "$1" "$2"
"""
LOOP_OF_SBATCH = 'for ((n = 0; n < $1; n++)); do sbatch --parsable one.sbatch "$n" "$((n % 13))" >>ids || exit 1; done'
MAP_ARRAY = """import sys, submitit

def train(a, b):
    return a * a - 7 * b

executor = submitit.AutoExecutor(folder="peer-logs", cluster="slurm")
executor.update_parameters(timeout_min=10, slurm_array_parallelism=1000, slurm_additional_parameters={"hold": True})
count = int(sys.argv[1])
jobs = executor.map_array(train, range(count), [n % 13 for n in range(count)])
print(jobs[0].job_id)
"""


@dataclass(frozen=True)
class Rpcs:
    """What slurmctld was asked to submit so far, and the time that it took for that, in seconds."""

    count: int
    time: float

    def since(self, before: Rpcs) -> Rpcs:
        """Return what came since."""
        return Rpcs(self.count - before.count, self.time - before.time)


class Lab:
    """Ann's folder on the cluster of this bench."""

    def __init__(self, cluster: DevCluster, slurm: Slurm, folder: Path, members: int) -> None:
        self.cluster, self.slurm, self.folder, self.members = cluster, slurm, folder, members
        files = {"train.sh": TRAIN, "one.sbatch": BATCH, "peer.py": MAP_ARRAY}
        rows = (json.dumps({"a": n, "b": n % 13}) for n in range(members))
        for name, text in {**files, "params.jsonl": "\n".join(rows) + "\n"}.items():
            (folder / name).write_text(text)

    def run(self, *words: str) -> str:
        """Return what the command prints, run by ann in her folder; one that fails ends the bench."""
        ready = become(self.cluster, words, user=USER, cwd=self.folder)
        assert ready.account is not None
        who: dict[str, Any] = {"user": ready.account.pw_uid, "group": ready.account.pw_gid, "extra_groups": []}
        done = subprocess.run(
            ready.argv, env=ready.env, cwd=ready.cwd, capture_output=True, text=True, timeout=600, check=False, **who
        )
        if done.returncode:
            sys.exit(f"{words[:4]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def sweep(self, *options: str) -> str:
        """Submit the sweep, and return its id."""
        words = ("--parsable", "--list", "params.jsonl", "--time", "10", "-c1", *options)
        return self.run(*SWEEP, *words, "train.sh", "--", "{a}", "{b}").strip()

    def rpcs(self) -> Rpcs:
        """Return slurmctld's counters of submissions."""
        found = [each for each in self.slurm.read.diag().rpcs if each.name == SUBMIT]
        return Rpcs(sum(each.count for each in found), sum(each.total_time.total_seconds() for each in found))

    def clear(self) -> None:
        """Cancel all, and wait until slurmctld holds none of it as waiting."""
        self.run("scancel", "--user", USER)
        wait_for(lambda: all(each.state.is_over for each in self.slurm.read.jobs()))


def wait_for(is_so: Callable[[], bool], patience: float = 900, every: float = 0.5) -> None:
    """Wait until it is so."""
    give_up = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > give_up:
            sys.exit("it does not come to that")
        time.sleep(every)


def arms(lab: Lab) -> dict[str, Callable[[], object]]:
    """Return what is compared, each from its command to its end."""
    count = str(lab.members)
    found: dict[str, Callable[[], object]] = {
        OURS: lambda: lab.sweep("--hold"),
        LOOP: lambda: lab.run("bash", "-c", LOOP_OF_SBATCH, "loop", count),
    }
    if find_spec("submitit"):
        found[PEER] = lambda: lab.run(sys.executable, "peer.py", count)
    else:
        print("submitit is not installed here, and left out (pip install submitit)")
    return found


def compare(lab: Lab, rounds: int) -> bool:
    """Measure each in turn, print what came out, and return whether the aims are kept."""
    taken: dict[str, list[float]] = {}
    asked: dict[str, Rpcs] = {}
    for number in range(rounds):
        for name, call in arms(lab).items():
            before = lab.rpcs()
            taken.setdefault(name, []).append(seconds(call))
            asked[name] = lab.rpcs().since(before)
            lab.clear()
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {times[-1]:.2f} s" for name, times in taken.items()),
            flush=True,
        )
    for name, times in taken.items():
        print(f"{line(name, times)}  {asked[name].count} submissions, {asked[name].time * 1000:.1f} ms in slurmctld")
    ours = statistics.median(taken[OURS])
    times = statistics.median(taken[LOOP]) / ours
    less = ratio(asked)
    print(f"{times:.1f} times as quick as {lab.members} sbatch (aim {TIMES}), {less} times less work for slurmctld")
    kept = times >= TIMES and asked[OURS].count == 1
    if PEER in taken:
        peer = statistics.median(taken[PEER]) / ours
        print(f"{peer:.2f} times as quick as map_array (aim 1)")
        kept = kept and peer >= 1
    return kept


def ratio(asked: dict[str, Rpcs]) -> str:
    """Return how much less slurmctld worked on our submission than on the loop's."""
    return f"{asked[LOOP].time / asked[OURS].time:.0f}" if asked[OURS].time else "?"


def carry_out(lab: Lab) -> bool:
    """Run all members for real; return whether the table was right, and only what failed was started again."""
    began = time.monotonic()
    sweep = lab.sweep()
    fails = {n for n in range(lab.members) if n % 50 == 7}
    hangs = {n for n in range(lab.members) if n % 100 == 23}
    wait_for(lambda: counts(lab, sweep).get("RUNNING", 0) == len(hangs) == sum_alive(lab, sweep), every=2)
    print(
        f"{lab.members} members, all but {len(hangs)} over after {time.monotonic() - began:.0f} s: {counts(lab, sweep)}"
    )
    lab.run(*SWEEP, "cancel", sweep)
    wait_for(lambda: counts(lab, sweep).get("CANCELLED", 0) == len(hangs))
    right = [is_right(lab, sweep, without=fails | hangs)]
    (lab.folder / "mended").touch()
    again = json.loads(lab.run(*SWEEP, "retry", "--json", "--cancelled", sweep))["members"]
    wait_for(lambda: counts(lab, sweep) == {"COMPLETED": lab.members}, every=2)
    right.append(is_right(lab, sweep, without=set()))
    starts = Counter((lab.folder / "starts").read_text().split())
    wanted = {str(n): 2 if n in fails | hangs else 1 for n in range(lab.members)}
    right += [set(again) == fails | hangs, starts == wanted]
    print(f"{len(fails)} failed, {len(hangs)} were cancelled, {len(again)} started again: {again}")
    print(f"how often each member was started is {'right' if starts == wanted else 'WRONG'}")
    return all(right)


def shown(lab: Lab, sweep: str) -> dict[str, Any]:
    """Return the sweep's table."""
    return dict(json.loads(lab.run(*SWEEP, "show", "--json", sweep)))


def counts(lab: Lab, sweep: str) -> dict[str, int]:
    """Return how many members are in which state."""
    return dict(shown(lab, sweep)["counts"])


def sum_alive(lab: Lab, sweep: str) -> int:
    """Return how many members are not over."""
    over = {"COMPLETED", "FAILED", "CANCELLED"}
    return sum(count for state, count in counts(lab, sweep).items() if state not in over)


def is_right(lab: Lab, sweep: str, *, without: set[int]) -> bool:
    """True where each member but these shows the metric that follows from its parameters, and the best is first."""
    members = shown(lab, sweep)["members"]
    found = {each["member"]: each["metrics"] for each in members}
    wanted = {n: {} if n in without else {"loss": n * n - 7 * (n % 13)} for n in range(lab.members)}
    best = min((n for n in wanted if wanted[n]), key=lambda n: wanted[n]["loss"])
    right = found == wanted and members[0]["member"] == best
    print(f"the table is {'right' if right else 'WRONG'}: {lab.members - len(without)} members with their metrics")
    return right


def main() -> None:
    """Measure, and print the ratios; the exit code is 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="sweep-bench")
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", action="store_true", help="let the members run for real, too")
    wanted = parser.parse_args()
    file = asset_dir("slurm_conf") / "examples" / "small.yaml"
    cluster = start_cluster(
        Wishes(name=wanted.name, layout="loopback", agents=False, daemon=False, page=False), file=file
    )
    folder = Path("/var/tmp") / f"aistation-{wanted.name}"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.chown(folder, USER)
        lab = Lab(cluster, connect(read_settings(cluster.paths.config).slurm), folder, wanted.members)
        kept = compare(lab, wanted.rounds) if wanted.rounds else True
        if wanted.run:
            kept = carry_out(lab) and kept
    finally:
        down(wanted.name, say=lambda _: None)
        shutil.rmtree(folder, ignore_errors=True)
    print(f"aims {'kept' if kept else 'MISSED'}")
    sys.exit(not kept)


if __name__ == "__main__":
    os.umask(0o022)
    main()
