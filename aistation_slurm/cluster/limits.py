"""Quotas as limits: what a `Quota` becomes on a QOS and on an association, and how Slurm's own limits compare."""

from __future__ import annotations

from collections.abc import Mapping

from aistation_slurm.slurm.model import Limits
from aistation_slurm.slurm.tres import Tres, read_tres, write_tres
from aistation_slurm.spec import ClusterSpec, GpuGroup, Quota, Team

Values = Mapping[str, str]
"""Words of sacctmgr, such as `{"MaxTRESPerUser": "gres/gpu=16"}`; what is not limited is left out."""

TRES_KEYS = frozenset({"GrpTRES", "MaxTRESPerUser", "MaxTRESPerAccount", "MaxTRESPerJob"})


def tres_of(
    quota: Quota, *, cpus_per_gpu: int, memory_per_gpu: int, spare_cpus: int = 0, spare_memory: int = 0
) -> Tres:
    """Return the quota as TRES.

    A limit on GPUs alone strands GPUs: whoever takes all CPUs with one GPU leaves seven that nobody can use. So, where
    the quota doesn't say, CPUs and memory follow from the GPUs. One GPU's share more, for something small beside the
    training and so that it is the GPUs that a waiting job is told of; `spare` for development environments.
    """
    tres: Tres = {}
    if quota.gpu is not None:
        tres = {
            "gres/gpu": quota.gpu,
            "cpu": (quota.gpu + 1) * cpus_per_gpu + spare_cpus,
            "mem": (quota.gpu + 1) * memory_per_gpu + spare_memory,
        }
    said = {"gres/shard": quota.shards, "cpu": quota.cpu, "mem": quota.memory}
    return tres | {name: amount for name, amount in said.items() if amount is not None}


def group_limits(group: GpuGroup) -> Values:
    """Return the limits of the group's partition QOS."""
    user, team = group.quota.per_user, group.quota.per_team
    each = {"cpus_per_gpu": group.cpus_per_gpu, "memory_per_gpu": group.memory_per_gpu}
    return said(
        MaxTRESPerUser=write_tres(tres_of(user, **each)),
        MaxTRESPerAccount=write_tres(tres_of(team, **each)),
        MaxJobsPerUser=user.jobs,
        MaxSubmitJobsPerUser=user.submitted,
        MaxJobsPerAccount=team.jobs,
        MaxSubmitJobsPerAccount=team.submitted,
    )


def user_limits(spec: ClusterSpec) -> Values:
    """Return the limits of each user's association: the total over all groups."""
    return _association(spec, spec.quota.per_user)


def team_limits(spec: ClusterSpec, team: Team) -> Values:
    """Return the limits of the team's account; what the team doesn't say follows from `quota: per_team`."""
    own = {key: value for key in Quota.model_fields if (value := getattr(team.quota, key)) is not None}
    return _association(spec, spec.quota.per_team.model_copy(update=own), people=max(1, len(team.members)))


def _association(spec: ClusterSpec, quota: Quota, *, people: int = 1) -> Values:
    groups = spec.managed_groups().values()
    has_environments = any(group.use != "training" for group in groups)
    environments = spec.environments.per_user * people if has_environments else 0
    tres = tres_of(
        quota,
        cpus_per_gpu=max((group.cpus_per_gpu for group in groups), default=0),
        memory_per_gpu=max((group.memory_per_gpu for group in groups), default=0),
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
        "gres/shard": policy.gpu_shares,
        "gres/gpu": policy.gpu_shares if has_whole else 0,
    }
    return said(MaxTRESPerJob=write_tres(tres), MaxJobsPerUser=policy.per_user, MaxSubmitJobsPerUser=policy.per_user)


def said(**values: str | int | None) -> Values:
    """Return the values that say something, as text."""
    return {key: str(value) for key, value in values.items() if value not in {None, ""}}


def qos_values(limits: Limits) -> Values:
    """Return a QOS's limits in sacctmgr's words, as far as we set any."""
    return said(
        MaxTRESPerUser=write_tres(limits.max_tres_per_user),
        MaxTRESPerAccount=write_tres(limits.max_tres_per_account),
        MaxTRESPerJob=write_tres(limits.max_tres_per_job),
        MaxJobsPerUser=limits.max_jobs_per_user,
        MaxSubmitJobsPerUser=limits.max_submit_jobs_per_user,
        MaxJobsPerAccount=limits.max_jobs_per_account,
        MaxSubmitJobsPerAccount=limits.max_submit_jobs_per_account,
    )


def association_values(limits: Limits) -> Values:
    """Return an association's limits in sacctmgr's words, as far as we set any."""
    return said(GrpTRES=write_tres(limits.grp_tres), GrpJobs=limits.grp_jobs, GrpSubmitJobs=limits.grp_submit_jobs)


def set_words(old: Values, new: Values) -> tuple[str, ...]:
    """Return the words after `set` that turn the old values into the new ones.

    sacctmgr merges TRES limits: one that shall go must be named with -1 (sacctmgr(1), MaxTRES).
    """
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return tuple(f"{key}={_tres_change(old, new, key) if key in TRES_KEYS else new.get(key, '-1')}" for key in changed)


def _tres_change(old: Values, new: Values, key: str) -> str:
    wanted = read_tres(new.get(key, ""))
    gone = sorted(read_tres(old.get(key, "")).keys() - wanted.keys())
    return ",".join(filter(None, [write_tres(wanted), *(f"{name}=-1" for name in gone)]))


def differences(old: Values, new: Values) -> str:
    """Return what changes, for people: `MaxTRESPerUser gres/gpu=8 -> gres/gpu=16`."""
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return "  ".join(f"{key} {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in keys)
