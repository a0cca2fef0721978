"""The one place where a file system's tool is started, and where what it refuses becomes one clear sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from aistation_slurm.data.quota.model import Order
from aistation_slurm.errors import (
    AistationError,
    SlurmError,
    SlurmMissing,
    StorageError,
    StorageRefused,
    StorageUnusable,
)
from aistation_slurm.slurm.runner import Completed, LocalRunner, Runner, shown

ASK = 120.0
"""Seconds that a tool has to answer: a report of ten thousand users takes some, a hanging file server for ever."""
SET = 300.0
_FOLDERS = ("/usr/sbin", "/sbin", "/opt/beegfs/sbin")
_PACKAGES = {
    "repquota": "the package quota",
    "setquota": "the package quota",
    "quotaon": "the package quota",
    "xfs_quota": "the package xfsprogs",
    "lfs": "Lustre's client (lustre-client)",
    "beegfs-ctl": "BeeGFS's beegfs-utils (7.x; beegfs-ctl is gone in 8)",
}
AS_ROOT = "run it as root, on the machine that has the file system"
SWITCH_ON = (
    "mount it with the options usrquota,prjquota; ext4 wants its features quota and project too "
    "(tune2fs -O quota,project, unmounted), and a kernel with QFMT_V2 or XFS_QUOTA"
)
# What the tools say -> what it means, and what to do. Each was seen, or stands in the tool's source.
_OFF = "has no such quotas"
_MEANINGS: tuple[tuple[str, type[StorageError], str, str], ...] = (
    ("not permitted|permission denied|root privileges", StorageRefused, "only root may", AS_ROOT),
    ("cannot open quotafile", StorageUnusable, "has no quota file", "make one: quotacheck -cugm, then quotaon"),
    ("quotas are not enabled|has no quota enabled|not all specified", StorageUnusable, _OFF, SWITCH_ON),
    ("function not implemented|no such process", StorageUnusable, _OFF, SWITCH_ON),
    ("cannot setup path for mount", StorageUnusable, "is not mounted as XFS", "look at `findmnt`"),
    ("numerical result out of range", StorageRefused, "can't take so large a limit", "make it smaller"),
    (r"unable to resolve|invalid \S+ name|invalid id", StorageRefused, "knows no such user, group or project", ""),
    ("communication with server|timed out", StorageUnusable, "its servers don't answer", "look at their logs"),
)


class Tools:
    """Runs the tools of file systems: by argument list, in English, with a time limit."""

    def __init__(self, runner: Runner | None = None) -> None:
        self._runner = runner or _local()

    def ask(self, *argv: str, where: str) -> Completed:
        """Return what the tool left behind, whatever its exit status.

        Raises:
            StorageUnusable: there is no such tool here.
            StorageError: it did not end in time.
        """
        return self._run(Order(argv), where=where, timeout=ASK)

    def carry_out(self, orders: Sequence[Order], *, where: str) -> None:
        """Carry out orders, one after the other; an error ends them.

        Raises:
            StorageError: the tool refused, is missing, or did not end in time.
        """
        for order in orders:
            done = self._run(order, where=where, timeout=SET)
            if done.returncode or (order.is_silent and done.stderr.strip()):
                raise refused(done, where=where)

    def _run(self, order: Order, *, where: str, timeout: float) -> Completed:
        try:
            return self._runner.run(order.argv, stdin=order.stdin, timeout=timeout)
        except SlurmMissing as error:
            name = order.argv[0]
            hint = f"install {_PACKAGES.get(name, name)}, or do it on the machine that has it"
            raise StorageUnusable(f"{name} is not installed here", where=where, hint=hint) from error
        except SlurmError as error:
            hint = "does the file system answer? `ls` of it says so"
            raise StorageError(f"{shown(order.argv)}: {error.text}", where=where, hint=hint) from error


def refused(done: Completed, *, where: str) -> AistationError:
    """Return the error that the tool's words mean: one clear sentence, and what to do."""
    said = "\n".join(filter(None, [_without_boxes(done.stderr), done.stdout.strip()]))
    for pattern, kind, text, hint in _MEANINGS:
        if re.search(pattern, said, re.IGNORECASE):
            return kind(f"{text} ({_first_line(said)})", where=where, hint=hint)
    return StorageRefused(_first_line(said) or f"its tool ended with {done.returncode}", where=where)


def _without_boxes(text: str) -> str:
    """Return the complaints without the notice that beegfs-ctl draws a box around."""
    return "\n".join(line for line in text.splitlines() if line.strip() and line.strip()[0] not in "|-")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _local() -> LocalRunner:
    """Return a runner that finds the tools of administrators too, and that no LANGUAGE makes speak German."""
    env = {key: value for key, value in os.environ.items() if key != "LANGUAGE"}
    path = [*env.get("PATH", os.defpath).split(os.pathsep), *_FOLDERS]
    return LocalRunner(env={**env, "PATH": os.pathsep.join(dict.fromkeys(path))})
