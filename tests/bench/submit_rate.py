"""How many submissions a second slurmctld takes with our job_submit.lua, against without: interleaved pairs.

A one-machine cluster of so many groups (each a partition and a QOS); 16 submitters at a time send jobs with a GPU
each. Each pair is one round with the rules and one without, in turn the one or the other first. The ratio is the
median of the pairs; its spread says how far the machine can be believed. Beside it stands what slurmctld itself spends
on a submission (CPU time, from /proc), which other work on the machine moves much less: `at worst` is the rate that
would be left if nothing else could be done in that time.

    scripts/dev/bench submit_rate
    scripts/dev/bench submit_rate --pairs 3 --jobs 160
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from timing import percentile, seconds

from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.cluster import DevCluster, down
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.errors import AistationError
from aistation_slurm.settings import read_settings
from aistation_slurm.slurm.connect import Slurm, connect

USER = "ann"
KEY = "JobSubmitPlugins=lua"
AIM = 0.95


@dataclass(frozen=True)
class Round:
    """One round: submissions a second, and the CPU time of slurmctld for each, in microseconds."""

    rate: float
    cpu: float


@dataclass(frozen=True)
class Pair:
    """One round with the rules, and one without."""

    ours: Round
    bare: Round

    @property
    def ratio(self) -> float:
        """The rate with the rules, as a share of the rate without."""
        return self.ours.rate / self.bare.rate

    @property
    def at_worst(self) -> float:
        """The same from CPU time alone: as if all that slurmctld spends more were added to each submission."""
        return 1 / (1 + max(0.0, self.ours.cpu - self.bare.cpu) * 1e-6 * self.bare.rate)

    def __str__(self) -> str:
        return (
            f"{self.ours.rate:6.1f}/s with, {self.bare.rate:6.1f}/s without ({self.ratio:.3f}); "
            f"slurmctld {self.ours.cpu:5.0f} and {self.bare.cpu:5.0f} us each"
        )


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
    """Wait until it is so; an error of ours is not yet so."""
    give_up = time.monotonic() + patience
    while True:
        with suppress(AistationError):
            if is_so():
                return
        if time.monotonic() > give_up:
            sys.exit("slurmctld does not come to what was asked of it")
        time.sleep(0.1)


def cpu_of(pid: int) -> float:
    """Return the CPU time that the process has taken so far, in microseconds (proc(5), utime and stime)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") * 1e6


def one_round(cluster: DevCluster, slurm: Slurm, jobs: int, at_once: int, *, rules: bool) -> Round:
    """Submit so many jobs with the rules or without, and take them away again."""
    switch(cluster, slurm, rules=rules)
    submit(cluster, at_once, at_once)  # the first ones load the rules
    pid = cluster.running()["slurmctld"].pid
    before = cpu_of(pid)
    taken = seconds(lambda: submit(cluster, jobs, at_once))
    spent = cpu_of(pid) - before
    subprocess.run(("scancel", "-u", USER), env=become(cluster, (), user=None).env, check=True, timeout=120)
    wait_for(lambda: all(each.state.is_over for each in slurm.read.jobs()))
    return Round(jobs / taken, spent / jobs)


def pairs(cluster: DevCluster, slurm: Slurm, count: int, jobs: int, at_once: int = 16) -> Iterator[Pair]:
    """Yield so many pairs, in turn the one or the other first."""
    for number in range(count):
        found = {
            rules: one_round(cluster, slurm, jobs, at_once, rules=rules)
            for rules in ((True, False) if number % 2 else (False, True))
        }
        yield Pair(found[True], found[False])


def main() -> None:
    """Measure, and print the ratio; the exit code is 1 where the aim is missed."""
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
    found = []
    try:
        slurm = connect(read_settings(cluster.paths.config).slurm)
        for pair in pairs(cluster, slurm, wanted.pairs, wanted.jobs, wanted.at_once):
            found.append(pair)
            print(f"pair {len(found)}: {pair}", flush=True)
    finally:
        down(wanted.name, say=lambda _: None)
    sys.exit(report(found) < AIM)


def report(found: list[Pair]) -> float:
    """Print what the pairs say, and return the median of their ratios."""
    ratios = [each.ratio for each in found]
    ratio = statistics.median(ratios)
    ours, bare = (statistics.median(cpus) for cpus in ([p.ours.cpu for p in found], [p.bare.cpu for p in found]))
    worst = statistics.median(each.at_worst for each in found)
    print(
        f"slurmctld, a submission: {ours:.0f} us of CPU with, {bare:.0f} us without; at worst {worst:.3f} of the rate"
    )
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}, middle half {percentile(ratios, 0.25):.3f} to "
    spread += f"{percentile(ratios, 0.75):.3f}"
    print(f"rate with the rules is {ratio:.3f} of the rate without (median of {len(ratios)} pairs; {spread})")
    print(f"aim {AIM:.2f}: {'kept' if ratio >= AIM else 'MISSED'}")
    return ratio


if __name__ == "__main__":
    main()
