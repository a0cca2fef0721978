"""Places where nothing has to be brought: a folder that all hosts share, and configless Slurm."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aistation_slurm.cluster.places.base import Files, Hosts, Seen
from aistation_slurm.cluster.rules import policy
from aistation_slurm.cluster.rules.compiled import COMPILED

CONTROLLER_ONLY = frozenset({*policy.NAMES, COMPILED})
"""What no other host lacks: slurmctld alone reads the rules, and where the policy isn't, our commands ask Slurm."""
HANDED_OUT = frozenset(
    {
        "slurm.conf",
        "acct_gather.conf",
        "cgroup.conf",
        "gres.conf",
        "job_container.conf",
        "plugstack.conf",
        "topology.conf",
    }
)
"""What a configless slurmctld hands to each slurmd, on every release."""
SINCE = {
    "cli_filter.lua": (21, 8, 0),
    "helpers.conf": (21, 8, 0),
    "oci.conf": (21, 8, 0),
    "mpi.conf": (22, 5, 0),
    "scrun.lua": (23, 11, 5),
    "topology.yaml": (25, 5, 2),
    "namespace.yaml": (25, 11, 0),
}
"""What came to it later, and with which release."""
INCLUDES = (22, 5, 0)
"""From then on, to slurmd: files that one of those includes, by a name without a `/`."""
INCLUDES_ALONE = (23, 2, 0)
"""From then on, to commands on a host without a slurmd too; on 22.05.8 each of them waits a minute and ends (seen)."""


class NothingToBring:
    """A place where each host has the files as soon as this one does."""

    name = "shared"

    def __init__(self, hosts: Hosts = Hosts()) -> None:  # noqa: B008  (frozen)
        self._hosts = hosts

    @property
    def hosts(self) -> tuple[str, ...]:
        """None: nothing has to be brought to them."""
        return ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """None: who is down finds the new files when it comes back."""
        return ()

    def cannot_carry(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return nothing: a shared folder holds every file."""
        return ()

    def look(self, names: Iterable[str]) -> Seen:
        """Return that no other host has files of its own."""
        return Seen()

    def stage(self, files: Files) -> None:
        """Do nothing."""

    def switch(self) -> None:
        """Do nothing."""

    def back(self) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing."""


class SharedFolder(NothingToBring):
    """A folder that every host mounts."""


class Configless(NothingToBring):
    """slurmctld hands its files out itself (`SlurmctldParameters=enable_configless`), at each reconfigure."""

    name = "configless"

    def __init__(self, hosts: Hosts = Hosts(), *, release: str = "", included: Iterable[str] = ()) -> None:  # noqa: B008
        super().__init__(hosts)
        self._release, self._included = release, frozenset(included)

    def cannot_carry(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return which of the names slurmctld does not hand out, each as a sentence of why."""
        return tuple(why for name in names if (why := self._why_not(name)))

    def _why_not(self, name: str) -> str:
        if name in HANDED_OUT | CONTROLLER_ONLY:
            return ""
        release, is_included = release_of(self._release), name in self._included
        since = SINCE.get(name) or (INCLUDES if is_included else None)
        if since is None:
            return f"{name}: a configless slurmctld does not hand it out; bring it to the nodes by other means"
        if release < since:
            return f"{name}: a configless slurmctld hands it out from {_written(since)} on"
        if is_included and release < INCLUDES_ALONE:
            return (
                f"{name}: before 23.02 only a slurmd is handed what slurm.conf includes; on a host without one every "
                "command of Slurm waits a minute and ends: let those hosts have the files themselves"
            )
        return ""


def release_of(version: str) -> tuple[int, int, int]:
    """Return (22, 5, 8) of `22.05.8` or `slurm 22.05.8`; a release newer than all where none is told."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else (99, 99, 99)


def _written(release: tuple[int, int, int]) -> str:
    return f"{release[0]}.{release[1]:02}.{release[2]}"
