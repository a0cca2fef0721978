"""The releases of Slurm that were made on this machine, shared by its clusters: made once, listed, removed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster.debian_suite import machines_mirror, make_prefix
from aistation_slurm.devcluster.lock import need_root
from aistation_slurm.devcluster.paths import Paths, names
from aistation_slurm.devcluster.record import load_record
from aistation_slurm.devcluster.release import Release, read_release, shelf, version_said
from aistation_slurm.devcluster.steps import Say, Steps
from aistation_slurm.errors import DevClusterError, UnknownNameError
from aistation_slurm.render import write_whole


@dataclass(frozen=True, slots=True)
class Made:
    """A release on the shelf."""

    spec: str
    version: str
    """Such as `24.11.5`; '' if it was not finished."""
    folder: str
    size: int
    """MiB."""
    used_by: tuple[str, ...]
    """The clusters that run it."""


def provide(release: Release, base: Path, say: Say) -> None:
    """Return once the release can be started; one out of a suite is made, the first time.

    Raises:
        NeedsRoot: this isn't root.
        DevClusterError: it can't be made, or what is under its prefix is no whole Slurm.
    """
    if release.suite and release.prefix and not _is_whole(release.prefix):
        need_root()
        with _shelf_locked(base, say):
            if not _is_whole(release.prefix):
                _make(release, release.prefix, say)
    if lacking := release.missing():
        names = ", ".join(lacking[:3]) + (" ..." if lacking[3:] else "")
        hint = "give the folder that holds its bin and sbin"
        raise DevClusterError(f"no whole Slurm: {names} missing", where=str(release.prefix), hint=hint)


def _make(release: Release, prefix: Path, say: Say) -> None:
    """Make it in its place, whose last file says that it is whole; what an interrupted try left is thrown away."""
    steps = Steps(say)
    mirror = machines_mirror()
    say(f"{release.spec} is not on this machine yet: it is made once, out of {mirror.site}")
    shutil.rmtree(prefix, ignore_errors=True)
    prefix.mkdir()
    prefix.chmod(0o755)
    try:
        make_prefix(release.suite, prefix, mirror, steps)
        version = version_said(str(prefix / "sbin" / "slurmd"))
    except (DevClusterError, OSError) as error:
        shutil.rmtree(prefix, ignore_errors=True)
        if isinstance(error, OSError):  # the disk is full, most likely
            raise DevClusterError(f"{release.spec} can't be made: {error.strerror}", where=str(prefix)) from error
        raise
    write_whole(prefix / "version", version + "\n")
    steps.total(f"{release.spec} is made: Slurm {version}")


def _is_whole(prefix: Path) -> bool:
    return (prefix / "version").is_file()


@contextmanager
def _shelf_locked(base: Path, say: Say) -> Iterator[None]:
    """Hold the shelf; wait, and say so, while another makes or removes a release."""
    shelf(base).mkdir(parents=True, exist_ok=True)
    shelf(base).chmod(0o755)
    folder = os.open(shelf(base), os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is making a release; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def made(base: Path) -> list[Made]:
    """Return the releases on the shelf."""
    folders = sorted(each for each in shelf(base).glob("debian-*") if each.is_dir())
    return [_look(folder, base) for folder in folders]


def _look(folder: Path, base: Path) -> Made:
    spec = folder.name.replace("-", ":", 1)
    version = (folder / "version").read_text().strip() if _is_whole(folder) else ""
    return Made(spec, version, str(folder), _size(folder) // 2**20, _users(spec, base))


def _size(folder: Path) -> int:
    files = (Path(top, name) for top, _, found in os.walk(folder) for name in found)
    return sum(each.lstat().st_size for each in files)


def _users(spec: str, base: Path) -> tuple[str, ...]:
    found = []
    for name in names(base):
        with suppress(DevClusterError):  # damaged: it can only be taken down
            record = load_record(Paths(name, base))
            if record and record.slurm == spec:
                found.append(name)
    return tuple(found)


def remove(spec: str, base: Path, say: Say) -> Made:
    """Take the release off the shelf, and return what it was.

    Raises:
        NeedsRoot: this isn't root.
        UnknownNameError: there is none of this name.
        DevClusterError: a cluster runs it.
    """
    need_root()
    known = [each.spec for each in made(base)]
    if spec not in known:
        raise UnknownNameError("release", spec, where=str(shelf(base)), known=known)
    release = read_release(spec, base)
    with _shelf_locked(base, say):
        assert release.prefix is not None
        was = _look(release.prefix, base)
        if was.used_by:
            hint = f"take it down first: aistation dev down --name {was.used_by[0]}"
            raise DevClusterError(f"{spec} is what the cluster {was.used_by[0]} runs", hint=hint)
        (release.prefix / "version").unlink(missing_ok=True)  # first: half a release is none
        shutil.rmtree(release.prefix)
    for folder in (shelf(base), base, base.parent):
        with suppress(OSError):  # not empty: another release's, or a cluster's
            folder.rmdir()
    return was
