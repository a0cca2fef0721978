"""Slurm's files for a shadow slurmctld: what it is to be tried with, without a way to reach or start anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What slurmdbd has, or would be given: the shadow can't ask it, and the copy of the state may be older."""

    qos: frozenset[str] = frozenset()
    """These are there; what partitions say of them is left out."""
    tres: frozenset[str] | None = None
    """Only these are tracked yet; others of AccountingStorageTRES are left out, since slurmdbd would make them."""


def shadow_text(conf: Conf, folder: Path, *, host: str, known: Known, accounting: bool) -> str:
    """Return the one slurm.conf that a shadow in this folder reads.

    Without `accounting`, which needs a state to copy, that is left out altogether.
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
    return "\n".join([*lines, *(_text(line, known) for line in conf.lines if line.noun not in gone)]) + "\n"


def whole_text(conf: Conf) -> str:
    """Return the file with what it includes, a line for each line of `conf.lines`."""
    return "\n".join(_escaped(line.text) for line in conf.lines) + "\n"


def _text(line: Line, known: Known) -> str:
    is_default = line.noun == "partitionname" and line.name.upper() == "DEFAULT" and known.qos
    if is_default or (line.noun == "partitionname" and line.get("qos").lower() in known.qos):
        return _escaped(re.sub(r"(?i)(?<=\s)qos\s*=\s*\S+", "", line.text))
    if line.noun == "accountingstoragetres" and known.tres is not None:
        kept = [each for each in line.name.split(",") if each.strip().lower() in known.tres]
        return f"AccountingStorageTRES={','.join(kept)}" if kept else ""
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
    return {path.name: content for path, content in there.items() if _is_wanted(path)}


def _is_wanted(path: Path) -> bool:
    return path.suffix in {".conf", ".lua", ".yaml"} and path.name not in {"slurm.conf", "slurmdbd.conf"}
