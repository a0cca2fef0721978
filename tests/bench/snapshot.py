"""What a full snapshot costs: the cli reader against the bare commands and `squeue --json`; an unchanged poll beside.

On a queue of its own (`queue_of.py`). All turns are interleaved, and the least of each is compared: on a busy machine
the others have met somebody else's work. Memory is the most that each way had at once (peak RSS): of the commands that
it started, of the Python that read them, and what the answer takes once it is read.

    scripts/dev/bench snapshot                         10,000 jobs
    scripts/dev/bench snapshot --jobs 100000 --rounds 3
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import pwd
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from queue_of import Stage, queue_of
from timing import interleaved, line, seconds

from aistation_slurm.settings import SlurmSettings
from aistation_slurm.slurm import commands
from aistation_slurm.slurm.conditional import Conditional, What
from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.slurm.reader import SlurmReader
from aistation_slurm.slurm.snapshots import NOT_YET, WHATS, Snapshot, Taker

POLLS = 50
WAYS = ("cli", "json")


def full(stage: Stage, read: SlurmReader | None = None) -> Snapshot:
    """Return a snapshot of everything, by the cli reader or the one that is given."""
    taker = Taker(read or connect(SlurmSettings(conf=stage.conf, reader="cli")).read)
    snapshot, _ = taker.take(NOT_YET)
    taker.close()
    if len(snapshot.jobs) != stage.jobs:
        sys.exit(f"{len(snapshot.jobs)} jobs in the snapshot, {stage.jobs} wanted: {snapshot.problem}")
    return snapshot


def texts() -> list[tuple[str, ...]]:
    """Return the command lines that a full snapshot by the cli reader runs."""
    return [commands.squeue(with_over=True).argv, commands.show_nodes().argv, commands.show_partitions().argv]


def bare(stage: Stage) -> None:
    """Run the text commands, and throw away what they print."""
    for argv in texts():
        subprocess.run(argv, env=stage.env(), stdout=subprocess.DEVNULL, check=True)


def printed(stage: Stage, argvs: Sequence[tuple[str, ...]]) -> int:
    """Return how many bytes the commands print."""
    done = (subprocess.run(argv, env=stage.env(), stdout=subprocess.PIPE, check=True) for argv in argvs)
    return sum(len(each.stdout) for each in done)


def by_json(stage: Stage) -> object:
    """Return what `squeue --json` says, loaded: the jobs alone."""
    done = subprocess.run(("squeue", "--json"), env=stage.env(), stdout=subprocess.PIPE, check=True)
    loaded = json.loads(done.stdout)
    if len(loaded["jobs"]) != stage.jobs:
        sys.exit(f"{len(loaded['jobs'])} jobs in the JSON, {stage.jobs} wanted")
    return loaded


def memory_of(way: str, stage: Stage) -> dict[str, int]:
    """Return MiB: what this way had at most, in a process of its own."""
    argv = (sys.executable, __file__, "--one", way, "--conf", str(stage.conf), "--jobs", str(stage.jobs))
    said = subprocess.run(argv, env=stage.env(), capture_output=True, text=True, check=True).stdout
    return {key: int(value) for key, value in json.loads(said).items()}


def one(way: str, stage: Stage) -> None:
    """Take one snapshot, and print what it took of memory."""
    gc.collect()
    before = _mib("VmRSS")
    kept = full(stage) if way == "cli" else by_json(stage)
    gc.collect()
    own, after = _mib("VmHWM"), _mib("VmRSS")
    command = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024  # never less than ours when it was started
    print(json.dumps({"command": command, "python": own, "both": own + command, "kept": after - before}))
    del kept


def _mib(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) // 1024


@contextlib.contextmanager
def conditionals(stage: Stage) -> Iterator[dict[str, Slurm]]:
    """Yield who can ask here whether anything changed: libslurm, and a slurmrestd that is started for it."""
    with slurmrestd(stage) as socket:
        yield {
            "libslurm": connect(SlurmSettings(conf=stage.conf, reader="libslurm")),
            "rest": connect(SlurmSettings(conf=stage.conf, reader="rest", rest_socket=socket)),
        }


@contextlib.contextmanager
def slurmrestd(stage: Stage) -> Iterator[Path]:
    """Yield the socket of a slurmrestd that asks the stage; it refuses to be root, who is SlurmUser there."""
    folder = stage.folder / "rest"
    folder.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    socket = folder / "slurmrestd.socket"
    who: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    listed = subprocess.run(
        ("slurmrestd", "-s", "list"), env=stage.env(), capture_output=True, text=True, check=False, **who
    )
    # Those that ask slurmdbd end it where there is none.
    plugins = [word for word in (listed.stdout + listed.stderr).split() if re.fullmatch(r"openapi/(?!.*db)\S+", word)]
    with (stage.folder / "slurmrestd.out").open("wb") as log:
        argv = ("slurmrestd", "-s", ",".join(plugins), "-a", "rest_auth/local", f"unix:{socket}")
        process = subprocess.Popen(argv, env=stage.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **who)
    try:
        give_up = time.monotonic() + 60
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                sys.exit(f"slurmrestd: {(stage.folder / 'slurmrestd.out').read_text()}")
            time.sleep(0.1)
        yield socket
    finally:
        process.kill()
        process.wait()


def unchanged(name: str, conditional: Conditional) -> list[float]:
    """Return the seconds of polls that found nothing changed: all three questions, each answered "no".

    slurmctld stamps its nodes now and then even here: a poll that finds a change begins anew, and does not count.
    """
    taken: list[float] = []
    stamps: dict[What, int] = {}
    give_up = time.monotonic() + 240
    while len(taken) < POLLS:
        if time.monotonic() > give_up:
            sys.exit(f"{name}: the queue does not stand still, {len(taken)} polls found nothing changed")
        if not stamps:
            stamps = dict.fromkeys(WHATS, conditional.changed_since("partitions", 0) or 0)
            time.sleep(2)  # a change in the second of the stamp counts as one since
        began = time.perf_counter()
        changed = [what for what, since in stamps.items() if conditional.changed_since(what, since) is not None]
        if changed:
            stamps = {}
        else:
            taken.append(time.perf_counter() - began)
    return taken


def measure(stage: Stage, rounds: int) -> None:
    """Print the figures and their ratios."""
    taken = interleaved(
        {
            "bare text commands": lambda: bare(stage),
            "full snapshot, cli reader": lambda: full(stage),
            "squeue --json + json.loads": lambda: by_json(stage),
        },
        rounds=rounds,
    )
    for name, values in taken.items():
        print(line(name, values), f" min={min(values):8.3f} s")
    commands_, snapshot, loaded = (min(values) for values in taken.values())
    print(f"a full snapshot takes {snapshot / commands_:.1f} times the bare commands (aim: at most 3), "
          f"and is {loaded / snapshot:.1f} times faster than JSON (aim: 8)")  # fmt: skip
    text, dumped = (printed(stage, argvs) / 1e6 for argvs in (texts(), [("squeue", "--json")]))
    print(f"printed: {text:.1f} MB of text, {dumped:.1f} MB of JSON, {dumped / text:.1f} times as much")
    memory = {way: memory_of(way, stage) for way in WAYS}
    for way, figures in memory.items():
        print(f"{way:5} MiB at most: " + "  ".join(f"{name} {mib}" for name, mib in figures.items()))
    print("smaller than JSON by: "
          + ", ".join(f"{name} {memory['json'][name] / max(1, memory['cli'][name]):.1f}" for name in memory["cli"])
          + " (aim: 4)")  # fmt: skip
    with conditionals(stage) as known:
        for name, slurm in known.items():
            if slurm.conditional is None:
                continue
            polls = unchanged(name, slurm.conditional)
            wholes = [seconds(lambda read=slurm.read: full(stage, read)) for _ in range(3)]  # type: ignore[misc]
            for kind, values in (("unchanged", polls), ("full", wholes)):
                print(line(f"{kind} poll, {name}", values), f" min={min(values):8.4f} s")
            typical, cheapest = statistics.median(wholes) / statistics.median(polls), min(wholes) / min(polls)
            print(f"an unchanged poll by {name} is {typical:.0f} times cheaper than a full one, "
                  f"{cheapest:.0f} at its best (aim: 50)")  # fmt: skip


def main() -> None:
    """Build the stage, and measure on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--one-by-one", action="store_true", help="Each job an sbatch of its own.")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--conf", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, Stage(args.conf.parent, args.jobs))
        return
    with queue_of(args.jobs, one_by_one=args.one_by_one) as stage:
        measure(stage, args.rounds)


if __name__ == "__main__":
    main()
