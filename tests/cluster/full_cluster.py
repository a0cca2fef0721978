"""A cluster full of jobs that run and wait, what became of them, and how long slurmctld was away."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from aistation_slurm.devcluster.cluster import bring_up, stop
from aistation_slurm.slurm.model import Job
from aistation_slurm.spec import load_spec
from tests.cluster.conftest import Station, wait_until

EVERY = 0.1
LONG = "exec sleep 100000"
NODES_OF_8 = "--gpus-per-node=8"


def submissions(people: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield who submits what: enough to take every GPU of every group, and about as much again that waits.

    Nobody of vision has a job, so that there is somebody who can go.
    """
    behavior, robot, face = people["behavior"], people["robot"], people["face"]
    for user in behavior[:12]:
        yield user, ("-p", "p100", "-N2", NODES_OF_8, "-t", "3-0")
    for user in (*robot[:10], *face[4:14]):
        yield user, ("-p", "2080ti", "-N2", NODES_OF_8)
    for user in people["medical"][:3]:
        yield user, ("-p", "v100", "-N2", NODES_OF_8, "-t", "1-0")
    yield "chen", ("-p", "v100", "-N2", NODES_OF_8, "--qos=emergency")
    for user in people["speech"][:3]:
        yield user, ("-p", "p100_shar", "-N2", NODES_OF_8)
    for user in people["speech"][3:5]:
        yield user, ("-p", "p100_shar", "--gres=shard:1", "--array=1-16")
    for user in (*people["medical"][:10], *robot[:10]):
        yield user, ("-p", "1080ti_dev", "--gres=shard:1", "--cpus-per-task=2", "--mem=7G", "--array=1-2")


def waiting(people: Mapping[str, Sequence[str]], first: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield who submits what has to wait, each for another reason."""
    yield "chen", ("--qos=emergency", "--gpus=1", "--hold")
    for user in (*people["behavior"][:6], *people["face"][:6], *people["medical"][:6], *people["speech"][:6]):
        yield user, ("--gpus=8",)
    for user in people["robot"][:4]:
        yield user, ("-p", "2080ti", "--gpus=1", "-t", "5-0")
        yield user, ("--gpus=2", "--hold")
        yield user, ("--gpus=2", "--begin=now+10hours")
        yield user, ("--gpus=1", f"--dependency=afterok:{first}", "-t", "20:00")
    yield people["speech"][6], ("-p", "p100_shar", "--gres=gpu:4", "--array=1-10%2")


def fill(customer: Station) -> None:
    """Fill the cluster, and return once all runs that can run."""
    spec = load_spec(customer.settings.cluster_file)
    people = {name: team.members for name, team in spec.teams.items()}

    def submit(what: tuple[str, tuple[str, ...]]) -> int:
        return customer.user(what[0]).sbatch(LONG, "-o", "/dev/null", *what[1])

    with ThreadPoolExecutor(4) as pool:
        running = list(pool.map(submit, submissions(people)))
        wait_until(lambda: all(each.state.is_running for each in of(customer, running)), within=120)
        list(pool.map(submit, waiting(people, running[0])))
    wait_until(lambda: set(batches()) >= {each.job_id for each in of(customer, running)}, within=60)


def of(customer: Station, ids: Sequence[int]) -> list[Job]:
    return [each for each in customer.slurm.read.jobs() if {each.job_id, each.array_job_id} & set(ids)]


def batches() -> set[int]:
    """Return the jobs whose script really lives, by the processes of this machine."""
    found = set[int]()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            found |= {int(each) for each in re.findall(rb"(?:^|\0)SLURM_JOB_ID=(\d+)\0", path.read_bytes())}
    return found


def hurt(before: Mapping[int, Job], after: Mapping[int, Job], alive: set[int]) -> Iterator[str]:
    """Yield what became of jobs that nobody asked for; a job that waited may run."""
    for number, was in before.items():
        job = after.get(number)
        if job is None:
            yield f"job {number} is lost"
        elif not (job.state.is_running or (job.state.is_waiting and was.state.is_waiting)):
            yield f"job {number} of {job.user}: {was.state} -> {job.state} ({job.reason})"
        elif job.restart_count != was.restart_count:
            yield f"job {number} of {job.user} was put back"
        elif was.state.is_running and number not in alive:
            yield f"job {number} of {job.user} has no process any more"
        elif job.state.is_waiting and not job.priority and was.priority:
            yield f"job {number} of {job.user} is held now: {was.reason} -> {job.reason}"


@dataclass
class Watch:
    """Asks slurmctld again and again, and remembers when it answered."""

    customer: Station
    answered: list[float] = field(default_factory=lambda: [time.monotonic()])
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until it is over."""
        while not self.over.wait(EVERY):
            done = self.customer.exec(["scontrol", "ping"])
            if " is UP" in done.stdout:
                self.answered.append(time.monotonic())

    def away(self, since: float) -> float:
        """Return the longest time without an answer, from the last one before this moment on."""
        first = max(index for index, at in enumerate(self.answered) if at <= since or index == 0)
        times = [*self.answered[first:], time.monotonic()]
        return max(after - before for before, after in pairwise(times))


def restart(customer: Station, watch: Watch) -> float:
    """Restart slurmctld as its administrator would, and return how long it was away."""
    since = time.monotonic()
    stop(customer.cluster, lambda name: name == "slurmctld")
    services = [each for each in customer.cluster.services() if each.name == "slurmctld"]
    bring_up(customer.cluster, services)
    seen = len(watch.answered)
    wait_until(lambda: len(watch.answered) > seen)
    return watch.away(since)
