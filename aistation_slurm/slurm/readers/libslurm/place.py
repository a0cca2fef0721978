"""Where libslurm is, and the worker that opens it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from aistation_slurm.errors import SlurmMissing
from aistation_slurm.slurm.worker import Worker

_SERVES = "aistation_slurm.slurm.readers.libslurm.service:serve"
_FULL = ("lib/slurm", "lib64/slurm", "lib/*-linux-gnu/slurm-wlm", "lib/*-linux-gnu/slurm", "lib/slurm-wlm")
_PUBLIC = ("lib", "lib64", "lib/*-linux-gnu")
_KEPT = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER"})


def find_library(*, bin: Path | None = None) -> Path:  # noqa: A002  (the settings' own word)
    """Return the libslurm that belongs to the commands in `bin`, or to those on PATH.

    `libslurmfull.so` before `libslurm.so.N`: Debian's packages, and PREFIX/lib/slurm of an own build, always have it.

    Raises:
        SlurmMissing: there is none.
    """
    prefix = _prefix(bin)
    if found := next(_candidates(prefix), None):
        return found
    raise SlurmMissing(
        "no libslurmfull.so and no libslurm.so", where=str(prefix / "lib"), hint="without it the commands are asked"
    )


def libslurm_worker(
    *, slurm_conf: Path | None = None, bin: Path | None = None, with_pyslurm: bool = False  # noqa: A002
) -> Worker:  # fmt: skip
    """Return a worker that opens libslurm at its first question; a reader and a probe may share it, or have one each.

    Raises:
        SlurmMissing: there is no libslurm.
    """
    library = find_library(bin=bin)
    options = (str(library), *(("pyslurm",) if with_pyslurm else ()))
    env = _env(slurm_conf)
    key = partial(_age, env.get("SLURM_CONF", ""))
    return Worker(_SERVES, *options, name="libslurm", env=env, python=_python(library), key=key)


def _age(slurm_conf: str) -> tuple[int, int, int] | None:
    """Return what tells one slurm.conf from the next: libslurm reads it once, a command each time."""
    try:
        status = Path(slurm_conf).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _prefix(bin: Path | None) -> Path:  # noqa: A002
    program = bin / "scontrol" if bin else Path(shutil.which("scontrol") or "/usr/bin/scontrol")
    return program.resolve().parent.parent


def _candidates(prefix: Path) -> Iterator[Path]:
    for folder in _FULL:
        yield from sorted(prefix.glob(f"{folder}/libslurmfull.so"))
    for folder in _PUBLIC:
        yield from sorted(prefix.glob(f"{folder}/libslurm.so.*"), key=lambda path: len(path.name))


def _python(library: Path) -> tuple[str, ...]:
    """Return what starts Python for this libslurm: a Slurm that came with a C library of its own needs its loader."""
    libraries = library.parent.parent
    loader = next(iter(sorted(libraries.glob("ld-linux*.so.*"))), None)
    if loader is None or _is_own(libraries / "libc.so.6"):
        return (sys.executable,)
    return str(loader), "--library-path", f"{libraries}:{library.parent}", sys.executable


def _is_own(libc: Path) -> bool:
    """True where this process itself runs with that C library, or there is none."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    mine = {line.split(maxsplit=5)[-1] for line in maps if line.endswith("/libc.so.6")}
    return not libc.exists() or any(Path(each).exists() and libc.samefile(each) for each in mine)


def _env(slurm_conf: Path | None) -> dict[str, str]:
    """Return the environment of libslurm: times in seconds, as our commands have them, and nobody's own wishes."""
    kept = {key: value for key, value in os.environ.items() if key in _KEPT or not key.startswith("SLURM_")}
    conf = {"SLURM_CONF": str(slurm_conf)} if slurm_conf else {}
    return {**kept, **conf, "SLURM_TIME_FORMAT": "%s", "LC_ALL": "C.UTF-8"}
