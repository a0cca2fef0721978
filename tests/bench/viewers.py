"""200 readers of one snapshot for a minute, against one reader: what slurmctld was asked, by sdiag.

On a queue of its own (`queue_of.py`), once without asking what changed (each look is a full dump) and once with it.
The readers are threads of one process, as the page's requests are; each asks for jobs, nodes and partitions, and again
after half a second. The period is longer than 20 dumps here, so that both have the same rhythm. For comparison the
same 200 questions are put to the cli reader itself, once.

    scripts/dev/bench viewers
    scripts/dev/bench viewers --readers 1000 --seconds 20
    scripts/dev/bench viewers --jobs 10000 --period 20
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from queue_of import Stage, queue_of

from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm.connect import connect
from aistation_slurm.slurm.snapshots import SnapshotReader

ASKED = ("REQUEST_JOB_INFO", "REQUEST_NODE_INFO", "REQUEST_PARTITION_INFO")
AGAIN = 0.5
A_LOOK = 8
"""RPCs of one look at most: three for what changed, five for a dump, of which three are for partitions."""


def counted(stage: Stage) -> dict[str, int]:
    """Return how often slurmctld was asked each of these, since it began to count."""
    rpcs = connect(SlurmSettings(conf=stage.conf, reader="cli")).read.diag().rpcs
    return {name: next((each.count for each in rpcs if each.name == name), 0) for name in ASKED}


def asked_by(
    stage: Stage, readers: int, seconds: float, *, period: timedelta, conditional: bool
) -> tuple[dict[str, int], int]:
    """Return what slurmctld was asked while so many readers asked, and how many answers they had."""
    slurm = connect(SlurmSettings(conf=stage.conf, reader="cli"))
    reader = SnapshotReader(slurm.read, slurm.conditional if conditional else None, period=period, patience=30)
    answers: list[int] = []
    over = threading.Event()

    def read() -> None:
        had = 0
        while not over.is_set():
            found = len(reader.jobs()), len(reader.nodes()), len(reader.partitions())
            if found[0] != stage.jobs:
                sys.exit(f"{found[0]} jobs, {stage.jobs} wanted")
            had += 3
            over.wait(AGAIN)
        answers.append(had)

    before = counted(stage)
    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    after = counted(stage)
    reader.close()
    return {name: after[name] - before[name] for name in ASKED}, sum(answers)


def each_for_itself(stage: Stage, readers: int) -> tuple[dict[str, int], float]:
    """Return what slurmctld was asked by one question of each reader without a snapshot, and how long that took."""
    read = connect(SlurmSettings(conf=stage.conf, reader="cli")).read
    before, began = counted(stage), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: read.jobs(), range(readers)))
    return {name: counted(stage)[name] - before[name] for name in ASKED}, time.monotonic() - began


def main() -> None:
    """Measure, and print what each way was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--period", type=float, default=5.0, help="Seconds between two looks, at least.")
    args = parser.parse_args()
    period = timedelta(seconds=args.period)
    with queue_of(args.jobs) as stage:
        for conditional in (False, True):
            how = "asking what changed" if conditional else "full dumps"
            totals = {}
            for readers in (1, args.readers):
                rpcs, answers = asked_by(stage, readers, args.seconds, period=period, conditional=conditional)
                totals[readers] = sum(rpcs.values())
                print(f"{how:20} {readers:5} readers, {args.seconds:.0f} s: {answers:7} answers, {rpcs}", flush=True)
            one, many = totals[1], totals[args.readers]
            verdict = (
                "kept" if many <= one + A_LOOK else "MISSED"
            )  # the last look may begin before the end, or after it
            print(f"{how}: {args.readers} readers cost {many} RPCs, one reader {one}: {verdict}")
        rpcs, took = each_for_itself(stage, args.readers)
        print(f"without a snapshot, {args.readers} readers once: {rpcs} in {took:.1f} s")


if __name__ == "__main__":
    main()
