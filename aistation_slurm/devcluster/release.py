"""Which Slurm a cluster runs: the installed one, a Debian suite's, or one built from source under a prefix.

However it came here, a Slurm that isn't the installed one is a folder with `bin`, `sbin` and `lib/slurm`, and the
cluster has a link to it, `Paths.slurm`. So whatever starts one of its programs needs to know the cluster only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster.commands import find, run
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import INSTALLED
from aistation_slurm.errors import UsageError

_INSTALLED_PLUGINS = ("lib/*/slurm-wlm", "lib/*/slurm", "lib64/slurm", "lib/slurm", "local/lib/slurm")
_DEBIAN = re.compile(r"debian:([a-z][a-z0-9-]{1,30})")
PROGRAMS = tuple(f"sbin/{name}" for name in ("slurmctld", "slurmd", "slurmdbd", "slurmstepd")) + tuple(
    f"bin/{name}" for name in ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
)


@dataclass(frozen=True, slots=True)
class Release:
    """A Slurm that a cluster may run."""

    spec: str
    """As it is asked for: `installed`, `debian:trixie`, `/opt/slurm-25.11`."""
    prefix: Path | None = None
    """The folder of its `bin`, `sbin` and `lib/slurm`; None for the installed one."""
    suite: str = ""
    """The Debian suite that it is made from, if it is."""

    def missing(self) -> list[str]:
        """Return those programs that a cluster needs and that are not under the prefix."""
        return [each for each in PROGRAMS if self.prefix and not (self.prefix / each).is_file()]


def read_release(spec: str, base: Path) -> Release:
    """Return the release that is asked for; `base` is the folder of all clusters, which holds those that we make.

    Raises:
        UsageError: it can't be one.
    """
    if spec == INSTALLED:
        return Release(spec)
    if found := _DEBIAN.fullmatch(spec):
        return Release(spec, shelf(base) / spec.replace(":", "-"), suite=found[1])
    if spec.startswith("/") and spec.isprintable() and " " not in spec:
        path = Path(spec)
        return Release(str(path), path)
    raise UsageError(
        f"{spec!r} is no release of Slurm",
        hint=f"{INSTALLED}, debian:SUITE (such as debian:trixie), or the folder that a Slurm was built into: /PREFIX",
    )


def shelf(base: Path) -> Path:
    """Return the folder of the releases that we made."""
    return base / "releases"


def put_link(paths: Paths, release: Release) -> None:
    """Make the cluster's link to its Slurm, or leave it without one, as the release wants it."""
    wanted = str(release.prefix) if release.prefix else None
    if paths.slurm.is_symlink() and str(paths.slurm.readlink()) != wanted:
        paths.slurm.unlink()
    if wanted and not paths.slurm.is_symlink():
        paths.slurm.symlink_to(wanted)


def own_folders(paths: Paths) -> list[str]:
    """Return what comes first in PATH for the cluster's Slurm; nothing where that is the installed one."""
    return [str(paths.slurm / each) for each in ("bin", "sbin")] if paths.slurm.is_symlink() else []


def program(paths: Paths, name: str) -> str:
    """Return the path of a program of the cluster's Slurm."""
    found = (Path(folder, name) for folder in own_folders(paths))
    return next((str(path) for path in found if path.is_file()), None) or find(name)


def plugin_dir(paths: Paths) -> Path | None:
    """Return where the plugins of the cluster's Slurm are, or None where its programs know that by themselves."""
    folder = paths.slurm / "lib" / "slurm"
    return folder if folder.is_dir() else None


def has_plugin(paths: Paths, name: str) -> bool:
    """Return whether the cluster's Slurm has a plugin, such as `job_submit/lua`; one that it lacks would end it."""
    own = plugin_dir(paths)
    folders = [own] if own else [each for pattern in _INSTALLED_PLUGINS for each in Path("/usr").glob(pattern)]
    return any((folder / f"{name.replace('/', '_')}.so").is_file() for folder in folders)


def version_said(slurmd: str) -> str:
    """Return the version of the Slurm that this slurmd belongs to, such as `24.11.5`.

    Raises:
        DevClusterError: it doesn't run.
    """
    words = run((slurmd, "-V")).split()
    return words[-1] if words else ""
