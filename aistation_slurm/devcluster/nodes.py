"""The nodes as slurmctld sees them: wait until they are there, and bring back those that fell with their slurmd."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from aistation_slurm.devcluster.commands import run
from aistation_slurm.devcluster.daemons import log_tail
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import ClusterRecord
from aistation_slurm.devcluster.release import program
from aistation_slurm.devcluster.services import slurm_env
from aistation_slurm.errors import DevClusterError
from aistation_slurm.slurm.states import NodeState

CREDENTIAL_STEP = 1.2  # seconds; credentials are told apart by whole ones
# Why Slurm itself, or our own recovery, took a node out that is back now; a person's reasons are left alone.
SLURMS_OWN = ("Not responding", "Node unexpectedly rebooted")
PASSING = (*SLURMS_OWN, "aistation:")
_STARTED = re.compile(r"^NodeName=(\S+) .* SlurmdStartTime=(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Seen:
    """A node as slurmctld sees it."""

    name: str
    state: NodeState
    reason: str

    @property
    def is_there(self) -> bool:
        """True once its slurmd has registered."""
        words = self.state.words
        return not words & {"UNKNOWN", "DOWN", "FUTURE", "INVAL"} and "NOT_RESPONDING" not in words

    @property
    def is_passing(self) -> bool:
        """True if it is out for a reason that is over once its slurmd is back."""
        return "DOWN" in self.state.words and self.reason.startswith(PASSING)


def lost_its_jobs(paths: Paths, node: str, logs_of_steps: Collection[str]) -> bool:
    """True if jobs ran on the node when it died: their scripts or sockets lie in its spool, and no slurmstepd lives.

    `logs_of_steps` are the logs that the living slurmstepds hold open.
    """
    if str(paths.log / f"slurmd.{node}.log") in logs_of_steps:
        return False
    spool = paths.spool / node
    return any(spool.glob("job*")) or any(spool.glob(f"{node}_*"))


def look(paths: Paths) -> list[Seen]:
    """Return all nodes as slurmctld sees them."""
    answer = run((program(paths, "sinfo"), "-h", "-N", "-p", "site", "-O", "NodeList:64,StateComplete:64,Reason:100"),
                 env=slurm_env(paths), timeout=15)  # fmt: skip
    return [read_line(line) for line in answer.splitlines() if line.strip()]


def read_line(line: str) -> Seen:
    """Return what one line of `sinfo` says, its columns 64, 64 and 100 wide."""
    return Seen(line[:64].strip(), NodeState.parse(line[64:128].strip()), line[128:].strip())


def wait_idle(paths: Paths, record: ClusterRecord, is_alive: Callable[[str], bool], *, within: float = 60.0) -> None:
    """Wait until each node's slurmd has registered; nodes that a person set down or drained are not waited for.

    Raises:
        DevClusterError: some have not in time; the hint holds the end of one's log.
    """
    patient, give_up = time.monotonic() + 2, time.monotonic() + within
    while True:
        absent = [each for each in look(paths) if not each.is_there and not _is_set_aside(each)]
        if not absent:
            return
        if passing := [each.name for each in absent if each.is_passing]:
            resume(paths, passing)
        gone = [each for each in absent if time.monotonic() > patient and not is_alive(each.name)]
        if gone or time.monotonic() > give_up:
            first = (gone or absent)[0]
            words = "+".join(sorted(first.state.words))
            raise DevClusterError(
                f"{len(absent)} of {len(record.nodes)} nodes did not come up ({first.name}: {words})",
                hint=log_tail(paths.log / f"slurmd.{first.name}.log"),
            )
        time.sleep(0.1)


def _is_set_aside(seen: Seen) -> bool:
    return bool(seen.state.words & {"DOWN", "DRAIN"}) and bool(seen.reason) and not seen.reason.startswith(PASSING)


def jobs_on(paths: Paths, names: Collection[str]) -> set[str]:
    """Return the jobs that slurmctld believes to run on these nodes, each as `ID START`."""
    if not names:
        return set()
    argv = (program(paths, "squeue"), "-h", "-t", "RUNNING,SUSPENDED", "-w", ",".join(names), "-o", "%A %S")
    env = slurm_env(paths) | {"SLURM_TIME_FORMAT": "%s"}
    return set(run(argv, env=env, timeout=15).splitlines())


def requeue(paths: Paths, jobs: Collection[str], *, names: Collection[str]) -> None:
    """Requeue those of the jobs (`ID START`) that slurmctld still believes in; cancel those that may not be.

    Not by marking the nodes DOWN: where a job loses all its nodes so, 22.05.8 forgets to give its GPUs back, and the
    job fails when it starts again ("Invalid generic resource").
    """
    requeued = []
    for job in jobs_on(paths, names) & set(jobs):
        number = job.split()[0]
        try:
            run((program(paths, "scontrol"), "requeue", number), env=slurm_env(paths))
            requeued.append(number)
        except DevClusterError:
            run((program(paths, "scancel"), number), env=slurm_env(paths))
    lift(paths, requeued)


def lift(paths: Paths, jobs: Collection[str], *, within: float = 5.0) -> None:
    """Let jobs requeued just now start soon: what Slurm waits 121 s for, that no old process of theirs lives, is known.

    Not at once: a node that revoked the job's old credential refuses any that was made in the same second.
    """
    left, give_up = set(jobs), time.monotonic() + within
    env = slurm_env(paths)
    while left and time.monotonic() < give_up:
        time.sleep(CREDENTIAL_STEP)
        answer = run(
            (program(paths, "squeue"), "-h", "-j", ",".join(left), "-t", "PENDING", "-o", "%A %r"), env=env, timeout=15
        )
        for number, reason in (line.split(maxsplit=1) for line in answer.splitlines()):
            if reason == "BeginTime":  # earlier it doesn't stick
                run((program(paths, "scontrol"), "update", f"JobId={number}", "StartTime=now"), env=env)
                left.discard(number)


def forget_jobs(paths: Paths, names: Collection[str]) -> None:
    """Remove from these nodes' spool what ran there."""
    for name in names:
        for each in (paths.spool / name).glob("job*"):
            shutil.rmtree(each, ignore_errors=True)
        for each in (paths.spool / name).glob(f"{name}_*"):
            each.unlink(missing_ok=True)


def wait_registered(paths: Paths, names: Collection[str], *, since: int, within: float = 30.0) -> bool:
    """Wait until slurmds of all these nodes that started at that unix time or later have registered; False if not."""
    env = slurm_env(paths) | {"SLURM_TIME_FORMAT": "%s"}
    give_up = time.monotonic() + within
    while names and time.monotonic() < give_up:
        answer = run((program(paths, "scontrol"), "-o", "show", "node"), env=env, timeout=15)
        if set(names) <= {name for name, started in _STARTED.findall(answer) if int(started) >= since}:
            return True
        time.sleep(0.05)
    return not names


def resume_for(paths: Paths, name: str, reasons: tuple[str, ...]) -> bool:
    """Return the node to service if it is down for one of these reasons, and say whether it was."""
    out = any(
        each.name == name and "DOWN" in each.state.words and each.reason.startswith(reasons) for each in look(paths)
    )
    if out:
        resume(paths, [name])
    return out


def resume(paths: Paths, names: Collection[str]) -> None:
    """Return the nodes to service."""
    run((program(paths, "scontrol"), "update", f"NodeName={','.join(names)}", "State=RESUME"), env=slurm_env(paths))
