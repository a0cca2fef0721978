"""Limits in sacctmgr's words, those taken back too: said here for whoever sets one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from aistation_slurm.errors import InvalidRequest
from aistation_slurm.slurm.model import Limits
from aistation_slurm.slurm.tres import read_tres, write_tres
from aistation_slurm.slurm.units import write_duration

NO_LIMITS = Limits()
NOTHING = "-1"
"""What takes a limit back (man sacctmgr)."""

Values = Mapping[str, str]
"""Words of sacctmgr, such as `{"MaxTRESPerUser": "gres/gpu=16"}`; what is not limited is left out."""

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
TRES_KEYS = frozenset(QOS_LIMITS[field] for field in Limits.__slots__ if isinstance(getattr(NO_LIMITS, field), dict))


def limit_values(words: Mapping[str, str], limits: Limits) -> Values:
    """Return those of the limits that these words speak of.

    Raises:
        SlurmUnreadable: an amount is none that Slurm could have.
    """
    said = {word: _value(getattr(limits, field)) for field, word in words.items()}
    return {word: value for word, value in said.items() if value}


def set_words(old: Values, new: Values) -> tuple[str, ...]:
    """Return the words after `set` that turn the old values into the new ones, sorted; none where they are the same.

    sacctmgr merges TRES limits: one that shall go must be named with -1 (sacctmgr(1), MaxTRES).
    """
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return tuple(
        f"{key}={_tres_change(old, new, key) if key in TRES_KEYS else new.get(key, NOTHING)}" for key in changed
    )


def differences(old: Values, new: Values) -> str:
    """Return what changes, for people: `MaxTRESPerUser gres/gpu=8 -> gres/gpu=16`."""
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return "  ".join(f"{key} {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in keys)


def limit_words(words: Mapping[str, str], *, old: Limits = NO_LIMITS, new: Limits) -> tuple[str, ...]:
    """Return the words that turn the old limits into the new ones, sorted; none where they are the same.

    Raises:
        InvalidRequest: an association can't carry one of them.
    """
    for field in Limits.__slots__:
        if field not in words and getattr(old, field) != getattr(new, field):
            raise InvalidRequest(f"an association has no limit {field}", hint="set it on a QOS")
    return set_words(limit_values(words, old), limit_values(words, new))


def _value(value: object) -> str:
    if isinstance(value, dict):
        return write_tres(value)
    if value is None:
        return ""
    return write_duration(value) if isinstance(value, timedelta) else str(value)


def _tres_change(old: Values, new: Values, key: str) -> str:
    wanted = read_tres(new.get(key, ""))
    gone = sorted(read_tres(old.get(key, "")).keys() - wanted.keys())
    return ",".join(filter(None, [write_tres(wanted), *(f"{name}={NOTHING}" for name in gone)]))
