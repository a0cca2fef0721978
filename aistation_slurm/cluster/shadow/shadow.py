"""A shadow slurmctld: the candidate files are tried before the real one reads them.

It runs as SlurmUser on a copy of the state, in a private folder, in network, mount and process namespaces of its own,
with no route to anywhere: it reaches neither a node nor slurmdbd, and dies with its first process. QOS and associations
are those that the real one last saved.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.cluster.conf import Conf
from aistation_slurm.cluster.shadow.conf import ADDRESS, Known, hosts_text, other_files, shadow_text

PATIENCE = 60.0
"""Seconds that it may take to start: a tenth of one with few nodes, 13 with 10,000 whose names it looks up."""
_LEAVE = ("--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private")
_INSIDE = (
    f'ip link set lo up && ip address add {ADDRESS}/32 dev lo && mount --bind "$1" /etc/hosts && shift || exit 1; '
    '"$@"; exit $?'
)
"""The shell stays the namespace's first process: one that changes its user, as slurmctld's does, forgets that it is to
die with its parent (prctl(2), PR_SET_PDEATHSIG)."""
_PREFIX = "aistation-shadow-"
_STARTED, _ENDING = "Running as primary controller", "Saving all slurm state"
_LAST_THREAD = "sstate"
"""What slurmctld calls the thread that saves its state."""
_RETRYING = "retrying in 1sec"
"""It waits a minute for a file that isn't there, and then ends."""
_STAMP = re.compile(r"^(?:slurmctld: |\[[^\]]*\] )+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a shadow slurmctld did with the files."""

    started: bool
    why: str = ""
    """Its own last words where it ended; why it could not be tried where it was not."""
    tried: bool = True
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.tried:
            return f"a shadow slurmctld could not be tried: {self.why}"
        if self.started:
            return f"a shadow slurmctld started with these files in {self.seconds:.1f} s"
        return f"a shadow slurmctld ended with these files: {self.why}"


def try_files(
    conf: Conf,
    texts: Mapping[Path, str] | None = None,
    *,
    known: Known | None = None,
    bin: Path | None = None,  # noqa: A002  (the settings' own word)
    patience: float = PATIENCE,
) -> Verdict:
    """Start slurmctld with these files where it can do no harm, end it, and return how that went.

    `texts` are files as they are to be; `known` is what slurmdbd has; `bin` the folder of Slurm's commands.
    """
    if hindrance := hindrance_here(bin):
        return Verdict(started=False, why=hindrance, tried=False)
    try:
        user = pwd.getpwnam(conf.value("SlurmUser") or "root")
    except KeyError:
        return Verdict(started=False, why=f"there is no user {conf.value('SlurmUser')!r}, who is its SlurmUser")
    begun = time.monotonic()
    with (
        _folder(conf, texts or {}, user=user, known=known or Known()) as folder,
        _slurmctld(folder, user, find_slurmctld(bin)) as process,
    ):
        why = _watch(process, folder / "out", begun + patience)
    return Verdict(started=not why, why=why, seconds=time.monotonic() - begun)


def hindrance_here(bin: Path | None = None) -> str:  # noqa: A002
    """Return why no shadow can be tried here, or nothing."""
    if os.geteuid() != 0:
        return "that needs root"
    if not find_slurmctld(bin):
        return "slurmctld is not on this machine"
    if missing := [each for each in ("unshare", "setpriv", "ip", "mount") if not shutil.which(each)]:
        return f"{' and '.join(missing)} not on this machine"
    probe = subprocess.run(("unshare", *_LEAVE, "true"), capture_output=True, check=False, timeout=30)
    return "" if probe.returncode == 0 else f"no namespaces here ({probe.stderr.decode(errors='replace').strip()})"


def find_slurmctld(bin: Path | None = None) -> str:  # noqa: A002
    """Return the path of the slurmctld that belongs to these commands, or nothing."""
    folders = [str(bin.parent / "sbin"), str(bin)] if bin else [*os.environ.get("PATH", "").split(":"), "/usr/sbin"]
    return shutil.which("slurmctld", path=":".join(folders)) or ""


@contextmanager
def _folder(conf: Conf, texts: Mapping[Path, str], *, user: pwd.struct_passwd, known: Known) -> Iterator[Path]:
    """Give it a folder with its files and its state, and take that away afterwards."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        state, etc = folder / "state", folder / "etc"
        etc.mkdir()
        _copy_state(Path(conf.value("StateSaveLocation") or "/var/spool"), state)
        host = socket.gethostname().partition(".")[0]
        accounting = (state / "assoc_mgr_state").exists() or "slurmdbd" not in conf.value("AccountingStorageType")
        (etc / "slurm.conf").write_text(shadow_text(conf, folder, host=host, known=known, accounting=accounting))
        for name, content in other_files(conf, texts).items():
            (etc / name).write_bytes(content)
        (folder / "hosts").write_text(hosts_text(conf, host))
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Take away what is left of those who were killed before they could."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def _copy_state(source: Path, target: Path) -> None:
    """Copy what slurmctld saved; it writes a file aside and moves it into place, so none is ever half there.

    Not its folders, which hold the jobs' scripts: they are large, and whether it starts does not depend on them.
    """
    target.mkdir()
    with suppress(OSError):
        for path in source.iterdir():
            with suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and not path.name.endswith((".old", ".new")):
                    shutil.copyfile(path, target / path.name)


@contextmanager
def _slurmctld(folder: Path, user: pwd.struct_passwd, program: str) -> Iterator[subprocess.Popen[bytes]]:
    who = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups") if user.pw_uid else ()
    argv = (
        *("setpriv", "--pdeathsig", "KILL", "unshare", *_LEAVE),
        *("sh", "-c", _INSIDE, "sh", str(folder / "hosts"), *who, program, "-D"),
    )
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "SLURM_CONF": str(folder / "etc" / "slurm.conf"),
        "RES_OPTIONS": "timeout:1 attempts:1",
    }
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process of its namespace, and the kernel all others there before unshare hears of it."""
    _send(signal.SIGKILL, _children(process.pid))
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _watch(process: subprocess.Popen[bytes], out: Path, give_up: float) -> str:
    """Return nothing once it has started; else its last words.

    It says that it runs as primary before its last plugins are loaded, and starts the thread that saves its state once
    they are. From 24.11 on it may hear a signal before.
    """
    told = False
    while time.monotonic() < give_up:
        said = out.read_text(encoding="utf-8", errors="replace")
        if told and _ENDING in said:
            return ""
        if (code := process.poll()) is not None:
            said = out.read_text(encoding="utf-8", errors="replace")
            return "" if told and code == 0 else _last_words(said, code)
        if _RETRYING in said:
            return _last_words(said, None)
        slurmctld = [each for shell in _children(process.pid) for each in _children(shell)]
        if not told and _STARTED in said and any(_has_thread(each, _LAST_THREAD) for each in slurmctld):
            _send(signal.SIGTERM, slurmctld)
            told = True
        time.sleep(0.02)
    return f"it had not started after {PATIENCE:.0f} s; {_last_words(out.read_text(errors='replace'), None)}"


def _children(pid: int) -> list[int]:
    """Return the processes that the process started: of unshare the shell, of the shell slurmctld."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    except OSError:
        return []


def _has_thread(pid: int, name: str) -> bool:
    with suppress(OSError):
        return any(path.read_text().strip() == name for path in Path(f"/proc/{pid}/task").glob("*/comm"))
    return False


def _send(what: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, what)


def _last_words(said: str, code: int | None) -> str:
    """Return what it ended of, in one sentence."""
    lines = [_STAMP.sub("", line).strip() for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("fatal:")]
    errors = [line for line in lines if line.startswith("error:")]
    if fatal:
        says_little = "initialize" in fatal[-1] or "onfiguration file" in fatal[-1]
        return f"{fatal[-1]} ({errors[-1]})" if errors and says_little else fatal[-1]
    how = f"exit code {code}" if code else "no reason given"
    return "; ".join([how, *errors[-2:]]) if errors else "; ".join([how, *lines[-2:]])
