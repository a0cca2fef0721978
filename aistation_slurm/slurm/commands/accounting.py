"""Accounting: QOS, accounts, users and associations with their limits, as slurmdbd holds them.

Fields are named, the free text last: sacctmgr has no other mark between fields than `|`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aistation_slurm.slurm.commands.command import Command, Row, names, piped
from aistation_slurm.slurm.model import Account, Association, Limits, Qos, TresKind, User
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.slurm.units import read_count, read_duration, read_factor, read_integer, read_limit

T = TypeVar("T")

QOS_FIELDS = (
    "Name", "Priority", "GraceTime", "Preempt", "PreemptMode", "Flags", "UsageFactor", "GrpTRES", "GrpJobs",
    "GrpSubmit", "MaxTRES", "MaxTRESPerNode", "MaxTRESPU", "MaxTRESPA", "MaxJobsPU", "MaxSubmitPU", "MaxJobsPA",
    "MaxSubmitPA", "MaxWall", "Description",
)  # fmt: skip
ACCOUNT_FIELDS = ("Account", "Coordinators", "Description")
TRES_FIELDS = ("ID", "Type", "Name")
USER_FIELDS = ("User", "DefaultAccount", "AdminLevel")
ASSOCIATION_FIELDS = (
    "Cluster", "Account", "User", "Partition", "ParentName", "Share", "QOS", "DefaultQOS", "GrpTRES", "GrpJobs",
    "GrpSubmit", "MaxTRES", "MaxTRESPerNode", "MaxJobs", "MaxSubmit", "MaxWall",
)  # fmt: skip


def show_qos() -> Command[list[Qos]]:
    """Every QOS, with its limits."""
    return _show("qos", QOS_FIELDS, _qos)


def show_accounts() -> Command[list[Account]]:
    """Every account; not its organization: a bar in that one would shift the description, which holds our mark."""
    return _show("account", ACCOUNT_FIELDS, _account, "withcoord")


def show_users() -> Command[list[User]]:
    """Every user that slurmdbd knows."""
    return _show("user", USER_FIELDS, _user)


def show_associations(cluster: str | None = None) -> Command[list[Association]]:
    """Every association with its limits, of one cluster or of all; parents stand before their children."""
    return _show("association", ASSOCIATION_FIELDS, _association, *((f"cluster={cluster}",) if cluster else ()))


def show_tres() -> Command[list[TresKind]]:
    """Every trackable resource that slurmdbd counts."""
    return _show("tres", TRES_FIELDS, _tres)


def _show(noun: str, fields: tuple[str, ...], read: Callable[[Row], T], *words: str) -> Command[list[T]]:
    return Command(
        ("sacctmgr", "-n", "-P", "show", noun, *words, "format=" + ",".join(fields)),
        read=lambda text: [read(row) for row in piped(text, fields)],
    )


def _qos(row: Row) -> Qos:
    return Qos(
        name=row["Name"],
        description=row["Description"],
        priority=read_integer(row["Priority"]),
        preempt=names(row["Preempt"]),
        preempt_mode=row["PreemptMode"],
        grace_time=read_duration(row["GraceTime"]),
        flags=names(row["Flags"]),
        usage_factor=read_factor(row["UsageFactor"]),
        limits=Limits(
            grp_tres=read_tres(row["GrpTRES"]),
            grp_jobs=read_limit(row["GrpJobs"]),
            grp_submit_jobs=read_limit(row["GrpSubmit"]),
            max_tres_per_job=read_tres(row["MaxTRES"]),
            max_tres_per_node=read_tres(row["MaxTRESPerNode"]),
            max_tres_per_user=read_tres(row["MaxTRESPU"]),
            max_tres_per_account=read_tres(row["MaxTRESPA"]),
            max_jobs_per_user=read_limit(row["MaxJobsPU"]),
            max_submit_jobs_per_user=read_limit(row["MaxSubmitPU"]),
            max_jobs_per_account=read_limit(row["MaxJobsPA"]),
            max_submit_jobs_per_account=read_limit(row["MaxSubmitPA"]),
            max_wall=read_duration(row["MaxWall"]),
        ),
    )


def _account(row: Row) -> Account:
    return Account(
        name=row["Account"],
        description=row["Description"],
        coordinators=names(row["Coordinators"]),
    )


def _tres(row: Row) -> TresKind:
    return TresKind(tres_id=read_count(row["ID"]), type=row["Type"], name=row["Name"])


def _user(row: Row) -> User:
    return User(name=row["User"], default_account=row["DefaultAccount"], admin_level=row["AdminLevel"])


def _association(row: Row) -> Association:
    return Association(
        cluster=row["Cluster"],
        account=row["Account"],
        user=row["User"],
        partition=row["Partition"],
        parent=row["ParentName"],
        share=None if row["Share"] == "parent" else read_count(row["Share"]),
        qos=names(row["QOS"]),
        default_qos=row["DefaultQOS"],
        limits=Limits(
            grp_tres=read_tres(row["GrpTRES"]),
            grp_jobs=read_limit(row["GrpJobs"]),
            grp_submit_jobs=read_limit(row["GrpSubmit"]),
            max_tres_per_job=read_tres(row["MaxTRES"]),
            max_tres_per_node=read_tres(row["MaxTRESPerNode"]),
            max_jobs_per_user=read_limit(row["MaxJobs"]),
            max_submit_jobs_per_user=read_limit(row["MaxSubmit"]),
            max_wall=read_duration(row["MaxWall"]),
        ),
    )
