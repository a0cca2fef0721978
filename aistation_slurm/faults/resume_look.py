"""Looking at what ended: in Slurm, and in the folder of each run with the rights of its owner, never with ours.

As root a child takes on the owner's uid, gid and groups before it looks. Without root it looks with our own rights, at
names only: what a log says could be another's secret, behind a link that the user made.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from aistation_slurm.faults import resume_eyes
from aistation_slurm.faults.resume import Ended, Sight
from aistation_slurm.jobs.judge import Ending, Rule, ending_of, judge
from aistation_slurm.jobs.run_folder import run_folder
from aistation_slurm.jobs.tag import Tag, read_tag
from aistation_slurm.slurm.model import Job

LOOK_SECONDS = 30.0
"""A file system that hangs costs one user's jobs one round, and nobody else more than this."""
AT_ONCE = 25
MOST = 16 << 20
"""Bytes of an answer about so many jobs, each with the end of its log, and to spare."""
_NOBODY_LOOKED = "it was not looked at"


def tagged(jobs: Iterable[Job]) -> list[tuple[Job, Tag]]:
    """Return the jobs whose owners want them started again, with what stands in their Comment."""
    pairs = ((job, read_tag(job.comment)) for job in jobs)
    return [(job, tag) for job, tag in pairs if tag is not None and tag.resume]


def look(jobs: Sequence[tuple[Job, Tag]], table: Sequence[Rule], *, forgotten: bool = False) -> list[Ended]:
    """Return the jobs with what their owners see of them, and the judge's verdict."""
    sights: dict[int, Sight] = {}
    by_user: dict[str, list[Job]] = defaultdict(list)
    for job, _ in jobs:
        by_user[job.user].append(job)
    for user, theirs in by_user.items():
        for start in range(0, len(theirs), AT_ONCE):
            sights |= see(user, theirs[start : start + AT_ONCE])
    return [
        Ended(job=job, tag=tag, verdict=judge(_ending(job, sight), table), sight=sight, is_forgotten=forgotten)
        for job, tag in jobs
        for sight in (sights.get(job.job_id, Sight(_NOBODY_LOOKED)),)
    ]


def _ending(job: Job, sight: Sight) -> Ending:
    ending = ending_of(job, None)
    return Ending(ending.state, ending.exit_code, ending.signal, log_tail=sight.log or "",
                  restart_count=ending.restart_count, elapsed=ending.elapsed)  # fmt: skip


def see(user: str, jobs: Sequence[Job]) -> dict[int, Sight]:
    """Return job id -> what this user sees of their runs."""
    try:
        account = pwd.getpwnam(user)
    except (KeyError, ValueError):
        return {job.job_id: Sight(f"there is no user {user} on this machine") for job in jobs}
    as_owner = os.geteuid() in {0, account.pw_uid}
    asked = [{"key": str(job.job_id), "work_dir": job.work_dir, "folder": _folder(job), "log": job.stdout}
             for job in jobs if job.work_dir]  # fmt: skip
    said = _ask(asked, account, with_log=as_owner)
    if isinstance(said, str):
        return {job.job_id: Sight(said) for job in jobs}
    return {job.job_id: _sight(job, said.get(str(job.job_id), {})) for job in jobs}


def _folder(job: Job) -> str:
    folder = run_folder(job)
    return str(folder.path) if folder else ""


def _ask(asked: list[dict[str, str]], account: pwd.struct_passwd, *, with_log: bool) -> Mapping[str, Any] | str:
    """Return what the child saw, or in words why it saw nothing; what it answers is the user's word, not ours."""
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    argv = (sys.executable, "-I", str(Path(resume_eyes.__file__)), *(["--with-log"] if with_log else []))
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", bufsize=0,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, start_new_session=True, **who,
        )  # fmt: skip
        said = json.loads(_talk(process, json.dumps(asked).encode()))
    except TimeoutError:
        return f"its folder did not answer within {LOOK_SECONDS:g} s"
    except (OSError, ValueError) as error:
        return f"nobody could look at it as {account.pw_name}: {error}"
    return said if isinstance(said, dict) else "what was seen can't be read"


def _talk(process: subprocess.Popen[bytes], question: bytes) -> bytes:
    """Return what the child answers; one that hangs on a dead file system is left behind, and not waited for.

    Raises:
        TimeoutError: it did not answer in time.
        ValueError: it said more than any answer has.
    """
    give_up, answer = time.monotonic() + LOOK_SECONDS, bytearray()
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    try:
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(question)
        while select.select([stdout], [], [], max(0.0, give_up - time.monotonic()))[0]:
            if not (piece := os.read(stdout.fileno(), 1 << 16)):
                return bytes(answer)
            answer += piece
            if len(answer) > MOST:
                raise ValueError("the answer is too long")
        raise TimeoutError
    finally:
        stdout.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


def _sight(job: Job, raw: Any) -> Sight:
    """Return the sight, each part of it of its right kind, whatever was said."""
    if not isinstance(raw, dict) or not raw:
        return Sight(_NOBODY_LOOKED)
    step, saved_at, log, blind = (raw.get(key) for key in ("step", "saved_at", "log", "blind"))
    return Sight(
        blind=blind if isinstance(blind, str) else "what was seen can't be read",
        folder=Path(_folder(job)) if raw.get("folder") is True else None,
        step=step if type(step) is int and 0 <= step < 1 << 62 else None,
        saved_at=_moment(saved_at),
        log=log if isinstance(log, str) else None,
    )


def _moment(raw: Any) -> datetime | None:
    return datetime.fromtimestamp(raw, UTC) if isinstance(raw, float) and 0 <= raw < 1 << 34 else None
