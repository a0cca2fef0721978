"""The processes of this machine: which are a cluster's, a node's, a daemon's; read from /proc, never from a pid file.

Everything that a cluster starts carries marks in its environment; slurmstepd, which wipes its own, holds its node's log
open; jobs are in their node's network namespace and, where there are cgroups, in one with the node's name. Selecting is
pure; only `read_processes`, `signal_all` and `end_all` touch the machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MARK = "AISTATION_DEV"
NODE_MARK = "AISTATION_DEV_NODE"
SERVICE_MARK = "AISTATION_DEV_SERVICE"
_KEPT = {MARK, NODE_MARK, SERVICE_MARK, "SLURM_CONF", "SLURMD_NODENAME"}


@dataclass(frozen=True, slots=True)
class Process:
    """One living process."""

    pid: int
    ppid: int
    start: int
    """When it started, in clock ticks after boot: with the pid, it names the process for good."""
    uid: int = 0
    is_stopped: bool = False
    """True after SIGSTOP, until SIGCONT."""
    argv: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    """Only what tells whose it is."""
    netns: int = 0
    freezer: str = ""
    """Its cgroup of the freezer."""
    log: str = ""
    """Of a slurmstepd, which wipes its environment: the log of its node's slurmd, which it holds open."""

    @property
    def program(self) -> str:
        """The name that it was called by."""
        return os.path.basename(self.argv[0].split(" ")[0]) if self.argv else ""


def read_processes() -> list[Process]:
    """Return the processes that live and see the same files as we do; kernel threads and zombies are left out."""
    ours = _identity(Path("/proc/self/root"))
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                if (process := _read(entry)) and _identity(entry / "root") == ours:
                    found.append(process)
    return found


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _read(entry: Path) -> Process | None:
    argv = (entry / "cmdline").read_bytes()
    words = (entry / "stat").read_bytes().rpartition(b")")[2].split()
    if not argv or words[0] in {b"Z", b"X"}:
        return None
    pairs = (each.partition("=") for each in _text(entry / "environ").split("\0"))
    return Process(
        pid=int(entry.name),
        ppid=int(words[1]),
        start=int(words[19]),
        uid=entry.stat().st_uid,
        is_stopped=words[0] in {b"T", b"t"},
        argv=tuple(argv.rstrip(b"\0").decode(errors="replace").split("\0")),
        environ={key: value for key, _, value in pairs if key in _KEPT},
        netns=(entry / "ns/net").stat().st_ino,
        freezer=_freezer(_text(entry / "cgroup")),
        log=_node_log(entry) if argv.split(b" ")[0].rstrip(b":\0").endswith(b"slurmstepd") else "",
    )


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def _freezer(cgroups: str) -> str:
    rows = (line.split(":", 2) for line in cgroups.splitlines())
    return next((path for _, controllers, path in rows if controllers == "freezer"), "")


def _node_log(entry: Path) -> str:
    targets = (os.readlink(each) for each in (entry / "fd").iterdir())
    return next((target for target in targets if "/log/slurmd." in target), "")


def services(processes: Sequence[Process], cluster: str) -> dict[str, Process]:
    """Return the cluster's daemons by their name: the topmost process of each that still runs its program."""
    marked = {p.pid: p for p in processes if p.environ.get(MARK) == cluster and SERVICE_MARK in p.environ}
    found: dict[str, Process] = {}
    for process in marked.values():
        name = process.environ[SERVICE_MARK]
        parent = marked.get(process.ppid)
        is_top = parent is None or parent.environ[SERVICE_MARK] != name
        if is_top and not process.program.startswith("slurmstepd"):
            found[name] = process
    return found


@dataclass(frozen=True, slots=True)
class NodeSigns:
    """What the processes of one node are known by."""

    mark: str
    """`CLUSTER/NODE` in the environment of its slurmd, and of what slurmd starts."""
    name: str
    slurm_conf: str
    log: str
    """The log of its slurmd."""
    job_ids: range
    """The job ids of its cluster."""
    netns: int = 0
    """Inode of its network namespace; 0 where it has none of its own."""


def of_node(processes: Sequence[Process], node: NodeSigns) -> list[Process]:
    """Return every process of the node: slurmd, step daemons, jobs' processes, the agent, and all their children."""
    return with_children(processes, [each for each in processes if _is_of(each, node)])


def _is_of(process: Process, node: NodeSigns) -> bool:
    environ = process.environ
    return (
        environ.get(NODE_MARK) == node.mark
        or (node.netns != 0 and process.netns == node.netns)
        or process.log == node.log
        or job_in_cgroup(process.freezer, node.name) in node.job_ids
        or (environ.get("SLURMD_NODENAME") == node.name and environ.get("SLURM_CONF") == node.slurm_conf)
    )


def job_in_cgroup(path: str, node: str) -> int:
    """Return the job id of the cgroup `/slurm_NODE/uid_UID/job_ID/...`, or -1 where it is none of the node's."""
    words = path.split("/")
    if len(words) > 3 and words[1] == f"slurm_{node}" and words[3].startswith("job_") and words[3][4:].isdecimal():
        return int(words[3][4:])
    return -1


def with_children(processes: Sequence[Process], roots: Iterable[Process]) -> list[Process]:
    """Return the roots and all that descends from them."""
    children: dict[int, list[Process]] = {}
    for each in processes:
        children.setdefault(each.ppid, []).append(each)
    found: dict[int, Process] = {}
    left = list(roots)
    while left:
        process = left.pop()
        if process.pid not in found:
            found[process.pid] = process
            left += children.get(process.pid, [])
    return list(found.values())


def ourselves(processes: Sequence[Process]) -> set[int]:
    """Return the pids of this process and of all above it, which nobody wants to stop by accident."""
    parents = {each.pid: each.ppid for each in processes}
    pid, found = os.getpid(), set[int]()
    while pid and pid not in found:
        found.add(pid)
        pid = parents.get(pid, 0)
    return found


def signal_all(processes: Iterable[Process], number: signal.Signals) -> int:
    """Send the signal to those that still are who they were, and return how many got it."""
    count = 0
    for process in processes:
        if start_of(process.pid) == process.start:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
                count += 1
    return count


def start_of(pid: int) -> int | None:
    """Return when the process started (clock ticks after boot), or None if there is no such living process."""
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if words[0] in {b"Z", b"X"} else int(words[19])


def end_all(select: Callable[[Sequence[Process]], Iterable[Process]], *, grace: float = 0.0) -> int:
    """End what `select` finds until it finds nothing more: TERM first if `grace` (s) is given, then KILL.

    Looked at again and again, since what is being ended may still start something. Returns how many there were.
    """
    ended: set[tuple[int, int]] = set()
    patient_until = time.monotonic() + grace
    give_up = patient_until + 10
    while time.monotonic() < give_up:
        processes = read_processes()
        spared = ourselves(processes)
        found = [each for each in select(processes) if each.pid not in spared]
        if not found:
            break
        patient = time.monotonic() < patient_until
        fresh = [each for each in found if not patient or (each.pid, each.start) not in ended]
        signal_all(fresh, signal.SIGTERM if patient else signal.SIGKILL)
        if patient:
            signal_all(fresh, signal.SIGCONT)
        ended |= {(each.pid, each.start) for each in found}
        time.sleep(0.03)
    return len(ended)
