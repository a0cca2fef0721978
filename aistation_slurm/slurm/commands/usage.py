"""Shares and usage over time: what fair share makes of everybody (sshare), and who used what when (sreport)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from aistation_slurm.slurm.commands.command import Command, Row, piped
from aistation_slurm.slurm.model import FairShare, Usage
from aistation_slurm.slurm.units import read_count, read_factor

SHARE_FIELDS = ("Account", "User", "Partition", "RawShares", "NormShares", "RawUsage", "EffectvUsage", "FairShare")
USAGE_FIELDS = ("Account", "Login", "TRESName", "Used")
_INDENT = re.compile(r" *")


def sshare() -> Command[list[FairShare]]:
    """What fair share makes of every account and user; an account stands indented below its parent."""
    return Command(
        ("sshare", "-a", "-n", "-P", "-o", ",".join(SHARE_FIELDS)),
        read=lambda text: list(_shares(piped(text, SHARE_FIELDS))),
    )


def sreport(since: datetime, until: datetime) -> Command[list[Usage]]:
    """What each account and user used of each TRES between two full hours.

    sreport rounds to the nearest hour of the time zone it runs in; both are taken down to it before.
    """
    argv = (
        *("sreport", "-n", "-P", "-t", "Seconds", "-T", "ALL", "cluster", "AccountUtilizationByUser"),
        *(f"start=uts{_seconds(since)}", f"end=uts{_seconds(until)}", "format=" + ",".join(USAGE_FIELDS)),
    )
    return Command(argv, read=lambda text: [each for each in map(_usage, piped(text, USAGE_FIELDS)) if each.seconds])


def full_hour(moment: datetime) -> datetime:
    """Return the beginning of the hour, of the clock on this machine's wall."""
    return moment.astimezone().replace(minute=0, second=0, microsecond=0)


def _seconds(moment: datetime) -> int:
    return int(full_hour(moment).timestamp())


def _shares(rows: Iterable[Row]) -> Iterator[FairShare]:
    above: list[tuple[int, str]] = []
    for row in rows:
        indent = len((_INDENT.match(row["Account"]) or [""])[0])
        account = row["Account"].strip()
        above = [(depth, name) for depth, name in above if depth < indent]
        yield _share(row, account, parent=account if row["User"] else above[-1][1] if above else "")
        if not row["User"]:
            above.append((indent, account))


def _share(row: Row, account: str, *, parent: str) -> FairShare:
    shares, factor = row["RawShares"], row["FairShare"]
    return FairShare(
        account=account,
        user=row["User"],
        partition=row["Partition"],
        parent=parent,
        shares=None if shares == "parent" else read_count(shares),
        norm_shares=_fraction(row["NormShares"]),
        usage=read_count(row["RawUsage"]),
        effective_usage=_fraction(row["EffectvUsage"]),
        factor=read_factor(factor) if factor else None,
    )


def _fraction(text: str) -> float:
    return read_factor(text) if text else 0.0


def _usage(row: Row) -> Usage:
    return Usage(account=row["Account"], user=row["Login"], tres=row["TRESName"], seconds=read_count(row["Used"]))
