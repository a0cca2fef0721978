"""Quotas as limits: what a `Quota` becomes on a QOS and on an association, in sacctmgr's words."""

from __future__ import annotations

from collections.abc import Iterable

from aistation_slurm.slurm.model import Limits
from aistation_slurm.slurm.tres import Tres, read_tres, write_tres
from aistation_slurm.slurm.writer.limits import ASSOCIATION_LIMITS, QOS_LIMITS, Values, limit_values
from aistation_slurm.spec import ClusterSpec, GpuGroup, Quota, Quotas

WIDE = 1_000_000_000
"""More than any cluster has of anything: a limit that hides another one, and holds nobody."""
WIDE_MEMORY = 1024**3
"""The same of memory in MiB, as a number that sacctmgr prints without rounding: a pebibyte."""

_NOT_OURS = frozenset({"grp_jobs", "grp_submit_jobs", "max_tres_per_node", "max_wall"})
"""What we set on no QOS, and so leave alone there; GrpJobs opens and closes QOS `night`."""
_QOS = {field: word for field, word in QOS_LIMITS.items() if field not in _NOT_OURS}
_ASSOCIATION = {field: word for field, word in ASSOCIATION_LIMITS.items() if field.startswith("grp_")}


def tres_of(quota: Quota, groups: Iterable[GpuGroup], *, spare_cpus: int = 0, spare_memory: int = 0) -> Tres:
    """Return the quota as TRES, in groups such as these.

    A limit on GPUs alone strands GPUs: whoever takes all CPUs with one GPU leaves seven that nobody can use. So, where
    the quota doesn't say, CPUs and memory follow from the GPUs. One GPU's share more, for something small beside the
    training and so that it is the GPUs that a waiting job is told of; `spare` for development environments.
    """
    groups = tuple(groups)
    tres: Tres = {f"gres/gpu:{model}": count for model, count in quota.gpu_types.items()}
    if quota.gpu is not None:
        tres["gres/gpu"] = quota.gpu
    if (cpus := _most(quota, groups, "cpus_per_gpu")) is not None:
        tres["cpu"] = cpus + spare_cpus
    if (memory := _most(quota, groups, "memory_per_gpu")) is not None:
        tres["mem"] = memory + spare_memory
    if quota.shards is not None:
        tres |= dict.fromkeys(shares_of(groups), quota.shards)
    said = {"cpu": quota.cpu, "mem": quota.memory, "node": quota.nodes}
    return tres | {name: amount for name, amount in said.items() if amount is not None}


def shares_of(groups: Iterable[GpuGroup]) -> tuple[str, ...]:
    """Return the TRES that shares of GPUs are counted by, in groups such as these."""
    return tuple(sorted({f"gres/{each.sharing}" for each in groups if each.shards_per_gpu > 1})) or ("gres/shard",)


def _most(quota: Quota, groups: Iterable[GpuGroup], what: str) -> int | None:
    """Return how much at most goes with the GPUs that the quota allows, and one more; None where it limits no GPUs."""
    share: dict[str, int] = {}
    for group in groups:
        share[group.gpu_type] = max(getattr(group, what), share.get(group.gpu_type, 0))
    allowed = quota.gpu_types
    if not share or (quota.gpu is None and not share.keys() <= allowed.keys()):
        return None
    left = sum(allowed.values()) if quota.gpu is None else quota.gpu
    most = max(share.values())
    for model in sorted(share, key=share.__getitem__, reverse=True):
        count = min(left, allowed.get(model, left))
        most += count * share[model]
        left -= count
    return most


def group_quotas(group: GpuGroup, total: Quotas) -> Quotas:
    """Return what a user and a team may have of the group; `total` are the quotas over all groups.

    slurmctld sees a limit on one model only in requests that name it. A group has one model: here such a limit, of the
    group or of all groups, is one on GPUs of any model, and nobody gets round it.
    """
    user = _untyped(group.quota.per_user, group.gpu_type, total.per_user)
    team = _untyped(group.quota.per_team, group.gpu_type, total.per_team)
    return group.quota.model_copy(update={"per_user": user, "per_team": team})


def group_limits(group: GpuGroup, total: Quotas) -> Values:
    """Return the limits of the group's partition QOS; `total` are the quotas over all groups."""
    quotas = group_quotas(group, total)
    user, team = quotas.per_user, quotas.per_team
    return said(
        MaxTRESPerUser=write_tres(tres_of(user, [group])),
        MaxTRESPerAccount=write_tres(tres_of(team, [group])),
        **_counts(user, team),
    )


def _untyped(quota: Quota, model: str, total: Quota) -> Quota:
    said = [quota.gpu, quota.gpu_types.get(model), total.gpu_types.get(model)]
    counts = [each for each in said if each is not None]
    return quota.model_copy(update={"gpu": min(counts)}) if counts else quota


def user_limits(spec: ClusterSpec) -> Values:
    """Return the limits of each user's association: the total over all groups."""
    return _association(spec, spec.quota.per_user)


def team_limits(spec: ClusterSpec, name: str) -> Values:
    """Return the limits of the team's account.

    What the team doesn't say follows from `quota: per_team`; not where others are below it, since all of them count.
    """
    team, below = spec.teams[name], spec.below(name)
    people = {user for each in (name, *below) for user in spec.teams[each].members}
    quota = team.quota if below else team.quota.over(spec.quota.per_team)
    return _association(spec, quota, people=max(1, len(people)))


def _association(spec: ClusterSpec, quota: Quota, *, people: int = 1) -> Values:
    groups = spec.groups.values()
    has_environments = any(group.use != "training" for group in groups)
    environments = spec.environments.per_user * people if has_environments else 0
    tres = tres_of(
        quota,
        groups,
        spare_cpus=environments * spec.environments.cpus,
        spare_memory=environments * spec.environments.memory,
    )
    return said(GrpTRES=write_tres(tres), GrpJobs=quota.jobs, GrpSubmitJobs=quota.submitted)


def development_limits(spec: ClusterSpec) -> Values:
    """Return the limits of QOS `development`: how many environments, and how large each."""
    policy = spec.environments
    groups = [group for group in spec.managed_groups().values() if group.use != "training"]
    has_whole = any(group.shards_per_gpu == 1 for group in groups)
    tres = {
        "cpu": policy.cpus,
        "mem": policy.memory,
        **dict.fromkeys(shares_of(groups), policy.gpu_shares),
        "gres/gpu": policy.gpu_shares if has_whole else 0,
    }
    return said(MaxTRESPerJob=write_tres(tres), MaxJobsPerUser=policy.per_user, MaxSubmitJobsPerUser=policy.per_user)


def over_limits(spec: ClusterSpec, quotas: Quotas) -> Values:
    """Return the limits of a QOS that puts these quotas in the place of all others, but for totals of how many jobs.

    With OverPartQOS a job's QOS hides those limits of a partition's QOS that it has itself, and any QOS hides the
    same GrpTRES of an association (slurmctld, acct_policy.c). So it has all of them, wide where nothing is said.
    """
    groups = list(spec.managed_groups().values())
    associations = [user_limits(spec), *(team_limits(spec, name) for name in spec.managed_teams())]
    hidden: dict[str, str] = {}
    for limits in [{"GrpTRES": each.get("GrpTRES", "")} for each in associations] + [
        group_limits(group, spec.quota) for group in groups
    ]:
        hidden |= {key: _wide(hidden.get(key, ""), value) for key, value in limits.items()}
    own = {
        "MaxTRESPerUser": tres_of(quotas.per_user, groups),
        "MaxTRESPerAccount": tres_of(quotas.per_team, groups),
    }
    tres = {key: write_tres(read_tres(hidden.get(key, "")) | own.get(key, {})) for key in ("GrpTRES", *own)}
    return said(**{**hidden, **tres, **_counts(quotas.per_user, quotas.per_team)})


def _wide(before: str, value: str) -> str:
    """Return a limit that hides this one and those before, and holds nobody."""
    if value.isdigit():
        return str(WIDE)
    names = read_tres(before).keys() | read_tres(value).keys()
    return write_tres({name: WIDE_MEMORY if name == "mem" else WIDE for name in names})


def _counts(user: Quota, team: Quota) -> Values:
    return said(
        MaxJobsPerUser=user.jobs,
        MaxSubmitJobsPerUser=user.submitted,
        MaxJobsPerAccount=team.jobs,
        MaxSubmitJobsPerAccount=team.submitted,
    )


def said(**values: str | int | None) -> Values:
    """Return the values that say something, as text."""
    return {key: str(value) for key, value in values.items() if value not in {None, ""}}


def qos_values(limits: Limits) -> Values:
    """Return a QOS's limits in sacctmgr's words, as far as we set any."""
    return limit_values(_QOS, limits)


def association_values(limits: Limits) -> Values:
    """Return an association's limits in sacctmgr's words, as far as we set any."""
    return limit_values(_ASSOCIATION, limits)
