"""What slurmdbd keeps: `/slurmdb/.../tres`, `accounts`, `users`, `associations`."""

from __future__ import annotations

from aistation_slurm.slurm.model import Account, Association, Limits, TresKind, User
from aistation_slurm.slurm.readers.rest.values import (
    Record,
    count,
    get,
    limit,
    minutes,
    records,
    text,
    tres,
    words,
)

_AS_PARENT = 2**31 - 1
"""slurmdb.h: SLURMDB_FS_USE_PARENT."""
_PLACEHOLDER = "dynamic_offset"
"""A row that slurmdbd keeps to count its numbers from; sacctmgr does not show it."""


def read_tres_kinds(said: Record) -> list[TresKind]:
    """Return the trackable resources of the answer."""
    return [
        TresKind(tres_id=count(get(each, "id")), type=text(get(each, "type")), name=text(get(each, "name")))
        for each in records(get(said, "TRES"))
        if get(each, "type") != _PLACEHOLDER
    ]


def read_accounts(said: Record) -> list[Account]:
    """Return the accounts of the answer."""
    return [
        Account(
            name=text(get(each, "name")),
            description=text(get(each, "description")),
            coordinators=tuple(text(get(one, "name")) for one in records(get(each, "coordinators"))),
        )
        for each in records(get(said, "accounts"))
    ]


def read_users(said: Record) -> list[User]:
    """Return the users of the answer."""
    return [
        User(
            name=text(get(each, "name")),
            default_account=text(get(each, "default", "account")),
            admin_level="".join(words(get(each, "administrator_level"))[:1]),
        )
        for each in records(get(said, "users"))
    ]


def read_associations(said: Record) -> list[Association]:
    """Return the associations of the answer."""
    return [_association(each) for each in records(get(said, "associations"))]


def _association(association: Record) -> Association:
    share = limit(get(association, "shares_raw"))
    return Association(
        cluster=text(get(association, "cluster")),
        account=text(get(association, "account")),
        user=text(get(association, "user")),
        partition=text(get(association, "partition")),
        parent=text(get(association, "parent_account")),
        share=None if share == _AS_PARENT else share or 0,
        qos=words(get(association, "qos")),
        default_qos=text(get(association, "default", "qos")),
        limits=Limits(
            grp_tres=tres(get(association, "max", "tres", "total")),
            grp_jobs=limit(get(association, "max", "jobs", "per", "count")),
            grp_submit_jobs=limit(get(association, "max", "jobs", "per", "submitted")),
            max_tres_per_job=tres(get(association, "max", "tres", "per", "job")),
            max_tres_per_node=tres(get(association, "max", "tres", "per", "node")),
            max_jobs_per_user=limit(get(association, "max", "jobs", "active")),
            max_submit_jobs_per_user=limit(get(association, "max", "jobs", "total")),
            max_wall=minutes(get(association, "max", "jobs", "per", "wall_clock")),
        ),
    )
