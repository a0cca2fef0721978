"""What the cluster file wants of Slurm: QOS, accounts and associations (the files are in `files`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aistation_slurm.cluster.wanted.limits import (
    development_limits,
    group_limits,
    over_limits,
    team_limits,
    user_limits,
)
from aistation_slurm.slurm.writer.limits import Values
from aistation_slurm.spec import NIGHT, ClusterSpec, GpuGroup, Quotas, Team

NORMAL, EMERGENCY, DEVELOPMENT = "normal", "emergency", "development"
JOB_QOS = (NORMAL, DEVELOPMENT, NIGHT, EMERGENCY)
"""What a job can run under, in the order in which they are listed."""

# A job that breaks a limit by itself would wait for ever: with this it is refused when submitted.
DENY = "DenyOnLimit"
OVER = "OverPartQOS"
"""A job's own QOS hides those limits of the partition's that it has itself."""
FAIRSHARE = "Fairshare"
CLOSED = {"GrpJobs": "0"}
"""Nothing of it runs. Said when QOS `night` is made; afterwards the duty `nights` opens and closes it."""


@dataclass(frozen=True, slots=True)
class WantedQos:
    """A QOS as it is to be."""

    name: str
    values: Values
    at_first: Values = field(default_factory=dict)
    """What it has beside that when it is made, and what is somebody else's to change afterwards."""


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """An account as it is to be, with its association on this cluster."""

    name: str
    qos: frozenset[str]
    limits: Values = field(default_factory=dict)
    parent: str | None = None
    """None: it stays below whatever it is below."""
    share: int | None = None
    """Its Fairshare; None: it stays as it is."""
    coordinators: frozenset[str] | None = None
    """None: they stay as they are."""

    @property
    def values(self) -> Values:
        """Its limits, and its share where the cluster file says one."""
        return self.limits if self.share is None else {**self.limits, FAIRSHARE: str(self.share)}


@dataclass(frozen=True, slots=True)
class WantedUser:
    """A user's association with an account, as it is to be."""

    user: str
    account: str
    qos: frozenset[str]
    limits: Values = field(default_factory=dict)

    @property
    def values(self) -> Values:
        """Its limits."""
        return self.limits


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

    def above(self, account: str) -> tuple[str, ...]:
        """Return the accounts above this one in the cluster file, as far as it names them, the nearest first."""
        found: list[str] = []
        while (wanted := self.accounts.get(account)) and wanted.parent is not None:
            found.append(account := wanted.parent)
        return tuple(found)

    def accounts_of(self, user: str) -> tuple[str, ...]:
        """Return the accounts that the user is to be in, in the file's order."""
        return tuple(account for account, name in self.users if name == user)


def partition_qos(group: str) -> str:
    """Return the name of the QOS that carries the group's quotas; slurmdbd folds it to lower case."""
    return f"group-{group.lower()}"


def job_qos(group: GpuGroup, *, has_nights: bool = False) -> tuple[str, ...]:
    """Return what jobs in this group may run under."""
    training = (NORMAL, *([NIGHT] if has_nights else []), EMERGENCY)
    return {"training": training, "development": (DEVELOPMENT,), "both": (*training, DEVELOPMENT)}[group.use]


def desired(spec: ClusterSpec) -> Desired:
    """Return what the cluster file wants of slurmdbd; nothing at all where it has nothing of ours."""
    teams = spec.managed_teams()
    left_alone = frozenset(spec.teams) - teams.keys()
    if not spec.is_ours:
        return Desired(spec.cluster, {}, {}, {}, left_alone)
    qos = [*_job_qos_rows(spec), *_group_rows(spec)]
    accounts, users, each_user = {}, {}, user_limits(spec)
    base = frozenset({NORMAL, DEVELOPMENT, *([NIGHT] if spec.calendar.has_nights else [])})
    for name, team in teams.items():
        accounts[name] = _account(name, team, base, team_limits(spec, name))
        for user in team.members:
            rights = base | {EMERGENCY} if user in team.emergency else base
            users[name, user] = WantedUser(user, name, rights, each_user)
    return Desired(spec.cluster, {each.name: each for each in qos}, accounts, users, left_alone)


def _account(name: str, team: Team, qos: frozenset[str], limits: Values) -> WantedAccount:
    coordinators = frozenset(team.coordinators) if "coordinators" in team.model_fields_set else None
    return WantedAccount(name, qos, limits, parent=team.parent, share=team.weight, coordinators=coordinators)


def _job_qos_rows(spec: ClusterSpec) -> list[WantedQos]:
    rows = [WantedQos(NORMAL, {}), WantedQos(DEVELOPMENT, {"Flags": DENY, **development_limits(spec)})]
    # Development environments are not preempted: an active one is never stopped.
    preempt = NORMAL
    if spec.calendar.has_nights:
        quota = spec.calendar.quota
        own = {"Flags": f"{DENY},{OVER}", **over_limits(spec, quota)} if quota else {"Flags": DENY}
        rows.append(WantedQos(NIGHT, own, at_first=CLOSED))
        preempt = f"{NIGHT},{NORMAL}"
    over = {"Flags": OVER, **over_limits(spec, Quotas())} if spec.emergency.over_quota else {}
    rows.append(WantedQos(EMERGENCY, {"Priority": "1000", "Preempt": preempt, "PreemptMode": "requeue", **over}))
    return rows


def _group_rows(spec: ClusterSpec) -> list[WantedQos]:
    groups = spec.managed_groups().items()
    return [
        WantedQos(partition_qos(name), {"Flags": DENY, **group_limits(group, spec.quota)}) for name, group in groups
    ]
