"""The distribution's packages that a cluster is made of: which are missing, and how to get them, and nothing else."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aistation_slurm.devcluster.commands import find
from aistation_slurm.errors import DevClusterError, MissingPackage

# Debian 12 and 13 and Ubuntu 24.04 call them the same; package -> a program that only it brings.
_DEBIAN = {
    "munge": "munged",
    "mariadb-server": "mariadbd",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "slurmrestd": "slurmrestd",
    "slurm-client": "sbatch",
    "iproute2": "ip",
    "util-linux": "nsenter",
    "passwd": "useradd",
}
# Debian 13 and Ubuntu split plugins off, which a bare `--no-install-recommends` would leave out.
_PLUGINS_OF_13 = {"slurm-wlm-mysql-plugin": "", "slurm-wlm-basic-plugins": ""}
PACKAGES: dict[str, dict[str, str]] = {
    "debian 12": _DEBIAN | _PLUGINS_OF_13,
    "debian 13": _DEBIAN | _PLUGINS_OF_13,
    "ubuntu 24.04": _DEBIAN | _PLUGINS_OF_13,
}
_UNITS = {
    "munge": "munge",
    "mariadb-server": "mariadb",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurmdbd": "slurmdbd",
    "slurmrestd": "slurmrestd",
    "openssh-server": "ssh",  # for tests only
}
SLURM_USER = "slurm"
POLICY = Path("/usr/sbin/policy-rc.d")
_OUR_POLICY = "#!/bin/sh\n# Written by `aistation dev install`: what is being installed starts no daemon.\nexit 101\n"


def os_release(file: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return what the distribution says of itself, such as its `ID`; {} where the file isn't there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def distribution(file: Path = Path("/etc/os-release")) -> str:
    """Return the distribution and its version, such as `debian 12`; '' where the file isn't there."""
    pairs = os_release(file)
    return f"{pairs.get('ID', '')} {pairs.get('VERSION_ID', '')}".strip()


def packages(distro: str) -> Mapping[str, str]:
    """Return package -> program for the distribution; Debian's for one that we don't know."""
    return PACKAGES.get(distro, PACKAGES["debian 12"])


def missing(distro: str | None = None, *, slurm: bool = True) -> list[str]:
    """Return the packages that are not installed; without `slurm`, of those that a Slurm from elsewhere needs too."""
    wanted = packages(distribution() if distro is None else distro)
    if not slurm and _exists(SLURM_USER):  # whom Slurm's packages make
        wanted = {package: program for package, program in wanted.items() if not package.startswith("slurm")}
    installed = _installed(wanted)
    return [
        package
        for package, program in wanted.items()
        if (not program or not find(program).startswith("/")) and package not in installed
    ]


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _installed(wanted: Mapping[str, str]) -> set[str]:
    command = ("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted)
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return set(wanted)  # no dpkg: whoever built this machine knows what its plugins come with
    return {line.split()[0] for line in answer.splitlines() if line.endswith(" installed")}


def apt_line(names: list[str]) -> str:
    """Return the command that installs them, for a person to copy."""
    return f"apt-get install --no-install-recommends {' '.join(names)}"


def require(*, slurm: bool = True) -> None:
    """Return if all packages are there; without `slurm`, those that a Slurm from elsewhere needs too.

    Raises:
        MissingPackage: some are not; the hint is the command that installs them.
    """
    if names := missing(slurm=slurm):
        hint = f"aistation dev install    (or, by hand: {apt_line(names)})"
        raise MissingPackage(f"not installed: {', '.join(names)}", hint=hint)


def install(names: list[str]) -> None:
    """Install the packages with apt, no daemon of them started.

    Raises:
        DevClusterError: apt failed; the hint holds its last words.
    """
    if not find("apt-get").startswith("/"):
        raise DevClusterError("no apt-get here", hint=f"install these by hand: {', '.join(names)}")
    with no_daemons():
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", *names)
    _keep_off(names)


def _keep_off(names: list[str]) -> None:
    """What was installed just now isn't started by the next boot either; a site that wants it enables it."""
    units = [_UNITS[name] for name in names if name in _UNITS]
    if units and find("systemctl").startswith("/"):
        subprocess.run(("systemctl", "disable", *units), capture_output=True, check=False)


def _apt(*words: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ("apt-get", "-o", "DPkg::Lock::Timeout=120", *words), env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DevClusterError(f"apt-get {words[0]} failed", hint=(done.stderr or done.stdout).strip()[-1500:])


@contextmanager
def no_daemons(policy: Path = POLICY) -> Iterator[None]:
    """Forbid that packages start daemons; where the machine has a policy of its own, that is put back afterwards.

    One that forbids starting (as in a container) is ours to use; one that may allow it is set aside and restored.
    """
    aside = policy.with_name(f"{policy.name}.aistation-aside")
    if aside.exists() and _is_ours(policy):  # an earlier run was cut off
        aside.replace(policy)
    if policy.exists() and not _is_ours(policy):
        policy.rename(aside)
    fresh = policy.with_name(f".{policy.name}.new")
    fresh.write_text(_OUR_POLICY)
    fresh.chmod(0o755)
    fresh.replace(policy)
    try:
        yield
    finally:
        if aside.exists():
            aside.replace(policy)
        else:
            policy.unlink(missing_ok=True)


def _is_ours(policy: Path) -> bool:
    return policy.exists() and policy.read_text() == _OUR_POLICY
