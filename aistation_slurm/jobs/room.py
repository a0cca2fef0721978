"""What a group and the quotas leave for one job: the limits that the rules of submission hold it to.

The same limits, and the same words, as slurm_conf/aistation_fit.lua: whatever fits here is left alone by slurmctld.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aistation_slurm.jobs.compiled import Group, Policy, Quota

DEVELOPMENT, EMERGENCY, NIGHT = "development", "emergency", "night"
What = Literal["gpus", "shards", "nodes", "cpus", "memory"]
_NOUNS: dict[What, str] = {
    "gpus": "GPUs",
    "shards": "shares of GPUs",
    "nodes": "nodes",
    "cpus": "CPUs",
    "memory": "memory",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of something, and whose limit that is; None is not limited."""

    count: int | None = None
    why: str = ""

    def or_lower(self, count: int | None, why: str) -> Limit:
        """Return the lower of the two; the first one where they are equal."""
        if count is None or (self.count is not None and self.count <= count):
            return self
        return Limit(count, why)

    def shared_by(self, quota: Limit, things: int) -> Limit:
        """Return this limit of one thing, or what a quota leaves for each of so many, whichever is less."""
        if quota.count is None:
            return self
        return self.or_lower(max(1, quota.count // max(1, things)), quota.why)

    def cut(self, asked: int) -> int:
        """Return what was asked for, or the most there is."""
        return asked if self.count is None else min(asked, self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one job may have: of a node, and all in all by the quotas."""

    nodes: Limit
    gpus: Limit
    cpus: Limit
    memory: Limit
    shards: Limit
    all_gpus: Limit = Limit()
    all_shards: Limit = Limit()
    all_cpus: Limit = Limit()
    all_memory: Limit = Limit()

    @property
    def most_nodes(self) -> int:
        """How many nodes there are for it."""
        return self.nodes.count or 0

    @property
    def most_gpus(self) -> int:
        """How many GPUs a node has for it."""
        return self.gpus.count or 0


def room_in(group: Group, policy: Policy, *, account: str | None, qos: str | None) -> Room:
    """Return what a job of this team and QOS may have in the group; without a team, teams' quotas are not known."""

    def quota(what: What) -> Limit:
        return _quota_of(what, group, policy, account, qos)

    nodes = Limit(group.nodes, f"{group.name} has no more").or_lower(*_pair(quota("nodes")))
    development = policy.development if qos == DEVELOPMENT else Quota()
    return Room(
        nodes=nodes,
        gpus=_of_node(group, group.gpus, development.gpus),
        cpus=_of_node(group, group.cpus, development.cpus),
        memory=_of_node(group, group.memory, development.memory) if group.memory else Limit(),
        shards=_of_node(group, group.shards, development.shards),
        all_gpus=quota("gpus"),
        all_shards=quota("shards"),
        all_cpus=quota("cpus"),
        all_memory=quota("memory"),
    )


def qos_in(group: Group, qos: str | None) -> str | None:
    """Return the QOS that the job will run under: in a group for development that one, where it names none."""
    if qos is None:
        return DEVELOPMENT if group.use == "development" else None
    return qos.lower()


def _pair(limit: Limit) -> tuple[int | None, str]:
    return limit.count, limit.why


def _of_node(group: Group, count: int, development: int | None) -> Limit:
    no_more = Limit(count, f"a node of {group.name} has no more")
    return no_more.or_lower(development, "a development environment has no more")


def _quota_of(what: What, group: Group, policy: Policy, account: str | None, qos: str | None) -> Limit:
    limit, noun = Limit(), _NOUNS[what]
    for quota, who, where in _quotas(group, policy, account, qos):
        count: int | None = getattr(quota, what)
        if count is not None:
            said = write_memory(count) if what == "memory" else str(count)
            limit = limit.or_lower(count, f"{who} may have {said} {noun} {where}")
        for model in group.gpu_types if what == "gpus" else ():
            of_type = quota.types.get(model)
            limit = limit.or_lower(of_type, f"{who} may have {of_type} {model} {noun} {where}")
    if qos == DEVELOPMENT:
        limit = limit.or_lower(getattr(policy.development, what), "a development environment has no more")
    return limit


def _quotas(group: Group, policy: Policy, account: str | None, qos: str | None) -> Iterator[tuple[Quota, str, str]]:
    """Yield each quota that holds for the job: what it is, for whom, of what."""
    if qos == EMERGENCY and policy.over_quota:
        return
    if qos == NIGHT and policy.night:
        yield policy.night.user, "a user", "at night"
        yield policy.night.team, "a team", "at night"
        return
    yield group.user, "a user", f"of {group.name}"
    yield group.team, "a team", f"of {group.name}"
    yield policy.user, "a user", "in all"
    for name in _lineage(policy, account):
        yield policy.teams[name].quota, f"team {name}", "in all"


def _lineage(policy: Policy, account: str | None) -> Iterator[str]:
    """Yield the team and those above it."""
    seen: set[str] = set()
    while account is not None and account in policy.teams and account not in seen:
        seen.add(account)
        yield account
        account = policy.teams[account].parent


def write_memory(mib: int) -> str:
    """Return MiB as the rules write it: 7168 is `7G`, 500 is `500M`."""
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"
