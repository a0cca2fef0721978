"""Slurm's files for a shadow slurmctld: what it is to be tried with, without a way to reach or start anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from aistation_slurm.cluster.conf import Conf, Line
from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.nodelist import expand

ADDRESS = "192.0.2.1"
"""The only address that a shadow has, and can reach (RFC 5737). One that isn't loopback: without, Slurm's look-up of
addresses finds none, and tries for a minute (getaddrinfo(3), AI_ADDRCONFIG)."""

_STRIPPED = (
    "Prolog Epilog PrologSlurmctld EpilogSlurmctld PrologEpilogTimeout TaskProlog TaskEpilog SrunProlog "
    "SrunEpilog PrologFlags "
    "MailProg MailDomain SlurmctldPrimaryOnProg SlurmctldPrimaryOffProg "
    "JobCompType JobCompHost JobCompPort JobCompLoc JobCompPass JobCompUser JobCompParams "
    "RebootProgram ResumeProgram ResumeFailProgram SuspendProgram SuspendTime "
    "HealthCheckProgram HealthCheckInterval HealthCheckNodeState UnkillableStepProgram BurstBufferType "
    "SlurmctldHost ControlMachine ControlAddr BackupController BackupAddr SlurmctldAddr SlurmctldParameters "
    "SlurmctldPidFile SlurmctldLogFile SlurmSchedLogFile StateSaveLocation SlurmctldDebug "
    "SlurmctldSyslogDebug DebugFlags "
    "AccountingStorageHost AccountingStorageBackupHost AccountingStorageExternalHost "
)
"""What would start a program, reach another machine, or write where the real slurmctld writes."""
STRIPPED = frozenset(_STRIPPED.lower().split())

_WITHOUT_ACCOUNTING = frozenset(
    {"accountingstoragetype", "accountingstorageenforce", "accountingstoragetres", "prioritytype"}
)
_NUMERIC = re.compile(r"[0-9.]+|[0-9a-fA-F:]+:[0-9a-fA-F:]*")


def shadow_text(conf: Conf, folder: Path, *, host: str, qos: frozenset[str], accounting: bool) -> str:
    """Return the one slurm.conf that a shadow in this folder reads.

    `qos` are those whose being there is known: what they promise is taken out of the partitions, since the copy of the
    state may be older than they are. Without `accounting`, which needs a state to copy, it is left out altogether.
    """
    own = {
        "SlurmctldHost": f"{host}({ADDRESS})",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmctldLogFile": folder / "slurmctld.log",
        "StateSaveLocation": folder / "state",
        "SlurmctldDebug": "info",
        "MailProg": "/bin/true",
        "AccountingStorageHost": ADDRESS,
    }
    lines = [f"{key}={value}" for key, value in own.items() if accounting or key != "AccountingStorageHost"]
    gone = STRIPPED if accounting else STRIPPED | _WITHOUT_ACCOUNTING
    return "\n".join([*lines, *(_text(line, qos) for line in conf.lines if line.noun not in gone)]) + "\n"


def whole_text(conf: Conf) -> str:
    """Return the file with what it includes, a line for each line of `conf.lines`."""
    return "\n".join(_escaped(line.text) for line in conf.lines) + "\n"


def _text(line: Line, qos: frozenset[str]) -> str:
    if line.noun == "partitionname" and line.get("qos").lower() in qos:
        return _escaped(re.sub(r"(?i)(?<=\s)qos\s*=\s*\S+", "", line.text))
    return _escaped(line.text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("#", "\\#")


def hosts_text(conf: Conf, host: str) -> str:
    """Return what the shadow sees as /etc/hosts: every name that it may look up, at its own address."""
    names = {host, *_names(conf)}
    return "127.0.0.1 localhost\n" + "".join(f"{ADDRESS} {name}\n" for name in sorted(names))


def _names(conf: Conf) -> Iterator[str]:
    for line in conf.of("nodename"):
        said = line.get("nodeaddr") or line.get("nodehostname") or line.name
        try:
            yield from (name for name in expand(said) if not _NUMERIC.fullmatch(name))
        except SlurmUnreadable:
            continue


def other_files(conf: Conf, texts: Mapping[Path, str]) -> dict[str, bytes]:
    """Return name -> contents of the other files that slurmctld may read beside slurm.conf; no secrets."""
    there = {path: path.read_bytes() for path in conf.path.parent.iterdir() if path.is_file() and _is_wanted(path)}
    there |= {path: text.encode() for path, text in texts.items() if path.parent == conf.path.parent}
    return {path.name: content for path, content in there.items() if path not in conf.files and _is_wanted(path)}


def _is_wanted(path: Path) -> bool:
    return path.suffix in {".conf", ".lua", ".yaml"} and path.name not in {"slurm.conf", "slurmdbd.conf"}
