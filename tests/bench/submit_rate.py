"""How many submissions a second slurmctld takes with our job_submit.lua, against without: interleaved pairs.

A one-machine cluster of so many groups (each a partition and a QOS); 16 submitters at a time send jobs with a GPU
each. Each pair is one round with the rules and one without, in turn the one or the other first. The ratio is the
median of the pairs; beside it stands the time that slurmctld itself spends on a submission (sdiag).

    scripts/dev/bench submit_rate
    scripts/dev/bench submit_rate --pairs 3 --jobs 160
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from timing import seconds

from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.cluster import DevCluster, down
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.errors import AistationError
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm.connect import Slurm, connect

USER = "ann"
KEY = "JobSubmitPlugins=lua"
RPC = "REQUEST_SUBMIT_BATCH_JOB"
AIM = 0.95


@dataclass(frozen=True)
class Round:
    """One round: submissions a second, and what slurmctld itself spent on each."""

    rate: float
    inside: timedelta


def cluster_file(groups: int) -> str:
    """Return a cluster file with so many groups of one node each."""
    lines = [
        f"  g{each:03}: {{nodes: g{each:03}-01, gpu_type: v100, gpus_per_node: 8, cpus: 64, memory: 256G, "
        "quota: {per_user: {gpu: 8}}}"
        for each in range(groups)
    ]
    team = f"teams:\n  team: {{members: [{USER}]}}\n"
    return "\n".join(["cluster: bench", "groups:", *lines, "default_group: g000", team])


def submit(cluster: DevCluster, jobs: int, at_once: int) -> None:
    """Submit so many jobs, so many at a time; one that is refused ends the bench."""
    words = ("sbatch", "--parsable", "--hold", "--gpus-per-node=1", "--output=/dev/null", "--wrap", "true")
    ready = become(cluster, words, user=USER, cwd=Path("/tmp"))
    assert ready.account is not None

    def one(_: int) -> None:
        who = {"user": ready.account.pw_uid, "group": ready.account.pw_gid, "extra_groups": []}
        done = subprocess.run(
            words, env=ready.env, cwd="/", capture_output=True, text=True, timeout=60, check=False, **who
        )
        if done.returncode:
            sys.exit(done.stderr)

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(jobs)))


def switch(cluster: DevCluster, slurm: Slurm, *, rules: bool) -> None:
    """Let slurmctld run with our rules, or without."""
    path = cluster.paths.slurm_conf
    lines = [line for line in path.read_text().splitlines() if line != KEY]
    path.write_text("\n".join([*([KEY] if rules else []), *lines]) + "\n")
    slurm.write.reconfigure()
    wait_for(lambda: ("lua" in slurm.read.config().get("JobSubmitPlugins", "")) == rules)


def wait_for(is_so: Callable[[], bool], patience: float = 60) -> None:
    give_up = time.monotonic() + patience
    while True:
        with suppress(AistationError):
            if is_so():
                return
        if time.monotonic() > give_up:
            sys.exit("slurmctld does not come to what was asked of it")
        time.sleep(0.1)


def spent(slurm: Slurm) -> tuple[int, timedelta]:
    """Return how many submissions slurmctld has served, and in what time."""
    found = [each for each in slurm.read.diag().rpcs if each.name == RPC]
    return (found[0].count, found[0].total_time) if found else (0, timedelta())


def one_round(cluster: DevCluster, slurm: Slurm, jobs: int, at_once: int, *, rules: bool) -> Round:
    switch(cluster, slurm, rules=rules)
    submit(cluster, at_once, at_once)  # the first ones load the rules
    count, before = spent(slurm)
    taken = seconds(lambda: submit(cluster, jobs, at_once))
    count_after, after = spent(slurm)
    subprocess.run(("scancel", "-u", USER), env=become(cluster, (), user=None).env, check=True, timeout=120)
    wait_for(lambda: all(each.state.is_over for each in slurm.read.jobs()))
    return Round(jobs / taken, (after - before) / max(1, count_after - count))


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="submit-rate")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=480)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--groups", type=int, default=100)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cluster.yaml"
        file.write_text(cluster_file(wanted.groups))
        cluster = start_cluster(Wishes(name=wanted.name, layout="loopback", agents=False, daemon=False), file=file)
    try:
        slurm = connect(read_settings(cluster.paths.config).slurm)
        rounds: dict[bool, list[Round]] = {True: [], False: []}
        for pair in range(wanted.pairs):
            for rules in (True, False) if pair % 2 else (False, True):
                rounds[rules].append(one_round(cluster, slurm, wanted.jobs, wanted.at_once, rules=rules))
            print(f"pair {pair + 1}: {rounds[True][-1].rate:6.1f}/s with, {rounds[False][-1].rate:6.1f}/s without")
    finally:
        down(wanted.name, say=lambda _: None)
    report(rounds)


def report(rounds: dict[bool, list[Round]]) -> None:
    ratios = [ours.rate / bare.rate for ours, bare in zip(rounds[True], rounds[False], strict=True)]
    inside = {rules: statistics.median(each.inside.total_seconds() * 1e6 for each in rounds[rules]) for rules in rounds}
    ratio = statistics.median(ratios)
    print(f"inside slurmctld, a submission: {inside[True]:.0f} us with, {inside[False]:.0f} us without (medians)")
    print(f"rate with the rules is {ratio:.3f} of the rate without (median of {len(ratios)} pairs)")
    print(f"aim {AIM:.2f}: {'kept' if ratio >= AIM else 'MISSED'}")


if __name__ == "__main__":
    main()
