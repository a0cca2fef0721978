"""Limits in sacctmgr's words, those taken back too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from aistation_slurm.errors import InvalidRequest
from aistation_slurm.slurm.model import Limits
from aistation_slurm.slurm.tres import Tres, write_tres
from aistation_slurm.slurm.units import write_duration

NO_LIMITS = Limits()
NOTHING = "-1"
"""What takes a limit back (man sacctmgr)."""

QOS_LIMITS: Mapping[str, str] = {
    "grp_tres": "GrpTRES",
    "grp_jobs": "GrpJobs",
    "grp_submit_jobs": "GrpSubmitJobs",
    "max_tres_per_job": "MaxTRESPerJob",
    "max_tres_per_user": "MaxTRESPerUser",
    "max_tres_per_account": "MaxTRESPerAccount",
    "max_tres_per_node": "MaxTRESPerNode",
    "max_jobs_per_user": "MaxJobsPerUser",
    "max_submit_jobs_per_user": "MaxSubmitJobsPerUser",
    "max_jobs_per_account": "MaxJobsPerAccount",
    "max_submit_jobs_per_account": "MaxSubmitJobsPerAccount",
    "max_wall": "MaxWallDurationPerJob",
}
ASSOCIATION_LIMITS: Mapping[str, str] = {
    "grp_tres": "GrpTRES",
    "grp_jobs": "GrpJobs",
    "grp_submit_jobs": "GrpSubmitJobs",
    "max_tres_per_job": "MaxTRESPerJob",
    "max_tres_per_node": "MaxTRESPerNode",
    "max_jobs_per_user": "MaxJobs",
    "max_submit_jobs_per_user": "MaxSubmitJobs",
    "max_wall": "MaxWallDurationPerJob",
}


def limit_words(words: Mapping[str, str], *, old: Limits = NO_LIMITS, new: Limits) -> tuple[str, ...]:
    """Return the words that turn the old limits into the new ones, sorted; none where they are the same.

    sacctmgr merges TRES limits: one that shall go must be named with -1 (sacctmgr(1), MaxTRES).

    Raises:
        InvalidRequest: an association can't carry one of them.
    """
    said: list[str] = []
    for field in Limits.__slots__:
        before, after = getattr(old, field), getattr(new, field)
        if before == after:
            continue
        if field not in words:
            raise InvalidRequest(f"an association has no limit {field}", hint="set it on a QOS")
        said.append(f"{words[field]}={_value(before, after)}")
    return tuple(sorted(said))


def _value(before: object, after: object) -> str:
    if isinstance(after, dict):
        return _tres_change(cast("Tres", before), cast("Tres", after))
    if after is None:
        return NOTHING
    return write_duration(after) if isinstance(after, timedelta) else str(after)


def _tres_change(before: Tres, after: Tres) -> str:
    gone = sorted(before.keys() - after.keys())
    return ",".join(filter(None, [write_tres(after), *(f"{name}={NOTHING}" for name in gone)]))
