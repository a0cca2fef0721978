"""A canary: does each group take a job as before, and does a tiny one run? Users' jobs are in nobody's way."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aistation_slurm.cluster.applying.health import Health
from aistation_slurm.cluster.applying.target import Target
from aistation_slurm.cluster.wanted.desired import job_qos
from aistation_slurm.errors import SlurmError, SlurmUnreachable
from aistation_slurm.slurm.model import Job
from aistation_slurm.slurm.runner import LocalRunner
from aistation_slurm.spec import ClusterSpec, GpuGroup

PATIENCE = 20.0
"""Seconds that the job has, from its submission to its end."""
NAME = "aistation-canary"
_SCRIPT = "#!/bin/sh\nexit 0\n"
_BY_QUOTA = "violates accounting/QOS policy"
"""What Slurm says of a job that a limit refuses: the cluster file asks for that, and nothing is worse."""
_SMALL = ("--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=32", "--time=1", "--no-requeue")


@dataclass(frozen=True, slots=True)
class Sung:
    """What the canary found."""

    worse: tuple[str, ...] = ()
    """What went before and does not go any more."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who may use a group, and as a member of which team: who is in several has another one by default."""

    user: str
    team: str

    def __str__(self) -> str:
        return f"{self.user} of team {self.team}"


@dataclass(frozen=True, slots=True)
class Canary:
    """What was asked before the apply, and how it was answered."""

    asked: Mapping[str, Member]
    """Group -> the user in whose name it was asked."""
    before: Mapping[str, str]
    """Group -> why it was refused; nothing where it would have been taken."""
    spec: ClusterSpec

    def again(self, target: Target, now: Health) -> Sung:
        """Ask the same again, and run a tiny job where a node of ours is idle."""
        after = {group: _test(target, group, who, self.spec.groups[group]) for group, who in self.asked.items()}
        worse = [
            f"group {group} takes no job of {self.asked[group]} any more: {why}"
            for group, why in after.items()
            if why and _BY_QUOTA not in why and not self.before[group] and group in now.partitions
        ]
        notes = [f"group {group} takes no job of {self.asked[group]}: {why}" for group, why in after.items() if why]
        if worse:
            return Sung(tuple(worse))
        ran = _run(target, self.spec, now)
        return Sung(tuple(ran.worse), (*notes, *ran.notes))


def try_canary(target: Target, spec: ClusterSpec, before: Health) -> Canary:
    """Return how each group answers now to `sbatch --test-only` by one who may use it; nothing is submitted."""
    asked = {name: who for name, group in spec.groups.items() if (who := _member(spec, group))}
    answers = {
        name: _test(target, name, who, spec.groups[name]) if name in before.partitions else "it is new"
        for name, who in asked.items()
    }
    return Canary(asked, answers, spec)


def _member(spec: ClusterSpec, group: GpuGroup) -> Member | None:
    """Return a member of a team that may use the group, who is known on this machine; None: nothing is asked."""
    for name in group.teams or list(spec.teams):
        for user in spec.teams[name].members:
            with suppress(KeyError):
                if pwd.getpwnam(user).pw_uid and os.geteuid() == 0:
                    return Member(user, name)
    return None


def _test(target: Target, name: str, who: Member, group: GpuGroup) -> str:
    """Return why the group would not take a job of this member, or nothing."""
    words = (f"--partition={name}", f"--account={who.team}", f"--qos={job_qos(group)[0]}", "--chdir=/")
    return _said(target, ("sbatch", "--test-only", *words, *_SMALL), who.user)


def _said(target: Target, argv: tuple[str, ...], user: str) -> str:
    try:
        _as_user(target, argv, user)
    except SlurmError as error:
        return error.text
    return ""


def _as_user(target: Target, argv: Sequence[str], user: str) -> str:
    """Return what the command printed when it ran as this user; setpriv(1) changes to them, with all their groups."""
    folder = target.settings.slurm.bin
    program = str(folder / argv[0]) if folder else argv[0]
    account = pwd.getpwnam(user)
    who = ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups")
    runner = LocalRunner(slurm_conf=target.settings.slurm.conf)
    done = runner.run((*who, program, *argv[1:]), stdin=_SCRIPT, timeout=30)
    if done.returncode:
        lines = [line.partition(": ")[2] or line for line in done.stderr.splitlines() if line.strip()]
        raise SlurmUnreachable(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout


def _run(target: Target, spec: ClusterSpec, now: Health) -> Sung:
    """Run one tiny job in a group with an idle node; where there is none, or no right to, nothing is run."""
    group = next(_with_idle_node(spec, now), "")
    if not group:
        return Sung(notes=("no canary job was run: no node of a group is idle",))
    user = target.settings.slurm.canary_user or "root"
    options = (f"--job-name={NAME}", f"--partition={group}", "--output=/dev/null", "--chdir=/", *_SMALL)
    argv = ("sbatch", "--parsable", f"--qos={job_qos(spec.groups[group])[0]}", *options)
    try:
        number = int(_as_user(target, argv, user).strip().partition(";")[0])
    except (SlurmError, KeyError, ValueError) as error:
        why = error.text if isinstance(error, SlurmError) else f"no user {user}"
        return Sung(notes=(f"no canary job was run in {group}: {why}",))
    return _wait(target, group, number)


def _with_idle_node(spec: ClusterSpec, now: Health) -> Iterator[str]:
    for name, group in spec.groups.items():
        if any(node in now.nodes and now.nodes[node].state.is_idle for node in group.node_names()):
            yield name


def _wait(target: Target, group: str, number: int) -> Sung:
    """Wait for the job's end; whatever happens, nothing of it stays in the queue."""
    give_up = time.monotonic() + PATIENCE
    job: Job | None = None
    while time.monotonic() < give_up:
        with suppress(SlurmError):
            job = target.slurm.read.job(number)
            if job.state.is_over:
                break
        time.sleep(0.2)
    if job is None or not job.state.is_over:
        with suppress(SlurmError):
            target.slurm.write.scancel(job or target.slurm.read.job(number))
        state = f"{job.state}, {job.reason}" if job else "not seen"
        return Sung(notes=(f"the canary job in {group} had not run within {PATIENCE:.0f} s ({state}); cancelled",))
    if job.state.is_success:
        return Sung(notes=(f"a canary job ran in {group} on {job.nodes}",))
    if job.state.value in {"CANCELLED", "PREEMPTED"}:
        return Sung(notes=(f"the canary job in {group} was {job.state.lower()}",))
    why = f"the canary job {number} in {group} ended as {job.state} on {job.nodes or 'no node'}"
    return Sung(worse=(f"{why} (--no-canary does without)",))
