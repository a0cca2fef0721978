"""The commands of the distribution that start and arrange a cluster: run, waited for, their failure one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from aistation_slurm.errors import DevClusterError

SBIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(
    argv: Sequence[str], *, stdin: str = "", timeout: float = 60, env: Mapping[str, str] | None = None, user: str = ""
) -> str:
    """Run the command to its end and return its stdout.

    Raises:
        DevClusterError: it is not there, failed or took longer than `timeout` seconds; the hint holds its own words.
    """
    who = {"user": user, "group": user, "extra_groups": []} if user else {}
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
            env=clean_env(env), errors="replace", cwd="/", **who,  # type: ignore[call-overload]
        )  # fmt: skip
    except FileNotFoundError as error:
        raise DevClusterError(f"{argv[0]}: no such command", hint="aistation dev install") from error
    except subprocess.TimeoutExpired as error:
        raise DevClusterError(f"{argv[0]} did not end within {timeout:.0f} s") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()
        raise DevClusterError(f"`{' '.join(argv)}` failed ({done.returncode})", hint=words[-2000:])
    return str(done.stdout)


def clean_env(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment that holds nothing of the caller's Slurm, MariaDB or shell."""
    kept = {key: os.environ[key] for key in ("TZ", "PYTHONPATH") if key in os.environ}
    return {**kept, "PATH": SBIN, "LC_ALL": "C.UTF-8", "HOME": "/root", **(more or {})}


def find(program: str) -> str:
    """Return the program's path, sbin included, or its name where it is not installed."""
    return shutil.which(program, path=SBIN) or program
