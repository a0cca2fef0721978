"""Slurm's reasons in words: each that a release from 22.05 to 26.05 knows, and the free texts that stand for one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from aistation_slurm.jobs.why.limit_reason import LimitReason, read_limit_reason


class Kind(StrEnum):
    """What a job waits for; tells what else is worth looking up."""

    NOTHING = "nothing"
    """It was not looked at yet."""
    TURN = "turn"
    """Others go first."""
    NODES = "nodes"
    """What it asks for is in use, or away."""
    LIMIT = "limit"
    """A quota is used up, or the job is over a limit by itself."""
    HELD = "held"
    """Somebody must release it."""
    DEPENDENCY = "dependency"
    TIME = "time"
    """It may not start before a certain time."""
    RESERVATION = "reservation"
    STAGING = "staging"
    """Its data, or what the site prepares for it."""
    RULE = "rule"
    """It is not allowed there, or can never fit there: waiting alone does not help."""
    SLURM = "slurm"
    """Slurm is busy with it."""
    ENDED = "ended"
    """Says how a job ended, not why it waits."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason, as Slurm prints it and in words."""

    name: str
    """Slurm's own word, such as `Resources`; of a free text the word that it stands for."""
    kind: Kind
    short: str
    """A few words for a table."""
    says: str
    """A sentence, without the numbers behind it."""
    limit: LimitReason | None = None
    text: str = ""
    """What Slurm printed, where that is more than the name."""


_T, _N, _L, _H, _R = Kind.TURN, Kind.NODES, Kind.LIMIT, Kind.HELD, Kind.RULE
_S, _E, _D, _B = Kind.STAGING, Kind.ENDED, Kind.DEPENDENCY, Kind.SLURM

_TABLE: dict[str, tuple[Kind, str, str]] = {
    "None": (Kind.NOTHING, "", "Slurm has not looked at it yet"),
    "Priority": (_T, "others first", "jobs of higher priority wait for the same nodes"),
    "Resources": (_N, "nothing free", "it is first in line, and what it asks for is not free"),
    "ReqNodeNotAvail": (_N, "node away", "nodes that it needs are down, drained or kept for others"),
    "NodeDown": (_N, "node down", "a node that it needs is down"),
    "FrontEndDown": (_N, "front end down", "the front end nodes are down"),
    "PartitionDown": (
        _R,
        "group closed",
        "its partition is DOWN: nothing starts there until an administrator opens it",
    ),
    "PartitionInactive": (_R, "group inactive", "its partition is INACTIVE: nothing starts there until it is opened"),
    "PartitionNodeLimit": (_R, "too many nodes", "it asks for more (or fewer) nodes than its partition gives to a job"),
    "PartitionTimeLimit": (_R, "time limit too long", "its time limit is longer than its partition allows"),
    "PartitionConfig": (_R, "not in this group", "it asks for what its partition is not set up for"),
    "AccountNotAllowed": (_R, "team not allowed", "its team may not use this partition"),
    "QOSNotAllowed": (_R, "QOS not allowed", "its QOS may not be used here"),
    "InvalidAccount": (_R, "team unknown", "its account does not exist any more"),
    "InvalidQOS": (_R, "QOS unknown", "its QOS does not exist any more, or is no longer its user's"),
    "BadConstraints": (_R, "can't be met", "no node can ever be what it asks for"),
    "Constraints": (_R, "no such nodes", "no set of nodes that are there now meets its constraints"),
    "MaxMemPerLimit": (_R, "too much memory", "it asks for more memory than its partition gives for a CPU or a node"),
    "AccountingPolicy": (_L, "a limit", "a limit in accounting keeps it from starting"),
    "AssociationJobLimit": (_L, "running jobs quota", "its association runs as many jobs as it may"),
    "AssociationResourceLimit": (_L, "quota", "its association holds as much as it may"),
    "AssociationTimeLimit": (_L, "time quota", "its association has used as much time as it may"),
    "QOSJobLimit": (_L, "running jobs quota", "its QOS runs as many jobs as it may"),
    "QOSResourceLimit": (_L, "quota", "its QOS holds as much as it may"),
    "QOSTimeLimit": (_L, "time quota", "its QOS has used as much time as it may"),
    "QOSUsageThreshold": (_L, "fair share too low", "the fair share of its user is below what its QOS asks for"),
    "JobArrayTaskLimit": (_L, "array limit", "as many members of its array run as its limit (`%N`) lets run at once"),
    "MaxPoweredUpNodes": (_N, "nodes at most", "as many nodes are powered up as may be at once"),
    "Licenses": (_N, "licenses", "the licenses that it asks for are in use"),
    "JobHeldUser": (_H, "held", "its user holds it back"),
    "JobHeldAdmin": (_H, "held by admin", "an administrator holds it back"),
    "JobHoldMaxRequeue": (_H, "held: requeued often", "it was requeued as often as a job may be, and is held back"),
    "JobLaunchFailure": (_H, "held: launch failed", "it could not be launched on its nodes"),
    "ReservationDeleted": (_H, "reservation gone", "the reservation that it asks for was deleted, and it is held back"),
    "ReservationInvalid": (
        _H,
        "bad reservation",
        "the reservation that it asks for can't be used, and it is held back",
    ),
    "FedJobLock": (_B, "other cluster", "another cluster of the federation is about to start it"),
    "Dependency": (_D, "after a job", "it waits for another job"),
    "DependencyNeverSatisfied": (_D, "never: dependency", "what it depends on can no longer become true"),
    "BeginTime": (Kind.TIME, "begin time", "it may not start before a certain time"),
    "DeadLine": (_R, "past deadline", "it can no longer end before its deadline"),
    "Reservation": (Kind.RESERVATION, "reservation", "it waits for its reservation"),
    "BurstBufferResources": (_S, "burst buffer", "the burst buffer has no room for it"),
    "BurstBufferStageIn": (_S, "data staged in", "its data is being brought to where it will run"),
    "BurstBufferOperation": (_H, "staging failed", "an order to the burst buffer failed"),
    "Prolog": (_B, "prolog", "the prolog runs: it starts at once"),
    "Cleaning": (_B, "last run ends", "its last run is not quite over on all nodes"),
    "SchedDefer": (_B, "deferred", "Slurm starts nothing while it is submitted; it is looked at soon"),
    "MpiPortsBusy": (_N, "MPI ports", "all ports that are kept for MPI are in use"),
    "NvidiaImexChannels": (_N, "IMEX channels", "all IMEX channels are in use"),
    "PowerNotAvail": (_N, "power", "there is not enough power"),
    "PowerReserved": (_N, "power", "the power that it needs is kept for others"),
    "BlockMaxError": (_N, "block errors", "too many of the block's nodes have errors"),
    "BlockFreeAction": (_N, "block is freed", "the block is being freed"),
    "SystemFailure": (_E, "Slurm failed", "Slurm itself failed"),
    "NonZeroExitCode": (_E, "exit code", "it ended with an exit code other than 0"),
    "RaisedSignal": (_E, "signal", "a signal ended it"),
    "TimeLimit": (_E, "time limit", "it ran into its time limit"),
    "InactiveLimit": (_E, "inactive", "it did nothing for too long"),
    "OutOfMemory": (_E, "out of memory", "it used more memory than it had"),
}

# What slurmctld writes in place of a reason's name (src/slurmctld, 22.05 to 26.05), and which reason that is.
_FREE_TEXTS: tuple[tuple[str, str], ...] = (
    (r"Nodes required for job are DOWN", "ReqNodeNotAvail"),
    (r"Job's account not (?:known|permitted)|uid \d+ not in group permitted", "AccountNotAllowed"),
    (r"Job's QOS not (?:known|permitted)", "QOSNotAllowed"),
    (r"Reservation \S+ was deleted|Reservation \S+, which this job was running under", "ReservationDeleted"),
    (r"Reservation \S+ is invalid", "ReservationInvalid"),
    (r"launch failed requeued held|user env retrieval failed", "JobLaunchFailure"),
    (r"job requeued in held state", "JobHeldUser"),
    (r"RaisedSignal:", "RaisedSignal"),
    (r"burst_buffer/|Burst buffer", "BurstBufferOperation"),
    (r"Job is at or exceeds QOS \S+ group max TRES\(\S+\) minutes", "QOSGrpUnknownMinutes"),
    (r"Job is at or exceeds QOS \S+ group wall limit", "QOSGrpWallLimit"),
    (r"Job is at or exceeds QOS \S+ max TRES\(\S+\) minutes", "QOSMaxUnknownMinutesPerJob"),
    (r"Job is at or exceeds association \(\S+\) group max TRES\(\S+\) minutes", "AssocGrpUnknownMinutes"),
    (r"Job is at or exceeds association \(\S+\) group wall limit", "AssocGrpWallLimit"),
    (r"Job is at or exceeds association \(\S+\) max TRES\(\S+\) minutes", "AssocMaxUnknownMinutesPerJob"),
)


def read_reason(text: str) -> Reason:
    """Return the reason of what squeue or sacct prints for it; what we don't know keeps Slurm's own words.

    Of an array whose members wait for different things squeue prints several, set apart by commas: the first counts.
    """
    plain = text.strip().strip("()").replace("_", " ") or "None"
    if found := _named(plain, text):
        return found
    for pattern, name in _FREE_TEXTS:
        if re.match(pattern, plain) and (found := _named(name, plain)):
            return found
    first = plain.partition(",")[0].strip()
    return _named(first, plain) or Reason(plain, Kind.UNKNOWN, plain[:40], f"Slurm says: {plain}", text=plain)


def short(reason: str) -> str:
    """Return a few words for a table: `others first` for `Priority`; nothing where Slurm gives no reason."""
    return read_reason(reason).short


def _named(name: str, text: str) -> Reason | None:
    more = text if text != name else ""
    if name in _TABLE:
        kind, brief, says = _TABLE[name]
        return Reason(name, kind, brief, says, text=more)
    if limit := read_limit_reason(name):
        kind = Kind.RULE if limit.is_of_the_job_alone else Kind.LIMIT
        return Reason(name, kind, limit.short, limit.says, limit, text=more)
    return None
