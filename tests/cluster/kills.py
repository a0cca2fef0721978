"""What is done to a training in the middle of its work: one function for each fault, `FAULTS` by name.

Each takes a `Victim`, strikes once the training has a checkpoint to go on from, and returns when it struck (unix time).
Where Slurm would not start the job again by itself, it is requeued, as the duty `requeue` does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.errors import SlurmRefused
from tests.cluster.trainings import Lab


@dataclass(frozen=True)
class Victim:
    """A training that runs."""

    lab: Lab
    job_id: int
    script: str

    @property
    def checkpoints(self) -> Path:
        return Path(self.lab.ann.folder / f"t-{self.job_id}" / "checkpoints")

    def requeue_after_its_end(self) -> None:
        """Wait until it has failed, and requeue it."""
        self.lab.wait_for(lambda: self.lab.station.job(self.job_id).state.is_over, within=60)
        assert not self.lab.station.job(self.job_id).state.is_success, self.lab.log(self.job_id)[-2000:]
        self.lab.station.slurm.write.requeue(self.job_id)


@dataclass(frozen=True)
class Fault:
    """A fault, and how the training is submitted for it."""

    strike: Callable[[Victim], float]
    args: tuple[str, ...] = ("--step-time", "0.05")
    settings: tuple[str, ...] = ()
    minutes: int = 10
    saves: bool = field(default=False)
    """Whether the training is asked, and saves once more before it leaves."""


def _lose_node(victim: Victim, fault: str, which: int) -> float:
    victim.lab.until_step(20, victim.job_id)
    node = victim.lab.station.nodes_of(victim.job_id)[which]
    struck = victim.lab.station.fault(fault, node)
    with contextlib.suppress(SlurmRefused):  # our daemon may have been quicker, or held back by its breaker
        victim.lab.station.slurm.write.down_node(node, "aistation: lost by a test")
    return float(struck.at_ms / 1000)


def batch_node_dies(victim: Victim) -> float:
    """The node of rank 0 and of the batch script."""
    return _lose_node(victim, "kill-node", 0)


def other_node_dies(victim: Victim) -> float:
    """The other node: rank 0 and the batch script live, and meet a peer that is gone."""
    return _lose_node(victim, "kill-node", -1)


def cut_off(victim: Victim) -> float:
    """The network of its node is cut, and what runs there runs on."""
    return _lose_node(victim, "cut-node", 0)


def asked_to_stop(victim: Victim) -> float:
    """USR2 to the batch script, as Slurm sends it with --signal=B:USR2@60."""
    victim.lab.until_step(20, victim.job_id)
    victim.lab.ann.run("scancel", "--batch", "--signal=USR2", str(victim.job_id))
    return time.time()


def _step_gets(victim: Victim, name: str) -> float:
    victim.lab.until_step(20, victim.job_id)
    victim.lab.ann.run("scancel", f"--signal={name}", str(victim.job_id))  # its steps, not the script
    struck = time.time()
    victim.requeue_after_its_end()
    return struck


def step_terminated(victim: Victim) -> float:
    """TERM to all processes of the training."""
    return _step_gets(victim, "TERM")


def step_killed(victim: Victim) -> float:
    """KILL to all processes of the training."""
    return _step_gets(victim, "KILL")


def time_limit(victim: Victim) -> float:
    """A limit of a minute, real: the notice comes 25 s before, or up to 30 s sooner (slurmctld looks so seldom)."""
    victim.lab.wait_for(lambda: " is requeued at " in victim.lab.log(victim.job_id), within=90, every=0.2)
    return time.time()


def preempted(victim: Victim) -> float:
    """An emergency job wants all of its nodes; it has the place back once that is done."""
    lab = victim.lab
    lab.until_step(20, victim.job_id)
    nodes = ",".join(lab.station.nodes_of(victim.job_id))
    chen = lab.station.user("chen")
    urgent = chen.sbatch("true", "--qos=emergency", "--nodes=2", "--gpus-per-node=2", f"--nodelist={nodes}")
    struck = time.time()
    lab.wait_for(lambda: lab.station.job(urgent).state.is_success, within=60)
    assert lab.station.job(victim.job_id).restart_count == 1
    return struck


def killed_in_a_save(victim: Victim) -> float:
    """`kill -9` of rank 0 while half a checkpoint is written: stopped, looked at, and only then killed."""
    victim.lab.until_step(40, victim.job_id)
    victim.lab.wait_for(lambda: _kill_in_a_save(victim), within=60)
    struck = time.time()
    victim.requeue_after_its_end()
    return struck


def _kill_in_a_save(victim: Victim) -> bool:
    if not list(_half_written(victim)):
        return False
    (rank_zero,) = _processes(victim, rank=0)
    os.kill(rank_zero, signal.SIGSTOP)
    in_the_middle = bool(list(_half_written(victim)))
    os.kill(rank_zero, signal.SIGKILL if in_the_middle else signal.SIGCONT)
    return in_the_middle


def _half_written(victim: Victim) -> Iterator[Path]:
    """Yield each file of a checkpoint that some of its content is in, and that has no name yet."""
    for path in victim.checkpoints.glob("runs/*/.new-*/*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size:
                yield path


def _processes(victim: Victim, *, rank: int) -> Iterator[int]:
    """Yield the processes of the training's script that are this rank."""
    wanted = {f"SLURM_JOB_ID={victim.job_id}".encode(), f"RANK={rank}".encode()}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            runs_it = b"python" in words[0] and any(word.endswith(victim.script.encode()) for word in words)
            if runs_it and wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                yield int(folder.name)


SLOW_SAVES = ("--checkpoint-every", "40", "--save-time", "1")
FAULTS = {
    "batch node dies": Fault(batch_node_dies),
    "other node dies": Fault(other_node_dies),
    "asked to stop": Fault(asked_to_stop, saves=True),
    "step terminated": Fault(step_terminated),
    "step killed": Fault(step_killed),
    "time limit": Fault(time_limit, args=("--step-time", "0.25"), settings=("notice=25",), minutes=1),
    "preempted": Fault(preempted),
    "killed in a save": Fault(killed_in_a_save, args=("--step-time", "0.02", *SLOW_SAVES)),
}
