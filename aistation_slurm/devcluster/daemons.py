"""A daemon of the cluster: what it is started by, how it is known among the processes, when it is ready."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aistation_slurm.devcluster.commands import clean_env
from aistation_slurm.devcluster.processes import MARK, NODE_MARK, SERVICE_MARK
from aistation_slurm.errors import DevClusterError

_PRIVATE = ("unshare", "--mount", "--propagation", "slave")


def at_once() -> bool:
    """True: for a daemon that nobody waits for."""
    return True


@dataclass(frozen=True, slots=True)
class Service:
    """A daemon of the cluster."""

    name: str
    """`slurmctld`; of a node `slurmd:NODE` or `agent:NODE`."""
    argv: tuple[str, ...]
    log: Path
    user: str = "root"
    node: str = ""
    netns: Path | None = None
    hosts: Path | None = None
    """What it sees in place of /etc/hosts, where the machine lets us: nothing is mounted for anybody else."""
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = at_once
    patience: float = 30.0
    """How many seconds it may take until it is ready."""


def start(service: Service, cluster: str) -> None:
    """Start the daemon in a session of its own; it outlives us, and what it says goes to its log."""
    marks = {MARK: cluster, SERVICE_MARK: service.name}
    if service.node:
        marks[NODE_MARK] = f"{cluster}/{service.node}"
    into = ("nsenter", f"--net={service.netns}") if service.netns else ()
    with _log(service) as log:
        subprocess.run(
            (*into, "setsid", "--fork", *_with_hosts(service.hosts), *_as_user(service.user), *service.argv),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True,
            env=clean_env({**service.env, **marks}),
        )  # fmt: skip


def _with_hosts(hosts: Path | None) -> tuple[str, ...]:
    if hosts is None or not _mounts_work():
        return ()
    bind = 'mount --bind "$0" /etc/hosts; exec "$@"'
    return (*_PRIVATE, "sh", "-c", bind, str(hosts))


@functools.cache
def _mounts_work() -> bool:
    return subprocess.run((*_PRIVATE, "true"), capture_output=True, check=False).returncode == 0


def _as_user(user: str) -> tuple[str, ...]:
    if user == "root":
        return ()
    account = pwd.getpwnam(user)
    return ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")


@contextlib.contextmanager
def _log(service: Service) -> Iterator[int]:
    descriptor = os.open(service.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        account = pwd.getpwnam(service.user)
        os.fchown(descriptor, account.pw_uid, account.pw_gid)
        yield descriptor
    finally:
        os.close(descriptor)


def wait_ready(service: Service, is_alive: Callable[[], bool]) -> None:
    """Wait until the daemon is ready.

    Raises:
        DevClusterError: it ended, or isn't ready in its time; the hint holds the end of its log.
    """
    begun = time.monotonic()
    while not service.ready():
        waited = time.monotonic() - begun
        if waited > service.patience:
            raise DevClusterError(f"{service.name} is not ready after {waited:.0f} s", hint=log_tail(service.log))
        if waited > 1 and not is_alive():
            raise DevClusterError(f"{service.name} ended as soon as it was started", hint=log_tail(service.log))
        time.sleep(0.02)


def log_tail(path: Path, lines: int = 6) -> str:
    """Return the last lines of a log, for a person who wonders."""
    try:
        text = path.read_bytes()[-4000:].decode(errors="replace")
    except OSError:
        return f"see {path}"
    return "\n".join([*text.splitlines()[-lines:], f"(from {path})"])


def answers(host: str, port: int) -> bool:
    """True if somebody accepts a connection there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def hears(host: str, port: int) -> bool:
    """True if somebody has the UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def listens(path: Path) -> bool:
    """True if somebody accepts a connection on the Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
