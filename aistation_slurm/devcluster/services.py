"""The daemons of one cluster: Slurm's own and, beside them, ours."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from aistation_slurm.devcluster.commands import SBIN, find
from aistation_slurm.devcluster.conf import SLURM_USER
from aistation_slurm.devcluster.daemons import Service, answers, hears, listens
from aistation_slurm.devcluster.database import USER as MYSQL_USER
from aistation_slurm.devcluster.database import mariadbd_argv
from aistation_slurm.devcluster.network import NAMESPACES
from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import ClusterRecord, NodeRecord
from aistation_slurm.devcluster.release import own_folders, program

MUNGE_USER = "munge"
# slurmrestd refuses to be root or SlurmUser.
REST_USER = "nobody"
CONTROLLER_SIDE = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmrestd")


def munged(paths: Paths) -> Service:
    """Return the cluster's own munged, with its own key."""
    folder = paths.run / "munge"
    argv = (
        find("munged"), "--foreground", f"--key-file={paths.etc / 'munge' / 'munge.key'}",
        f"--socket={paths.munge_socket}", f"--pid-file={folder / 'munged.pid'}",
        f"--seed-file={paths.state / 'munge' / 'munge.seed'}", f"--log-file={paths.log / 'munge' / 'munged.log'}",
    )  # fmt: skip
    return Service("munged", argv, paths.log / "munge" / "munged.out", user=MUNGE_USER,
                   ready=partial(listens, paths.munge_socket))  # fmt: skip


def mariadbd(paths: Paths, record: ClusterRecord) -> Service:
    """Return the cluster's own MariaDB."""
    return Service("mariadbd", mariadbd_argv(paths, record), paths.log / "mariadbd.log", user=MYSQL_USER,
                   ready=partial(answers, "127.0.0.1", record.ports.mariadb), patience=60)  # fmt: skip


def slurmdbd(paths: Paths, record: ClusterRecord) -> Service:
    """Return slurmdbd; the first time it makes its tables."""
    ready = partial(answers, record.address, record.ports.slurmdbd)
    return Service("slurmdbd", (program(paths, "slurmdbd"), "-D"), paths.log / "slurmdbd.out", user=SLURM_USER,
                   env=daemon_env(paths), ready=ready, patience=90, hosts=paths.hosts)  # fmt: skip


def slurmctld(paths: Paths, record: ClusterRecord) -> Service:
    """Return slurmctld."""
    ready = partial(answers, record.address, record.ports.slurmctld)
    return Service("slurmctld", (program(paths, "slurmctld"), "-D"), paths.log / "slurmctld.out", user=SLURM_USER,
                   env=daemon_env(paths), ready=ready, patience=60, hosts=paths.hosts)  # fmt: skip


def slurmrestd(paths: Paths) -> Service:
    """Return slurmrestd, on a Unix socket only."""
    path = paths.run / "slurmrestd" / "slurmrestd.socket"
    argv = (program(paths, "slurmrestd"), "-a", "rest_auth/local", f"unix:{path}")
    return Service("slurmrestd", argv, paths.log / "slurmrestd.out", user=REST_USER, env=slurm_env(paths),
                   ready=partial(listens, path))  # fmt: skip


def slurmd(paths: Paths, record: ClusterRecord, node: NodeRecord) -> Service:
    """Return the node's slurmd, in the node's network namespace where it has one."""
    stepd = program(paths, "slurmstepd")  # else it takes the one of where it was built to be
    argv = (program(paths, "slurmd"), "-D", "-N", node.name, "-d", stepd)
    return Service(f"slurmd:{node.name}", argv, paths.log / f"slurmd.{node.name}.out",
                   node=node.name, netns=_netns(record, node), env=daemon_env(paths))  # fmt: skip


def agent(paths: Paths, record: ClusterRecord, node: NodeRecord) -> Service:
    """Return the agent that sends the node's heartbeat."""
    to = f"{record.address}:{record.ports.heartbeat}"
    argv = (*OURS, "agent", "--node", node.name, "--to", to, "--munge-socket", str(paths.munge_socket))
    return Service(f"agent:{node.name}", argv, paths.log / f"agent.{node.name}.log",
                   node=node.name, netns=_netns(record, node), env=our_env(paths))  # fmt: skip


def daemon(paths: Paths, record: ClusterRecord) -> Service:
    """Return the daemon that runs the duties; as SlurmUser, who may order Slurm about."""
    ready = partial(hears, record.address, record.ports.heartbeat)
    return Service(
        "daemon", (*OURS, "daemon"), paths.log / "daemon.log", user=SLURM_USER, env=our_env(paths), ready=ready
    )


def page(paths: Paths, record: ClusterRecord) -> Service:
    """Return the web page."""
    return Service("page", (*OURS, "serve"), paths.log / "page.log", user=SLURM_USER, env=our_env(paths),
                   ready=partial(answers, "127.0.0.1", record.ports.web))  # fmt: skip


OURS = (sys.executable, "-m", "aistation_slurm")


def slurm_env(paths: Paths) -> dict[str, str]:
    """Return what Slurm's daemons and commands need to know of this cluster."""
    return {"SLURM_CONF": str(paths.slurm_conf)}


def daemon_env(paths: Paths) -> dict[str, str]:
    """Return what a daemon of Slurm is started with.

    From 23.11 on it looks up the name of whoever connects, before it answers him (conmgr); where DNS is silent, that
    takes 10 s.
    """
    return slurm_env(paths) | {"RES_OPTIONS": "timeout:1 attempts:1"}


def our_env(paths: Paths) -> dict[str, str]:
    """Return what our own programs need to know of this cluster."""
    path = ":".join([*own_folders(paths), os.path.dirname(sys.executable), SBIN])
    more = {"AISTATION_CONFIG": str(paths.config), "PATH": path, "PYTHONUNBUFFERED": "1", "HOME": "/"}
    return slurm_env(paths) | more


def _netns(record: ClusterRecord, node: NodeRecord) -> Path | None:
    return NAMESPACES / record.namespace(node) if record.layout == "netns" else None
