"""What the cluster file wants of Slurm: QOS, accounts and associations (the files are in `files`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aistation_slurm.cluster.limits import Values, development_limits, group_limits, team_limits, user_limits
from aistation_slurm.spec import ClusterSpec, GpuGroup

NORMAL, EMERGENCY, DEVELOPMENT = "normal", "emergency", "development"
JOB_QOS = (NORMAL, DEVELOPMENT, EMERGENCY)
"""What a job can run under, in the order in which they are listed."""

# A job that breaks a limit by itself would wait for ever: with this it is refused when submitted.
DENY = "DenyOnLimit"


@dataclass(frozen=True, slots=True)
class WantedQos:
    """A QOS as it is to be."""

    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """An account as it is to be, with its association on this cluster."""

    name: str
    qos: frozenset[str]
    limits: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedUser:
    """A user's association with an account, as it is to be."""

    user: str
    account: str
    qos: frozenset[str]
    limits: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """What the cluster file wants of slurmdbd."""

    cluster: str
    qos: Mapping[str, WantedQos]
    accounts: Mapping[str, WantedAccount]
    users: Mapping[tuple[str, str], WantedUser]
    """(account, user) -> association."""
    left_alone: frozenset[str] = frozenset()
    """Accounts that are the site's own, whoever made them."""

    def accounts_of(self, user: str) -> tuple[str, ...]:
        """Return the accounts that the user is to be in, in the file's order."""
        return tuple(account for account, name in self.users if name == user)


def partition_qos(group: str) -> str:
    """Return the name of the QOS that carries the group's quotas; slurmdbd folds it to lower case."""
    return f"group-{group.lower()}"


def job_qos(group: GpuGroup) -> tuple[str, ...]:
    """Return what jobs in this group may run under."""
    return {
        "training": (NORMAL, EMERGENCY),
        "development": (DEVELOPMENT,),
        "both": (NORMAL, EMERGENCY, DEVELOPMENT),
    }[group.use]


def desired(spec: ClusterSpec) -> Desired:
    """Return what the cluster file wants of slurmdbd; nothing at all where it has nothing of ours."""
    teams = spec.managed_teams()
    left_alone = frozenset(spec.teams) - teams.keys()
    if not spec.is_ours:
        return Desired(spec.cluster, {}, {}, {}, left_alone)
    qos = [*_job_qos_rows(spec), *_group_rows(spec)]
    accounts, users = {}, {}
    base = frozenset({NORMAL, DEVELOPMENT})
    for name, team in teams.items():
        accounts[name] = WantedAccount(name, base, team_limits(spec, team))
        for user in team.members:
            rights = base | {EMERGENCY} if user in team.emergency else base
            users[name, user] = WantedUser(user, name, rights, user_limits(spec))
    return Desired(spec.cluster, {each.name: each for each in qos}, accounts, users, left_alone)


def _job_qos_rows(spec: ClusterSpec) -> list[WantedQos]:
    # Development environments are not preempted: an active one is never stopped.
    emergency = {"Priority": "1000", "Preempt": NORMAL, "PreemptMode": "requeue"}
    return [
        WantedQos(NORMAL, {}),
        WantedQos(DEVELOPMENT, {"Flags": DENY, **development_limits(spec)}),
        WantedQos(EMERGENCY, emergency),
    ]


def _group_rows(spec: ClusterSpec) -> list[WantedQos]:
    groups = spec.managed_groups().items()
    return [WantedQos(partition_qos(name), {"Flags": DENY, **group_limits(group)}) for name, group in groups]
