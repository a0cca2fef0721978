"""A snapshot becomes the page's context: pure, the clock an argument."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, takewhile

from aistation_slurm.slurm.marks import REASON_MARK, is_ours
from aistation_slurm.slurm.model import Controller, Job, Node, Partition, Qos
from aistation_slurm.slurm.nodelist import expand
from aistation_slurm.web.contexts import (
    GroupCard,
    JobRow,
    NodeTile,
    Overview,
    RecoveryCard,
    StepMark,
    TeamRow,
    Totals,
)
from aistation_slurm.web.snapshots import Recovery, Snapshot
from aistation_slurm.web.words import (
    NODE_WORDS,
    clean,
    clock,
    duration,
    gpus_in_use,
    job_tone,
    job_words,
    many,
    memory,
    node_tone,
    why_it_waits,
)

JOBS_SHOWN = 250
RECOVERIES_SHOWN = 3
OVER_SHOWN = timedelta(minutes=5)
"""How long a job that is over stays in the table."""
EXPECTED_SHOWN = timedelta(days=2)
"""Up to when Slurm's expected start is worth telling: what lies further ahead rests on time limits alone."""
NO_GROUP = "without a group"

Jobs = Sequence[Job]


def overview(snapshot: Snapshot, now: datetime, *, simulated: bool = False, jobs_shown: int = JOBS_SHOWN) -> Overview:
    """Return the page's context for this snapshot at this moment."""
    jobs = jobs_in_order(snapshot.jobs, now)
    return Overview(
        now=now,
        taken_at=snapshot.taken_at,
        cluster=snapshot.cluster,
        version=snapshot.version,
        simulated=simulated,
        controllers=controllers_in_words(snapshot.controllers, problem=snapshot.problem),
        is_stale=snapshot.is_stale(now),
        problem=clean(snapshot.problem),
        totals=totals(snapshot.nodes, snapshot.jobs),
        groups=tuple(groups(snapshot)),
        teams=tuple(teams(snapshot.jobs)),
        jobs=tuple(job_row(job, now) for job in jobs[:jobs_shown]),
        jobs_left_out=max(0, len(jobs) - jobs_shown),
        recoveries=tuple(recovery_card(each, snapshot.jobs) for each in snapshot.recoveries[:RECOVERIES_SHOWN]),
    )


def controllers_in_words(controllers: Sequence[Controller], *, problem: str = "") -> str:
    """Return which slurmctld answers: `slurmctld answers`, `the backup b2 answers`, `slurmctld does not answer`."""
    up = [each for each in controllers if each.is_up]
    if problem or (controllers and not up):
        return "slurmctld does not answer"
    if up and not any(each.is_primary for each in up):
        return f"the backup {up[0].host} answers"
    return "slurmctld answers"


def totals(nodes: Sequence[Node], jobs: Jobs) -> Totals:
    """Return the figures on top, each node and each job counted once."""
    running = [job for job in jobs if job.state.is_running]
    waiting = [job for job in jobs if job.state.is_waiting]
    return Totals(
        gpus=sum(node.gpus for node in nodes),
        gpus_used=sum(gpus_in_use(node) for node in nodes),
        gpus_lost=sum(_gpus_lost(node) for node in nodes),
        nodes=len(nodes),
        nodes_usable=sum(node.state.is_usable for node in nodes),
        running=len(running),
        waiting=len(waiting),
        waiting_gpus=sum(job.gpus for job in waiting),
        waiting_since=min((job.submit_time for job in waiting if job.submit_time), default=None),
        users=len({job.user for job in running}),
    )


def groups(snapshot: Snapshot) -> Iterable[GroupCard]:
    """Yield a card for each partition that has nodes and is not hidden, then one for what none of them has."""
    shown = {each.name for each in snapshot.partitions if not each.is_hidden}
    members: dict[str, list[Node]] = defaultdict(list)
    for node in snapshot.nodes:
        for name in [each for each in node.partitions if each in shown] or [NO_GROUP]:
            members[name].append(node)
    qos = {each.name.lower(): each for each in snapshot.qos}
    held = _jobs_by_node(snapshot.jobs)
    jobs = _jobs_by_group(snapshot.jobs)
    for partition in snapshot.partitions:
        if nodes := members.get(partition.name):
            yield _card(partition, nodes, jobs[partition.name], qos.get(partition.qos.lower()), held)
    if NO_GROUP in members:
        yield _card(Partition(name=NO_GROUP), members[NO_GROUP], (), None, held)


def _card(
    partition: Partition, nodes: Sequence[Node], jobs: Jobs, qos: Qos | None, held: Mapping[str, list[str]]
) -> GroupCard:
    waiting = [job for job in jobs if job.state.is_waiting]
    prefix = _common_beginning([node.name for node in nodes])
    return GroupCard(
        name=partition.name,
        is_open=partition.state == "UP",
        closed_words=_closed_words(partition.state),
        is_default=partition.is_default,
        gpu_types=", ".join(sorted({each.type for node in nodes for each in node.gres if each.name == "gpu"} - {""})),
        gpus=sum(node.gpus for node in nodes),
        gpus_used=sum(gpus_in_use(node) for node in nodes),
        gpus_lost=sum(_gpus_lost(node) for node in nodes),
        shares=sum(node.shards for node in nodes),
        shares_used=sum(node.shards_allocated for node in nodes),
        cpus=sum(node.cpus for node in nodes),
        cpus_used=sum(node.cpus_allocated for node in nodes),
        nodes_usable=sum(node.state.is_usable for node in nodes),
        running=sum(job.state.is_running for job in jobs),
        waiting=len(waiting),
        waiting_gpus=sum(job.gpus for job in waiting),
        facts=tuple(_facts(partition, qos)),
        prefix=prefix,
        tiles=tuple(node_tile(node, partition.name, prefix, held.get(node.name, ())) for node in nodes),
    )


def _closed_words(state: str) -> str:
    words = {"UP": "", "DOWN": "starts no jobs", "DRAIN": "takes no new jobs", "INACTIVE": "closed"}
    return words.get(state, state.lower())


def _facts(partition: Partition, qos: Qos | None) -> Iterable[str]:
    limits = qos.limits if qos else None
    if limits and (text := _amounts(limits.max_tres_per_user)):
        yield f"quota {text} per user"
    if limits and (text := _amounts(limits.max_tres_per_account)):
        yield f"quota {text} per team"
    if limits and (text := _amounts(limits.grp_tres)):
        yield f"quota {text} in all"
    if partition.max_time is not None:
        yield f"at most {duration(partition.max_time)}"
    if partition.allow_accounts:
        yield f"for {_few(partition.allow_accounts, 4)}"


def _amounts(tres: Mapping[str, int]) -> str:
    words = {"gres/gpu": "GPU", "gres/shard": "GPU share", "cpu": "CPU", "node": "node"}
    return ", ".join(many(tres[name], word) for name, word in words.items() if name in tres)


def node_tile(node: Node, group: str, prefix: str, jobs: Sequence[str]) -> NodeTile:
    """Return the node as a tile of this group, with the lines of its tooltip."""
    tone = node_tone(node)
    return NodeTile(
        key=f"{group}.{node.name}",
        name=node.name,
        label=node.name.removeprefix(prefix),
        tone=tone,
        words=_node_words(node, NODE_WORDS[tone]),
        reason=clean(node.reason.removeprefix(REASON_MARK).strip()) if tone in {"down", "drained", "away"} else "",
        is_ours=is_ours(node.reason),
        gpus=node.gpus,
        gpus_used=gpus_in_use(node),
        details=tuple(_details(node, jobs)),
    )


def _node_words(node: Node, words: str) -> str:
    if node.state.is_not_responding and not node.state.is_down:
        return "does not respond"
    if node.state.is_draining and not node.state.is_drained and not node.state.is_down:
        return "set aside once its jobs end"
    return f"not available ({node.state})" if words == NODE_WORDS["away"] else words


def _details(node: Node, jobs: Sequence[str]) -> Iterable[str]:
    if node.gpus:
        kinds = "/".join(sorted({each.type for each in node.gres if each.name == "gpu"} - {""}))
        yield f"{gpus_in_use(node)} of {many(node.gpus, f'{kinds} GPU'.strip())} in use"
    if node.shards:
        yield f"{node.shards_allocated} of {many(node.shards, 'GPU share')} in use"
    if node.cpus:
        yield f"{node.cpus_allocated} of {many(node.cpus, 'CPU')}" + (
            f", load {node.load:.1f}" if node.load is not None else ""
        )
    if node.memory:
        yield f"{memory(node.memory_allocated)} of {memory(node.memory)} memory"
    if jobs:
        yield ("job " if len(jobs) == 1 else "jobs ") + _few(jobs, 6)


def _gpus_lost(node: Node) -> int:
    return 0 if node.state.is_usable else node.gpus - gpus_in_use(node)


def _common_beginning(names: Sequence[str]) -> str:
    """Return what all the names begin with, without any of the digits that tell them apart."""
    if len(names) < 2:
        return ""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    return "".join(first for first, _ in pairs).rstrip("0123456789")


def _jobs_by_node(jobs: Jobs) -> dict[str, list[str]]:
    held: dict[str, list[str]] = defaultdict(list)
    for job in jobs:
        if job.nodes and (job.state.is_running or job.state.is_leaving):
            for name in _names(job.nodes):
                held[name].append(job_key(job))
    return held


def _jobs_by_group(jobs: Jobs) -> dict[str, list[Job]]:
    """Return the jobs of each partition; a job that waits for several counts in each."""
    by_group: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        for name in job.partition.split(","):
            by_group[name].append(job)
    return by_group


def _names(nodes: str) -> tuple[str, ...]:
    return expand(nodes) if "[" in nodes or "," in nodes else (nodes,)


def teams(jobs: Jobs) -> list[TeamRow]:
    """Return the teams that have jobs now, most GPUs first."""
    names = {job.account for job in jobs if not job.state.is_over} - {""}
    rows = [_team_row(name, [job for job in jobs if job.account == name]) for name in names]
    return sorted(rows, key=lambda row: (-row.gpus, -row.shares, -row.running, row.name))


def _team_row(name: str, jobs: Jobs) -> TeamRow:
    running = [job for job in jobs if job.state.is_running]
    return TeamRow(
        name=clean(name),
        gpus=sum(job.gpus for job in running),
        shares=sum(job.shards for job in running),
        running=len(running),
        waiting=sum(job.state.is_waiting for job in jobs),
        users=len({job.user for job in running}),
    )


def jobs_in_order(jobs: Jobs, now: datetime) -> list[Job]:
    """Return the jobs as the table shows them: running (newest first), waiting (next first), lately over."""
    kinds: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        kinds["over" if job.state.is_over else "waiting" if job.state.is_waiting else "running"].append(job)
    late = [job for job in kinds["over"] if job.end_time and now - job.end_time < OVER_SHOWN]
    return list(
        chain(
            sorted(kinds["running"], key=lambda job: (-_stamp(job.start_time), -job.job_id)),
            sorted(kinds["waiting"], key=lambda job: (-job.priority, job.job_id)),
            sorted(late, key=lambda job: -_stamp(job.end_time)),
        )
    )


def _stamp(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def job_key(job: Job) -> str:
    """Return the id as squeue prints it: `17`, `17_4`, `17_[5-9]`."""
    return f"{job.array_job_id}_{job.array_task}" if job.array_job_id and job.array_task else str(job.job_id)


def job_row(job: Job, now: datetime) -> JobRow:
    """Return the job as a row of the table."""
    waits = job.state.is_waiting
    return JobRow(
        key=clean(job_key(job)),
        name=clean(job.name),
        user=clean(job.user),
        team=clean(job.account),
        group=clean(job.partition),
        is_emergency=job.qos == "emergency",
        gpus=_gpu_words(job),
        tone=job_tone(job.state),
        state=job_words(job.state),
        why=clean(why_it_waits(job)),
        reason=clean(job.reason),
        nodes="" if waits else clean(job.nodes),
        since=job.submit_time if waits else job.start_time,
        until=job.end_time if job.state.is_over else None,
        expected=job.start_time if waits and _is_near(job.start_time, now) else None,
        limit=job.time_limit,
        restarts=job.restart_count,
    )


def _is_near(start: datetime | None, now: datetime) -> bool:
    return start is not None and start - now < EXPECTED_SHOWN


def _gpu_words(job: Job) -> str:
    if job.shards and not job.gpus:
        return many(job.shards, "share")
    return str(job.gpus) if job.gpus else ""


def recovery_card(recovery: Recovery, jobs: Jobs = ()) -> RecoveryCard:
    """Return the incident as the page tells it; its steps count from the last sign of life."""
    lost = [job for job in jobs if job.job_id in recovery.job_ids]
    first = recovery.steps[0][1] if recovery.steps else recovery.at
    return RecoveryCard(
        key=f"{recovery.node}.{int(recovery.at.timestamp())}",
        node=recovery.node,
        what=clean(recovery.what),
        at=recovery.at,
        jobs=_jobs_in_words([str(each) for each in recovery.job_ids]),
        result=_result(recovery, lost),
        is_over=recovery.recovered_in is not None or not recovery.job_ids,
        steps=tuple(StepMark(words=words, after=f"+{_short(moment - first)}") for words, moment in recovery.steps),
    )


def _result(recovery: Recovery, lost: Jobs) -> str:
    if recovery.recovered_in is not None:
        return f"running again after {_tenths(recovery.recovered_in)}"
    if not recovery.job_ids:
        return "no job was lost"
    return "waits for free GPUs" if any(_lacks_room(job) for job in lost) else "under way"


def _lacks_room(job: Job) -> bool:
    """True where nothing is in the job's way any more but other jobs."""
    return job.state.is_waiting and job.reason.strip("()") in {"Resources", "Priority"}


def _tenths(value: timedelta) -> str:
    """Return `3.9 s`, or, from a minute on, `2 min 47 s`."""
    return f"{value.total_seconds():.1f} s" if value < timedelta(minutes=1) else duration(value)


def _short(value: timedelta) -> str:
    """Return `3.9 s`, or, from a minute on, `2:47`: it must fit below a dot."""
    return f"{value.total_seconds():.1f} s" if value < timedelta(minutes=1) else clock(value)


def _jobs_in_words(ids: Sequence[str]) -> str:
    if not ids:
        return "no job was on it"
    return f"{'job' if len(ids) == 1 else 'jobs'} {_few(ids, 4)}"


def _few(names: Sequence[str], most: int) -> str:
    """Return the names joined by commas, the rest counted: `a, b and 4 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
