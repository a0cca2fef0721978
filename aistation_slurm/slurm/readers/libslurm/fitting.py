"""Whether the installed pyslurm can ask the Slurm that runs."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

_RELEASE = re.compile(r"(\d+)\.(\d+)")


def installed_pyslurm() -> str | None:
    """Return the version of the installed pyslurm, such as `25.11.2`; None where there is none. Imports nothing."""
    try:
        return version("pyslurm")
    except PackageNotFoundError:
        return None


def pyslurm_misfit(slurm: str, pyslurm: str | None) -> str | None:
    """Return in words why this pyslurm can't ask this Slurm, both by version; None where it can.

    pyslurm is built against the headers of one release, `25.11` of `25.11.2`, and reads libslurm's structures by them:
    with another release it would read nonsense.
    """
    if pyslurm is None:
        return "pyslurm is not installed"
    ours, theirs = _release(pyslurm), _release(slurm)
    if theirs is None:
        return f"Slurm says that it is {slurm!r}, which is no release that we know"
    if ours is None:
        return f"pyslurm says that it is {pyslurm!r}, which is no release that we know"
    if ours != theirs:
        return f"pyslurm {pyslurm} is made for Slurm {ours}, and this is {slurm}"
    return None


def _release(text: str) -> str | None:
    """Return `25.11` of `25.11.2`, `slurm 25.11.7` or `25.11.0-0rc1`."""
    match = _RELEASE.search(text)
    return f"{match[1]}.{match[2].zfill(2)}" if match else None
