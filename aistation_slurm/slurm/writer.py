"""The one door that changes anything in Slurm."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.marks import REASON_MARK, is_ours
from aistation_slurm.slurm.model import Node
from aistation_slurm.slurm.refusals import refusal, what_it_said
from aistation_slurm.slurm.runner import Completed, Runner, shown

WRITE_SECONDS = 60.0
_IsDone = Callable[[Completed], bool]
# What sacctmgr says where nothing had to be done, 22.05 to 26.05; on stdout, and 24.11 now and then on stderr.
_NOTHING_TO_DO = re.compile(
    r"(?:sacctmgr: error: )?(?:Nothing (?:new added|added|modified|deleted|removed)\.?|Already existing .*"
    r"|Request didn't affect anything|Error with request: Data has not changed since time specified)"
)
_COMPLAINT = re.compile(r"no (?:parent )?account|doesn't exist|denied|problem|unknown|skipping", re.IGNORECASE)
_OVER = re.compile(r"already completing or completed|invalid job id specified|already finished", re.IGNORECASE)
_JOB_ID = re.compile(r"^(?P<job_id>\d+)(?:;\S+)?$", re.MULTILINE)


class SlurmWriter:
    """Gives orders to Slurm.

    Each call returns what Slurm answered, or raises: `SlurmUnreachable` (it is not known whether the order was heard),
    `SlurmRefused` and its kinds, `SlurmMissing`. What is already so is no error.
    """

    def __init__(self, runner: Runner, *, timeout: float = WRITE_SECONDS) -> None:
        self._runner = runner
        self._timeout = timeout

    def sbatch(self, script: str, *options: str, cwd: Path | None = None) -> int:
        """Return the id of the job that was made of the script; `cwd` is where it starts.

        After `SlurmUnreachable` the job may be there all the same: look for it before it is submitted again.
        """
        where = ("--chdir", str(cwd)) if cwd else ()
        argv = ("sbatch", "--parsable", *where, *options)
        match = _JOB_ID.search(self._order(argv, stdin=script).stdout)
        if not match:
            raise SlurmUnreadable("no job id in the answer", where=shown(argv))
        return int(match["job_id"])

    def sbatch_test(self, script: str, *options: str) -> str:
        """Return when and where the job would start; nothing is submitted, but every plugin is asked."""
        return what_it_said(self._order(("sbatch", "--test-only", *options), stdin=script))

    def scancel(self, *job_ids: int, user: str | None = None, signal: str | None = None) -> None:
        """Cancel these jobs, or only signal them; with `user` only those of them that are this user's.

        Raises:
            ValueError: no job is named: that would mean all of them.
        """
        if not job_ids:
            raise ValueError("scancel without a job id would cancel every job")
        whose = ("--user", user) if user else ()
        what = ("--signal", signal) if signal else ()
        self._order(("scancel", *whose, *what, *map(str, job_ids)), is_done=_is_over)

    def requeue(self, job_id: int) -> None:
        """Put a running or ended job back into the queue."""
        self._order(("scontrol", "requeue", str(job_id)))

    def hold(self, job_id: int) -> None:
        """Keep a waiting job from starting."""
        self._order(("scontrol", "hold", str(job_id)))

    def release(self, job_id: int) -> None:
        """Let a held job start again."""
        self._order(("scontrol", "release", str(job_id)))

    def update_job(self, job_id: int, **fields: str) -> None:
        """Change a job, in scontrol's words: `StartTime="now"`, `Priority=`, `SiteFactor=`, `TimeLimit=`, ...

        `StartTime="now"` lifts the wait after a requeue, once the job is PENDING with reason BeginTime, and not within
        1.2 s of the order that ended its run: a node that was told to end it refuses a credential of the same second,
        and slurmctld then ends the job as FAILED (slurm_cred.c; 17 of 25 on 22.05.8, none after the wait).
        """
        self._order(("scontrol", "update", f"JobId={job_id}", *_pairs(fields)))

    def down_node(self, name: str, reason: str) -> None:
        """Mark the node DOWN: its jobs are requeued or ended at once.

        Raises:
            ValueError: the reason does not carry our mark.
        """
        self._order(("scontrol", "update", _node(name), "State=DOWN", f"Reason={_marked(reason)}"))

    def drain_node(self, name: str, reason: str) -> None:
        """Give the node no new job; those on it go on.

        Raises:
            ValueError: the reason does not carry our mark.
        """
        self._order(("scontrol", "update", _node(name), "State=DRAIN", f"Reason={_marked(reason)}"))

    def resume_node(self, node: Node) -> bool:
        """Give the node back to Slurm where it was set aside by us; False where there is nothing of ours to undo."""
        if not is_ours(node.reason) or not (node.state.is_down or node.state.is_draining):
            return False
        self._order(("scontrol", "update", _node(node.name), "State=RESUME"), is_done=_is_resumed)
        return True

    def update_node(self, name: str, **fields: str) -> None:
        """Change a node, in scontrol's words: `ActiveFeatures=`, `Comment=`, ...; its state has calls of its own.

        Raises:
            ValueError: the state or the reason is among the fields.
        """
        if {"state", "reason"} & {field.lower() for field in fields}:
            raise ValueError("a node's state is changed by down_node, drain_node and resume_node")
        self._order(("scontrol", "update", _node(name), *_pairs(fields)))

    def update_partition(self, name: str, **fields: str) -> None:
        """Change a partition until the next reconfigure, in scontrol's words: `State="UP"`, `MaxTime=`, ..."""
        self._order(("scontrol", "update", f"PartitionName={name}", *_pairs(fields)))

    def sacctmgr(self, *words: str) -> str:
        """Return what sacctmgr printed; that there was nothing to add, modify or delete is no error."""
        return self._order(("sacctmgr", "-i", *words), is_done=_is_so_already).stdout

    def reconfigure(self) -> None:
        """Make slurmctld and every slurmd read their files again."""
        self._order(("scontrol", "reconfigure"))

    def ping(self) -> bool:
        """True where a slurmctld answers."""
        argv = ("scontrol", "ping")
        return " is UP" in self._runner.run(argv, timeout=self._timeout).stdout

    def _order(self, argv: tuple[str, ...], *, stdin: str = "", is_done: _IsDone | None = None) -> Completed:
        done = self._runner.run(argv, stdin=stdin, timeout=self._timeout)
        if done.returncode and not (is_done and is_done(done)):
            raise refusal(argv, done)
        return done


def _pairs(fields: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{field}={value}" for field, value in fields.items())


def _node(name: str) -> str:
    """One node at a time: to scontrol, ALL and a list are names too."""
    if not name or name.upper() == "ALL" or set(name) & set(",[] "):
        raise ValueError(f"{name!r} is not the name of one node")
    return f"NodeName={name}"


def _marked(reason: str) -> str:
    if not is_ours(reason):
        raise ValueError(f"the reason {reason!r} does not begin with {REASON_MARK!r}")
    return " ".join(reason.split())


def _is_over(done: Completed) -> bool:
    """True where scancel only complains that jobs are gone already."""
    complaints = [line for line in done.stderr.splitlines() if line.strip()]
    return bool(complaints) and all(_OVER.search(line) for line in complaints)


def _is_resumed(done: Completed) -> bool:
    """True where the node was neither down nor drained any more (man scontrol, State=RESUME)."""
    return "Invalid node state" in done.stderr


def _is_so_already(done: Completed) -> bool:
    """True where sacctmgr found nothing to do, and complains about nothing."""
    complaints = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if _COMPLAINT.search(done.stdout) or not all(_NOTHING_TO_DO.fullmatch(line) for line in complaints):
        return False
    return bool(complaints) or any(_NOTHING_TO_DO.fullmatch(line.strip()) for line in done.stdout.splitlines())
