"""A queue as long as wanted on a slurmctld of its own: the stage for the other benches.

1,000 nodes that have no slurmd and are DOWN, four partitions that are DOWN, so that nothing ever starts and the queue
stays as it is; a munged and a slurmctld in a folder of their own, and nothing else of this machine is touched. Needs
root, and takes 0.3 GB for 100,000 jobs.

The jobs are records of their own, as after 100,000 calls of sbatch: an array waits as one record, which squeue writes
in one line, until a change to a part of its tasks makes slurmctld split it. So each array of 1,000 tasks, each of
another user, name and time limit, is told a comment for the tasks 0 to 998. With `--one-by-one` each job is an sbatch
of its own, with a name and a second of its own: 70 to 180 a second.

    scripts/dev/bench queue_of --jobs 10000                    build it, say what it is, take it down
    scripts/dev/bench queue_of --jobs 10000 -- squeue -h       run a command on it
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TASKS = 1000
"""Of one array; MaxArraySize is 1,001 by default."""
USERS = ("nobody", "daemon", "games", "mail", "news", "backup", "www-data", "list", "irc", "man")
PARTITIONS = ("a100", "v100", "p100", "rtx2080ti")
PATIENCE = 120.0
SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Stage:
    """A slurmctld that holds the queue."""

    folder: Path
    jobs: int

    @property
    def conf(self) -> Path:
        """Its slurm.conf."""
        return self.folder / "slurm.conf"

    def env(self) -> dict[str, str]:
        """What its commands need to know."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))}
        return {**kept, "SLURM_CONF": str(self.conf), "PATH": f"{SBIN}:{os.environ.get('PATH', '')}"}

    def run(self, *argv: str, user: str | None = None, stdin: str = "") -> str:
        """Return what the command printed.

        Raises:
            SystemExit: it failed.
        """
        done = subprocess.run(
            argv, env=self.env(), user=user, cwd="/tmp", input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(argv)[:200]}: {done.stderr.strip()}")
        return done.stdout


@contextlib.contextmanager
def queue_of(jobs: int, *, nodes: int = 1000, one_by_one: bool = False) -> Iterator[Stage]:
    """Yield a stage with so many waiting jobs, each a record of its own; it is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aistation-queue-", dir="/var/tmp"))
    folder.chmod(0o755)
    stage = Stage(folder, jobs)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started here ends with us
    with contextlib.ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        ends.enter_context(_munged(stage))
        stage.conf.write_text(_slurm_conf(stage, nodes))
        ends.enter_context(_daemon(stage, "slurmctld", "-D", "-i"))
        _wait(lambda: "is UP" in _said(stage, "scontrol", "ping"), "slurmctld answers")
        began = time.monotonic()
        (_submit_one_by_one if one_by_one else _submit_arrays)(stage)
        records = stage.run("squeue", "-h", "-o", "%A").count("\n")
        if records != jobs:
            sys.exit(f"{records} records in the queue, {jobs} wanted")
        print(f"{records} job records on {nodes} nodes, made in {time.monotonic() - began:.0f} s", flush=True)
        yield stage


def _submit_arrays(stage: Stage) -> None:
    """Fill the queue with arrays, and have them split into records."""
    for number, first in enumerate(range(0, stage.jobs, TASKS)):
        tasks = min(TASKS, stage.jobs - first)
        job_id = stage.run(
            "sbatch", "--parsable", f"--array=0-{tasks - 1}", *_options(number),
            user=USERS[number % len(USERS)], stdin="#!/bin/sh\nsleep 60\n",
        ).strip()  # fmt: skip
        if tasks > 1:
            stage.run("scontrol", "update", f"JobId={job_id}_0-{tasks - 2}", f"Comment=run {number} of the series")


def _submit_one_by_one(stage: Stage) -> None:
    def submit(number: int) -> None:
        stage.run(
            "sbatch", *_options(number), "--comment", f"run {number}",
            user=USERS[number % len(USERS)], stdin="#!/bin/sh\nsleep 60\n",
        )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(submit, range(stage.jobs)))


def _options(number: int) -> tuple[str, ...]:
    gpus = (1, 2, 4, 8)[number % 4]
    return (
        "-J", f"train-resnet50-{number:05}", "-p", PARTITIONS[number % 4], "-N", str(1 + number % 2),
        f"--gres=gpu:{gpus}", "--cpus-per-task", str(4 * gpus), "--mem", f"{16 * gpus}G", "-t", str(60 + number % 400),
        "-o", f"/data/results/run-{number}/%x-%j.out",
    )  # fmt: skip


def _slurm_conf(stage: Stage, nodes: int) -> str:
    host = socket.gethostname().split(".")[0]
    folder = stage.folder
    last = f"{nodes:04}"
    partitions = [f"PartitionName={name} Nodes=ALL State=DOWN MaxTime=10-0" for name in PARTITIONS]
    return "\n".join([
        "ClusterName=queue",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={_free_port()}",
        "SlurmUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder / 'munge.socket'}",
        f"StateSaveLocation={folder / 'state'}",
        f"SlurmctldPidFile={folder / 'slurmctld.pid'}",
        f"SlurmctldLogFile={folder / 'slurmctld.log'}",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "MailProg=/bin/true",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "PriorityType=priority/basic",
        "GresTypes=gpu",
        "MaxJobCount=250000",
        f"NodeName=n[0001-{last}] NodeAddr=127.0.0.1 CPUs=64 RealMemory=512000 Gres=gpu:v100:8 State=DOWN",
        *partitions,
    ]) + "\n"  # fmt: skip


@contextlib.contextmanager
def _munged(stage: Stage) -> Iterator[None]:
    folder = stage.folder
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid",
             "seed-file": folder / "munge.seed", "log-file": folder / "munged.log"}  # fmt: skip
    with _daemon(stage, "munged", "--foreground", "--force", *(f"--{key}={path}" for key, path in files.items())):
        _wait((folder / "munge.socket").exists, "munged listens")
        yield


@contextlib.contextmanager
def _daemon(stage: Stage, *argv: str) -> Iterator[None]:
    (stage.folder / "state").mkdir(exist_ok=True)
    with (stage.folder / f"{argv[0]}.out").open("wb") as log:
        process = subprocess.Popen(argv, env=stage.env(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _said(stage: Stage, *argv: str) -> str:
    return subprocess.run(argv, env=stage.env(), capture_output=True, text=True, check=False).stdout


def _wait(is_so: object, what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_so():  # type: ignore[operator]
        if time.monotonic() > give_up:
            sys.exit(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(words: Sequence[str]) -> None:
    """Build the stage, and run a command on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--one-by-one", action="store_true", help="Each job an sbatch of its own.")
    parser.add_argument("command", nargs="*", help="What to run on the stage.")
    args = parser.parse_args(words)
    with queue_of(args.jobs, nodes=args.nodes, one_by_one=args.one_by_one) as stage:
        if args.command:
            sys.exit(subprocess.run(args.command, env=stage.env(), check=False).returncode)
        print(stage.run("sdiag").split("Main schedule")[0].rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
