"""What `aistation job submit` costs more than `sbatch` of the script that it renders: side by side, the whole command.

A one-machine cluster; a user submits the same training in turn by `aistation job submit --template plain` and by sbatch
of the rendered script, held, so that no job's start disturbs the next round. The difference of the medians is what a
user waits longer. Other work on the machine lengthens it, so the CPU time of both (user and system, of the command and
its children) stands beside it: on a machine with nothing else to do the difference would be about that. Below stands
what Python imports cost, the dearest first (`-X importtime`, itself slower than without).

    scripts/dev/bench submit_job
    scripts/dev/bench submit_job --rounds 30
    scripts/dev/bench submit_job --name mine      a cluster that stands, and is left standing
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from timing import line

from aistation_slurm.assets import asset_dir
from aistation_slurm.cli.dev import start_cluster
from aistation_slurm.devcluster.cluster import DevCluster, down
from aistation_slurm.devcluster.login import become
from aistation_slurm.devcluster.plan import Wishes

AIM = 0.150
USER = "ann"
AISTATION = str(Path(sys.executable).with_name("aistation"))
ASKED = ("--hold", "--template", "plain", "--gpus", "1", "--mem", "1G", "--time", "10")
_IMPORT = re.compile(r"import time:\s+(?P<own>\d+) \|\s+(?P<all>\d+) \| (?P<module>\s*\S+)")


@dataclass(frozen=True)
class Cost:
    """What one command took: seconds on the clock, and of a CPU."""

    wall: float
    cpu: float


def cost_of(cluster: DevCluster, folder: Path, *words: str) -> Cost:
    """Return what the command took when the user ran it."""
    prepared = become(cluster, words, user=USER, cwd=folder)
    assert prepared.account is not None
    start = time.perf_counter()
    process = subprocess.Popen(
        prepared.argv, env=prepared.env, cwd=prepared.cwd, user=prepared.account.pw_uid,
        group=prepared.account.pw_gid, extra_groups=[], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    said = process.stderr.read() if process.stderr else b""
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: {said.decode()}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def imports(cluster: DevCluster, folder: Path) -> list[tuple[int, str]]:
    """Return microseconds and names of the top-level modules that a submission imports, the dearest first."""
    words = (sys.executable, "-X", "importtime", "-m", "aistation_slurm", "job", "submit", *ASKED, "train.py")
    prepared = become(cluster, words, user=USER, cwd=folder)
    assert prepared.account is not None
    done = subprocess.run(
        prepared.argv, env=prepared.env, cwd=prepared.cwd, capture_output=True, text=True, check=True,
        user=prepared.account.pw_uid, group=prepared.account.pw_gid, extra_groups=[],
    )  # fmt: skip
    found: dict[str, int] = {}
    for match in _IMPORT.finditer(done.stderr):
        package = match["module"].strip().partition(".")[0]
        found[package] = found.get(package, 0) + int(match["own"])
    return sorted(((own, name) for name, own in found.items()), reverse=True)


def measure(cluster: DevCluster, folder: Path, rounds: int) -> dict[str, list[Cost]]:
    """Return what each way took in each round; they take turns, and who goes first."""
    ways = {
        "aistation job submit": (AISTATION, "job", "submit", *ASKED, "train.py"),
        "sbatch of the same script": ("sbatch", "--hold", "job.sbatch"),
    }
    taken: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(-2, rounds):  # the first two only warm the caches
        order = list(ways.items())
        for name, words in order if number % 2 else reversed(order):
            cost = cost_of(cluster, folder, *words)
            if number >= 0:
                taken[name].append(cost)
    return taken


def report(taken: dict[str, list[Cost]], dear: Sequence[tuple[int, str]]) -> bool:
    """Print the figures; return whether the aim is met, on the clock or, on a busy machine, in CPU time."""
    ours, theirs = taken.values()
    for name, costs in taken.items():
        print(line(name, [each.wall for each in costs]))
        print(line(f"  {name}, CPU", [each.cpu for each in costs]))
    wall = statistics.median(each.wall for each in ours) - statistics.median(each.wall for each in theirs)
    cpu = statistics.median(each.cpu for each in ours) - statistics.median(each.cpu for each in theirs)
    print(f"\nlonger by {wall * 1000:.0f} ms (median), {cpu * 1000:.0f} ms of CPU; the aim is {AIM * 1000:.0f} ms")
    load = os.getloadavg()[0]
    if load > 1:
        print(f"the machine is busy (load {load:.1f}): the CPU time is what a quiet one would show")
    print("\nimports, in ms (under -X importtime):")
    for own, name in dear[:14]:
        print(f"  {own / 1000:6.1f}  {name}")
    print(f"  {sum(own for own, _ in dear) / 1000:6.1f}  all")
    return wall <= AIM or (load > 1 and cpu <= AIM)


@contextmanager
def a_cluster(name: str | None) -> Iterator[DevCluster]:
    """Yield the cluster of this name, or one of our own, which is gone afterwards."""
    if name:
        yield DevCluster.open(name)
        return
    wishes = Wishes(name="bench-submit", layout="loopback", agents=False, daemon=False, page=False)
    yield start_cluster(wishes, file=asset_dir("slurm_conf") / "examples" / "small.yaml")
    down(wishes.name, say=print)


def main() -> int:
    """Measure and report; 0 where the aim is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--name")
    asked = parser.parse_args()
    with a_cluster(asked.name) as cluster:
        prepared = become(cluster, ("true",), user=USER)
        assert prepared.account is not None
        folder = Path(prepared.account.pw_dir) / "bench-submit"
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text("print('hello')\n")
        os.chown(folder, prepared.account.pw_uid, prepared.account.pw_gid)
        dry = become(cluster, (AISTATION, "job", "submit", "--dry-run", *ASKED, "train.py"), user=USER, cwd=folder)
        script = subprocess.run(
            dry.argv, env=dry.env, cwd=dry.cwd, capture_output=True, check=True, user=prepared.account.pw_uid,
            group=prepared.account.pw_gid, extra_groups=[],
        ).stdout  # fmt: skip
        (folder / "job.sbatch").write_bytes(script)
        try:
            return 0 if report(measure(cluster, folder, asked.rounds), imports(cluster, folder)) else 1
        finally:
            cancel = become(cluster, ("scancel", f"--user={USER}", "--state=PENDING"), user=USER, cwd=folder)
            subprocess.run(cancel.argv, env=cancel.env, check=False)
            subprocess.run(["rm", "-r", folder], check=False)


if __name__ == "__main__":
    sys.exit(main())
