"""slurmctld's own counters: sdiag, whose text is much the same on every release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from aistation_slurm.errors import SlurmUnreadable
from aistation_slurm.slurm.commands.command import Command
from aistation_slurm.slurm.model import Diag, RpcCount
from aistation_slurm.slurm.units import read_time

_SINCE = re.compile(r"^Data since .*\((?P<seconds>\d+)\)$", re.MULTILINE)
_NUMBER = re.compile(r"^\s*(?P<label>[A-Z][^:\n]*):[ \t]*(?P<number>\d+)$", re.MULTILINE)
# From 24.05 on a call that waits in the RPC queue has more counters behind these.
_RPC = re.compile(
    r"^\t(?P<name>\S.*?)\s*\(\s*(?P<id>\d+)\) count:(?P<count>\d+)\s+ave_time:\d+\s+total_time:(?P<total>\d+)",
    re.MULTILINE,
)
# What each part begins with; the same label, such as `Last cycle`, stands in several.
_PARTS = {
    "main": r"^Main schedule statistics",
    "exits": r"^Main scheduler exit",
    "backfill": r"^Backfilling stats",
    "backfill exits": r"^Backfill exit",
    "by message": r"^Remote Procedure Call statistics by message type",
    "by user": r"^Remote Procedure Call statistics by user",
    "pending": r"^Pending RPC statistics",
}


def sdiag() -> Command[Diag]:
    """How slurmctld is doing, and what it was asked how often."""
    return Command(("sdiag",), read=_diag)


def _diag(text: str) -> Diag:
    since = _SINCE.search(text)
    if not since or not text.endswith("\n"):
        raise SlurmUnreadable("half an answer, or another one, about slurmctld")
    parts = _parts(text)
    top, main, backfill = (_numbers(parts.get(name, "")) for name in ("", "main", "backfill"))
    return Diag(
        since=read_time(since["seconds"]),
        threads=_count(top, "Server thread count"),
        agent_queue=_count(top, "Agent queue size"),
        dbd_agent_queue=_count(top, "DBD Agent queue size"),
        jobs_submitted=_count(top, "Jobs submitted"),
        jobs_started=_count(top, "Jobs started"),
        jobs_completed=_count(top, "Jobs completed"),
        jobs_canceled=_count(top, "Jobs canceled"),
        jobs_failed=_count(top, "Jobs failed"),
        jobs_pending=_count(top, "Jobs pending"),
        jobs_running=_count(top, "Jobs running"),
        schedule_cycle_last=_microseconds(main, "Last cycle"),
        schedule_cycle_max=_microseconds(main, "Max cycle"),
        schedule_cycle_mean=_microseconds(main, "Mean cycle"),
        backfill_cycle_last=_microseconds(backfill, "Last cycle"),
        backfill_cycle_max=_microseconds(backfill, "Max cycle"),
        backfilled_jobs=_count(backfill, "Total backfilled jobs (since last slurm start)"),
        rpcs=_rpcs(parts.get("by message", "")),
        rpcs_of_users=_rpcs(parts.get("by user", "")),
    )


def _parts(text: str) -> dict[str, str]:
    """Return the text of each part; what stands before the first one has no name."""
    pattern = re.compile("|".join(f"({begin})" for begin in _PARTS.values()), re.MULTILINE)
    names, starts = [""], [0]
    for match in pattern.finditer(text):
        names.append(tuple(_PARTS)[(match.lastindex or 1) - 1])
        starts.append(match.start())
    return {name: text[start:end] for name, start, end in zip(names, starts, [*starts[1:], None], strict=True)}


def _numbers(part: str) -> dict[str, int]:
    return {match["label"]: int(match["number"]) for match in _NUMBER.finditer(part)}


def _count(numbers: Mapping[str, int], label: str) -> int:
    if label not in numbers:
        raise SlurmUnreadable(f"no {label!r} in the answer")
    return numbers[label]


def _microseconds(numbers: Mapping[str, int], label: str) -> timedelta | None:
    """Return the time; None before the first cycle, when sdiag prints no mean."""
    return timedelta(microseconds=numbers[label]) if label in numbers else None


def _rpcs(part: str) -> tuple[RpcCount, ...]:
    """Return the counts, most often asked first, as sdiag sorts them by itself up to the last release."""
    counts = [
        RpcCount(name=match["name"], count=int(match["count"]), total_time=timedelta(microseconds=int(match["total"])))
        for match in _RPC.finditer(part)
    ]
    return tuple(sorted(counts, key=lambda each: (-each.count, each.name)))
