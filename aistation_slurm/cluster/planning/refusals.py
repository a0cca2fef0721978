"""Why a plan is refused, whoever wants it: a job would be ended. The linter's rules say so, and the safe way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aistation_slurm.cluster.changes import Change, DeleteQos, Refusal, RemoveUsers, WriteFile, some
from aistation_slurm.cluster.conf import Conf, read_conf
from aistation_slurm.cluster.lint import Files, Rule, Running
from aistation_slurm.cluster.lint.keys import identity_of_a_cluster
from aistation_slurm.cluster.lint.nodes import cores_or_gres_of_a_busy_node, removing_a_busy_node
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.touched import Jobs
from aistation_slurm.cluster.site.conf import CONF
from aistation_slurm.cluster.wanted.files import line_changes
from aistation_slurm.spec import ClusterSpec

_RULES: tuple[Rule, ...] = (removing_a_busy_node, cores_or_gres_of_a_busy_node, identity_of_a_cluster)


def refusals_of(spec: ClusterSpec, observed: Observed, changes: Sequence[Change], jobs: Jobs) -> Iterator[Refusal]:
    """Yield what would vanish under its jobs, or take something away from under them."""
    if not jobs.alive:
        return
    conf = conf_to_be(observed, changes)
    yield from _groups(spec, observed, jobs, conf)
    yield from _members(changes, jobs)
    yield from _qos(changes, jobs)
    if conf is not None and any(isinstance(change, WriteFile) and change.effect for change in changes):
        yield from _findings(conf, observed)


def conf_to_be(observed: Observed, changes: Sequence[Change]) -> Conf | None:
    """Return the site's files with our own, as they are after these changes; None where nobody has read them."""
    site = observed.site
    if not site.texts:
        return None
    now = {site.path.with_name(CONF): observed.files.get(CONF) or ""}
    texts = {change.path: change.text for change in changes if isinstance(change, WriteFile)}
    return read_conf(site.path, {**now, **site.texts, **texts})


def _groups(spec: ClusterSpec, observed: Observed, jobs: Jobs, conf: Conf | None) -> Iterator[Refusal]:
    """Yield the groups that would go with jobs in them: slurmctld kills the jobs of a partition that is gone."""
    old = line_changes(observed.files.get(CONF) or "", "")
    ours = {line.removeprefix("- partition ") for line in old if line.startswith("- partition ")}
    kept = {line.name for line in conf.of("PartitionName")} if conf else set(observed.site.partitions)
    for name in sorted(ours - spec.managed_groups().keys() - kept):
        if found := [job.job_id for job in jobs.by_group.get(name, ())]:
            yield Refusal(
                text=f"group {name!r} can't go while it has jobs: {some(found)}",
                safe_way=f"scontrol update partition={name} state=DRAIN, wait for its jobs or cancel them, apply",
                jobs=tuple(found),
                group=name,
            )


def _members(changes: Sequence[Change], jobs: Jobs) -> Iterator[Refusal]:
    """Yield the users who would leave an account with jobs there, which slurmdbd ends."""
    leaving = ((change, user) for change in changes if isinstance(change, RemoveUsers) for user in change.users)
    for change, user in leaving:
        if found := [job.job_id for job in jobs.by_member.get((change.account, user), ())]:
            yield Refusal(
                text=f"{user} can't leave team {change.account!r} while having jobs there: {some(found)}",
                safe_way="wait for those jobs, or cancel them, then apply",
                jobs=tuple(found),
                account=change.account,
                users=(user,),
            )


def _qos(changes: Sequence[Change], jobs: Jobs) -> Iterator[Refusal]:
    """Yield the QOS that would go with jobs under them: up to 24.11 slurmdbd lets them, and the jobs never start."""
    names = {name for change in changes if isinstance(change, DeleteQos) for name in change.names}
    for name in sorted(names):
        if found := [job.job_id for job in jobs.by_qos.get(name, ())]:
            yield Refusal(
                text=f"QOS {name!r} can't go while jobs are under it: {some(found)}",
                safe_way="wait for those jobs, or give them another: scontrol update jobid=... qos=normal; then apply",
                jobs=tuple(found),
            )


def _findings(conf: Conf, observed: Observed) -> Iterator[Refusal]:
    running = Running(
        version=observed.release,
        config=observed.config,
        nodes=observed.nodes,
        partitions=observed.partitions,
        jobs=observed.jobs,
    )
    for rule in _RULES:
        for found in rule(Files(conf), running):
            if found.level == "kills jobs":
                yield Refusal(
                    text=f"{found.where}: {found.what}", safe_way=found.fix, jobs=found.jobs, nodes=found.nodes
                )
