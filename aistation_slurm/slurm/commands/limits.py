"""What is used of the limits, as slurmctld counts it: `scontrol -o show assoc_mgr`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Command
from aistation_slurm.slurm.model import AssociationUse, Held, LimitsInUse, QosUse
from aistation_slurm.slurm.tres import Tres

# One line each (src/scontrol/info_assoc_mgr.c). Everything we read stands before an association's comment, and an
# administrator alone can write that one.
_ASSOCIATION = re.compile(
    r"^ClusterName=\S* Account=(?P<account>\S*) UserName=(?:(?P<user>\S+)\((?P<uid>\d+)\))? "
    r"Partition=(?P<partition>\S*) Priority=(?P<line>.*)",
    re.MULTILINE,
)
_QOS = re.compile(
    r"^QOS=(?P<name>\S+)\(\d+\) (?P<line>UsageRaw=.*?) "
    r"Account Limits=(?P<accounts>.*?) User Limits=(?P<users>.*)",
    re.MULTILINE,
)
_OF_ONE = re.compile(r"(?<=\s)(?P<who>\S+)=\{(?P<line>[^{}]*)\}")
_WITH_UID = re.compile(r"(?P<name>.*)\((?P<uid>\d+)\)")
_LIMIT = r"(?:N|\d+)?\((?P<used>\d+)\)"
_USED_TRES = re.compile(rf"(?P<name>[^=,]+)={_LIMIT}(?:,|$)")


def show_limits_in_use() -> Command[LimitsInUse]:
    """What each association and each QOS holds now, by job and by TRES."""
    return Command(("scontrol", "-o", "show", "assoc_mgr", "flags=assoc,qos"), read=_limits_in_use)


def _limits_in_use(text: str) -> LimitsInUse:
    if not text.endswith("\n") or not text.startswith("Current Association Manager state"):
        raise SlurmUnreadable("half an answer, or another one, about the limits")
    users = {match["uid"]: match["user"] for match in _ASSOCIATION.finditer(text) if match["user"]}
    return LimitsInUse(
        associations=tuple(_association(match) for match in _ASSOCIATION.finditer(text)),
        qos=tuple(_qos(match, users) for match in _QOS.finditer(text)),
    )


def _association(match: re.Match[str]) -> AssociationUse:
    return AssociationUse(
        account=match["account"],
        user=match["user"] or "",
        partition=match["partition"],
        held=_held(match["line"], "Grp"),
    )


def _qos(match: re.Match[str], users: Mapping[str, str]) -> QosUse:
    return QosUse(
        name=match["name"],
        held=_held(match["line"], "Grp"),
        users=_held_by(_OF_ONE.finditer(match["users"]), "PU", users),
        accounts=_held_by(_OF_ONE.finditer(match["accounts"]), "PA", {}),
    )


def _held_by(found: Iterable[re.Match[str]], of: str, users: Mapping[str, str]) -> dict[str, Held]:
    """Return what each holds, without those who hold nothing any more: slurmctld keeps them for a while."""
    held = {_name(match["who"], users): _held(match["line"], of) for match in found}
    return {name: each for name, each in held.items() if each != Held()}


def _name(who: str, users: Mapping[str, str]) -> str:
    """Return the name of `70001` (22.05) or `ann(70001)`; the number where nobody knows a name for it."""
    match = _WITH_UID.fullmatch(who)
    return match["name"] if match else users.get(who, who)


def _held(line: str, of: str) -> Held:
    """Return what is used of `GrpJobs=N(2)`, or with PU and PA of `MaxJobsPU=`, and of all that stand beside it."""
    word = partial(_used, line, *(("Grp", "") if of == "Grp" else ("Max", of)))
    return Held(jobs=word("Jobs"), submit_jobs=word("SubmitJobs"), tres=_tres(line, of))


def _used(line: str, before: str, after: str, what: str) -> int:
    match = re.search(rf"(?:^|\s){before}{what}{after}={_LIMIT}", line)
    if not match:
        raise SlurmUnreadable(f"no {before}{what}{after} among the limits")
    return int(match["used"])


def _tres(line: str, of: str) -> Tres:
    """Return what is used of each TRES, those that are not used left out; memory is printed in MiB."""
    key = "GrpTRES" if of == "Grp" else f"MaxTRES{of}"
    match = re.search(rf"(?:^|\s){key}=(\S*)", line)
    if not match:
        raise SlurmUnreadable(f"no {key} among the limits")
    used = {each["name"]: int(each["used"]) for each in _USED_TRES.finditer(match[1])}
    return {name: amount for name, amount in used.items() if amount}
