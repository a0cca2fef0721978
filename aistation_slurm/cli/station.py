"""What `up` and `down` put together: a one-machine cluster with the daemon and the page."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from aistation_slurm.cli import adoption
from aistation_slurm.devcluster import packages
from aistation_slurm.devcluster.cluster import DevCluster
from aistation_slurm.devcluster.cluster import down as take_cluster_down
from aistation_slurm.devcluster.lock import need_root
from aistation_slurm.devcluster.paths import paths_of
from aistation_slurm.devcluster.plan import Wishes
from aistation_slurm.devcluster.source import choose_file
from aistation_slurm.errors import SlurmError
from aistation_slurm.settings import Settings
from aistation_slurm.slurm.connect import Slurm, connect
from aistation_slurm.spec import load_spec

Say = Callable[[str], None]
Ask = Callable[[str], bool]

NAME = "station"
"""The one-machine cluster that `up` starts; those of `aistation dev` have other names."""


def no_question(_: str) -> bool:
    """True: for somebody who said --yes."""
    return True


def running_slurm(settings: Settings) -> Slurm | None:
    """Return the Slurm that runs here, if its controller answers; one that `up` itself started does not count."""
    if settings.simulated or not settings.slurm.conf.exists():
        return None
    slurm = connect(settings.slurm)
    try:
        return slurm if any(each.is_up for each in slurm.read.controllers()) else None
    except SlurmError:
        return None


def embed(file: Path | None, *, say: Say, ask: Ask) -> DevCluster | None:
    """Start a Slurm of our own with the page, after one question; None if the answer was no.

    Raises:
        NeedsRoot: this isn't root.
        SpecError: the cluster file is wrong; nothing was installed or started.
    """
    from aistation_slurm.cli.dev import start_cluster

    need_root()
    load_spec(choose_file(paths_of(NAME), file))  # a wrong file is said before anything is installed
    missing = packages.missing()
    for line in plan_lines(missing):
        say(line)
    if not ask("Go on?"):
        say("Nothing was changed.")
        return None
    if missing:
        say(f"installing {' '.join(missing)}; their daemons are not started")
        packages.install(missing)
    return start_cluster(Wishes(name=NAME, agents=True, daemon=True, page=True), file=file)


def plan_lines(missing: list[str]) -> list[str]:
    """Return what `up` would do, a line each, for the one question."""
    root = paths_of(NAME).root
    install = [f"  install  {' '.join(missing)} (the distribution's packages; none of their daemons is started)"]
    return [
        "A Slurm of its own on this machine, with simulated GPUs:",
        *(install if missing else []),
        "  start    munged, MariaDB, slurmdbd, slurmctld, slurmrestd, a slurmd for each node; daemon, agents, page",
        f"  keep     everything under {root}; /etc/slurm and any other Slurm are not touched",
        "  create   the Unix users of the cluster file that are not here yet",
        "`aistation down` takes all of it away again, but for the packages.",
    ]


def take_down(*, say: Say, ask: Ask) -> None:
    """Take away what `up` made: the one-machine cluster it started, or the page beside an adopted Slurm."""
    paths = paths_of(NAME)
    embedded = paths.root.exists() or paths.lock.exists()
    if not embedded and not adoption.stands():
        say("There is no station that `aistation up` started here. Nothing was changed.")
        return
    need_root()
    if embedded and ask(f"Take away the one-machine cluster under {paths.root}, its jobs, users and files?"):
        take_cluster_down(NAME, say=say)
    if adoption.stands() and ask("Stop the page and forget the adopted Slurm? The Slurm itself is left as it is."):
        adoption.forget(say=say)


def say_what_next(cluster: DevCluster, say: Say) -> None:
    """Say where the page is, and what is worth trying."""
    user = cluster.record.users[0]
    dev = f"aistation dev exec --name {NAME}"
    say("")
    if shutil.which("aistation") is None:
        say(f"First             export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    say(f"The page          http://127.0.0.1:{cluster.record.ports.web}/")
    say(f'Slurm\'s commands  eval "$(aistation dev env --name {NAME})"; sinfo; squeue')
    say(f"A job of {user:9} {dev} --as {user} -- aistation job submit --help")
    say(f"Break a node      aistation dev fault --name {NAME} cut-node {cluster.record.nodes[1].name}")
    say(f"What recovery did {dev} -- aistation fault list")
    say("Take it away      aistation down")
