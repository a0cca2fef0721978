"""The files of the site that a one-machine cluster plays: slurm.conf, slurmdbd.conf, cgroup.conf, aistation.toml."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from aistation_slurm.devcluster.paths import Paths
from aistation_slurm.devcluster.record import INSTALLED, ClusterRecord, NodeRecord
from aistation_slurm.devcluster.release import plugin_dir
from aistation_slurm.render import Raw, slurm_line
from aistation_slurm.spec import ClusterSpec, GpuGroup

SLURM_USER = "slurm"
PREAMBLE = "# Written by `aistation dev up`; changes made here are lost.\n"
FREEZER = Path("/sys/fs/cgroup/freezer")


def proctrack(freezer: Path = FREEZER) -> str:
    """Return the process tracking that works with what is mounted.

    Version 1's freezer holds on to what a job daemonised. Of version 2 the plugin wants a systemd scope for each
    slurmd, which many of them on one machine, or in a container, don't get: there, and without any cgroups, the
    kernel's process tree has to do.
    """
    return "proctrack/cgroup" if _writable(freezer) else "proctrack/linuxproc"


def _writable(freezer: Path) -> bool:
    probe = freezer / "aistation-probe"
    try:
        if not (freezer / "tasks").exists():
            return False
        probe.mkdir(exist_ok=True)
        probe.rmdir()
    except OSError:
        return False
    return True


def slurm_conf(paths: Paths, record: ClusterRecord, spec: ClusterSpec, site_keys: Mapping[str, str]) -> str:
    """Return the site's slurm.conf; `site_keys`, which the product needs in it, win over what a site would have."""
    pairs = _merge(_defaults(paths), site_keys, _fixed(paths, record))
    lines = [slurm_line({key: Raw(value)}) for key, value in pairs.items()]
    nodes = [slurm_line(dict(each)) for each in node_lines(record, spec)]
    site = "PartitionName=site Nodes=ALL State=DOWN Hidden=YES RootOnly=YES"
    return "\n".join([PREAMBLE + lines[0], *lines[1:], *nodes, site, "Include aistation.conf"]) + "\n"


def _merge(defaults: Mapping[str, str], wanted: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
    merged: dict[str, tuple[str, str]] = {}
    for layer in (defaults, wanted, fixed):
        merged |= {key.lower(): (key, value) for key, value in layer.items()}
    wants = {key.lower(): value for key, value in wanted.items()}
    if "authinfo" in wants:  # the socket is ours, the rest (cred_expire) the product's
        merged["authinfo"] = ("AuthInfo", f"{merged['authinfo'][1]},{wants['authinfo']}")
    return dict(merged.values())


def _defaults(paths: Paths) -> dict[str, str]:
    return {
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/linux",
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        "ReturnToService": "1",
        # With an Epilog a node reports a job's end by itself. Without, a gang's node that had no step when another died
        # stays COMPLETING until slurmctld gives up on the dead one: MessageTimeout + 1 s (22.05: slurmd/req.c).
        "Epilog": "/bin/true",
        "GresTypes": "gpu,shard",
        "SlurmctldLogFile": str(paths.log / "slurmctld.log"),
        "SlurmdLogFile": str(paths.log / "slurmd.%n.log"),
    }


def _fixed(paths: Paths, record: ClusterRecord) -> dict[str, str]:
    return {
        "ClusterName": record.slurm_cluster,
        "FirstJobId": str(record.job_ids.start),
        "MaxJobId": str(record.job_ids.stop - 1),
        "SlurmctldHost": f"{socket.gethostname().split('.')[0]}({record.address})",
        "SlurmUser": SLURM_USER,
        "SlurmctldPort": str(record.ports.slurmctld),
        "SlurmdPort": str(record.ports.slurmd),
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "AuthInfo": f"socket={paths.munge_socket}",
        "StateSaveLocation": str(paths.state / "slurmctld"),
        "SlurmdSpoolDir": str(paths.spool / "%n"),
        "TmpFS": str(paths.spool / "%n"),  # each node its own: mpi/pmix makes folders there, named after the step alone
        "SlurmctldPidFile": str(paths.run / "slurm" / "slurmctld.pid"),
        "SlurmdPidFile": str(paths.run / "slurmd.%n.pid"),
        "ProctrackType": proctrack(),
        "SlurmdParameters": "config_overrides",
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": record.address,
        "AccountingStoragePort": str(record.ports.slurmdbd),
        "AccountingStoragePass": str(paths.munge_socket),  # for slurmdbd it is this, not AuthInfo (man slurm.conf)
        **_plugins(paths),
    }


def _plugins(paths: Paths) -> dict[str, str]:
    """Return where the plugins are, if Slurm may not know: it was moved here from where it was built to be."""
    folder = plugin_dir(paths)
    return {"PluginDir": str(folder)} if folder else {}


def node_lines(record: ClusterRecord, spec: ClusterSpec) -> Iterator[dict[str, object]]:
    """Yield a NodeName line for each node."""
    groups = {name: group for group in spec.groups.values() for name in group.node_names()}
    for node in record.nodes:
        yield _node_line(node, groups[node.name])


def _node_line(node: NodeRecord, group: GpuGroup) -> dict[str, object]:
    return {
        "NodeName": node.name,
        "NodeAddr": node.address,
        "NodeHostname": "localhost",
        "Port": node.port,
        "CPUs": group.cpus,
        "Boards": 1,
        "SocketsPerBoard": 1,
        "CoresPerSocket": group.cpus,
        "ThreadsPerCore": 1,
        "RealMemory": group.memory,
        "Gres": group.gres.split(","),
        "State": "UNKNOWN",
    }


def cgroup_conf(version: tuple[int, int], track: str) -> str:
    """Return cgroup.conf: nothing is constrained, the GPUs and most of the memory are only imagined.

    Where cgroups are not used, slurmd from 23.11 on is told to leave them alone. Before, it wants a plugin in any case
    (its search for the right one fails where none are mounted), and version 1's does nothing until it is asked.
    """
    plugin = "disabled" if track != "proctrack/cgroup" and version >= (23, 11) else "cgroup/v1"
    return f"{PREAMBLE}CgroupPlugin={plugin}\nConstrainCores=no\nConstrainDevices=no\nConstrainRAMSpace=no\n"


def slurm_version(said: str) -> tuple[int, int]:
    """Return (22, 5) of `22.05.8`."""
    found = re.search(r"(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def slurmdbd_conf(paths: Paths, record: ClusterRecord, password: str) -> str:
    """Return slurmdbd.conf, which holds the database's password."""
    pairs = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={paths.munge_socket}",
        "DbdHost": "localhost",
        "DbdAddr": record.address,
        "DbdPort": record.ports.slurmdbd,
        "SlurmUser": SLURM_USER,
        "LogFile": paths.log / "slurmdbd.log",
        "PidFile": paths.run / "slurm" / "slurmdbd.pid",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "127.0.0.1",
        "StoragePort": record.ports.mariadb,
        "StorageUser": "slurm",
        "StoragePass": password,
        "StorageLoc": "slurm_acct_db",
        **_plugins(paths),
    }
    return PREAMBLE + "\n".join(slurm_line({key: value}) for key, value in pairs.items()) + "\n"


def hosts_file(record: ClusterRecord, machines: str) -> str:
    """Return what the controller sees in place of /etc/hosts, `machines`: its own addresses have names, too.

    So it asks no DNS for them, which may be slow, or not there.
    """
    own = [(record.address, record.slurm_cluster), *((each.address, each.name) for each in record.nodes)]
    lines = [f"{address} {name}\n" for address, name in own if address != "127.0.0.1"]
    return "".join([machines.rstrip("\n") + "\n", f"# of the cluster {record.name}\n", *lines])


def settings_toml(paths: Paths, record: ClusterRecord) -> str:
    """Return aistation.toml: the settings with which our own programs serve this cluster."""
    heartbeat = f"{record.address}:{record.ports.heartbeat}"
    text = json.dumps  # a JSON string is a TOML string
    slurm = "" if record.slurm == INSTALLED else f"bin = {text(str(paths.slurm / 'bin'))}\n"
    return f"""{PREAMBLE}cluster_file = {text(str(paths.spec))}
database = {text(f"sqlite:///{paths.state / 'aistation' / 'aistation.db'}")}
run_dir = {text(str(paths.run / "aistation"))}
munge_socket = {text(str(paths.munge_socket))}
simulated = true

[slurm]
conf = {text(str(paths.slurm_conf))}
rest_socket = {text(str(paths.run / "slurmrestd" / "slurmrestd.socket"))}
gpu_device = {text(str(paths.devices / "nvidia"))}
restart_controller = {text(_restart(record, "slurmctld"))}
restart_nodes = {text(_restart(record, "{nodes}"))}
{slurm}
[daemon]
heartbeat = {text(heartbeat)}

[web]
listen = {text(f"127.0.0.1:{record.ports.web}")}
"""


def _restart(record: ClusterRecord, what: str) -> list[str]:
    return [sys.executable, "-m", "aistation_slurm", "dev", "restart", what, "--name", record.name]
