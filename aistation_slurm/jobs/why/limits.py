"""The number behind a limit: which one it is, how much of it is in use and by whose jobs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aistation_slurm.jobs.why.limit_reason import Bound, LimitReason
from aistation_slurm.jobs.why.shape import Shape
from aistation_slurm.slurm.model import (
    Association,
    AssociationUse,
    Held,
    Job,
    Limits,
    LimitsInUse,
    Partition,
    Qos,
    QosUse,
)
from aistation_slurm.slurm.tres import Tres
from aistation_slurm.slurm.units import write_memory

_OVER_PART_QOS = "OverPartQOS"
_NOT_OURS = frozenset({"billing", "energy", "vmem", "pages", "fs/disk"})
"""TRES of which a request says nothing beforehand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All limits that there are, what is held of each, and who holds it."""

    partitions: Mapping[str, Partition] = field(default_factory=dict)
    qos: Mapping[str, Qos] = field(default_factory=dict)
    associations: Sequence[Association] = ()
    in_use: LimitsInUse = field(default_factory=LimitsInUse)
    running: Sequence[Job] = ()
    """Every job that holds something now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit that counts for a job."""

    of: str
    """`qos` or `association`."""
    name: str
    """The QOS; of an association its account, or `account/user`."""
    bound: Bound
    whose: str = ""
    """The user or the account whose jobs count together; empty where all do."""
    group: str = ""
    """The partition that the QOS stands for, where it is one's own."""
    what: str
    """A TRES, `jobs`, or `minutes` of a job's time limit."""
    most: int
    used: int = 0
    wanted: int = 0
    holders: tuple[Job, ...] = ()
    """Running jobs that count against it, those that hold most first."""

    @property
    def is_in_the_way(self) -> bool:
        """True where the job can't start while this much is in use."""
        return self.wanted > 0 and self.used + self.wanted > self.most

    @property
    def is_for_ever(self) -> bool:
        """True where the job wants more than the limit even when nothing is in use."""
        return self.wanted > self.most

    def __str__(self) -> str:
        """`a user's quota of v100: 4 of 4 GPUs in use by ann, this job wants 2`."""
        wants = f"this job wants {_number(self.what, self.wanted)}"
        if self.is_for_ever:
            return f"{self.title}: at most {amount(self.what, self.most)}, {wants}"
        by = f" by {self.whose}" if self.whose else ""
        return f"{self.title}: {_number(self.what, self.used)} of {amount(self.what, self.most)} in use{by}, {wants}"

    @property
    def title(self) -> str:
        """`the quota of a user in v100`, `the quota of team behavior`, ..."""
        if self.of == "association":
            account, _, user = self.name.partition("/")
            return f"the quota of {user} over all groups" if user else f"the quota of team {account} over all groups"
        where = f"in {self.group}" if self.group else f"of QOS {self.name}"
        titles = {
            "user": f"the quota of a user {where}",
            "account": f"the quota of a team {where}",
            "job": f"the limit of one job {where}",
            "node": f"the limit of one node of a job {where}",
        }
        return titles.get(self.bound, f"the quota of all jobs {where}")


def limits_of(shape: Shape, rules: Rules, *, gpu_type: str = "") -> list[Limit]:
    """Return every limit that counts for a job of this shape, in the order in which Slurm looks at them.

    The partition's QOS comes before the job's own (the other way round with the flag OverPartQOS), and both before the
    associations; a limit that one of them sets hides the same limit of those behind (acct_policy.c, 22.05 to 26.05).
    """
    wanted = shape.tres(gpu_type=gpu_type)
    found: list[Limit] = []
    hidden: set[tuple[str, str]] = set()
    for qos, group in _qos_in_order(shape, rules):
        mine = [each for each in _of_qos(qos, group, shape, wanted, rules) if (each.bound, each.what) not in hidden]
        found += mine
        hidden |= {(each.bound, each.what) for each in mine}
    for association in _chain(shape, rules.associations):
        found += [
            each for each in _of_association(association, shape, wanted, rules) if (each.bound, each.what) not in hidden
        ]
    return found


def in_the_way(limits: Iterable[Limit], reason: LimitReason | None = None) -> list[Limit]:
    """Return the limits that keep the job from starting, the one that Slurm's reason names first."""
    blocking = [each for each in limits if each.is_in_the_way]
    return sorted(blocking, key=lambda each: not (reason and _is_named(each, reason)))


def amount(what: str, number: int) -> str:
    """Return `4 GPUs`, `64G memory`, `2 running jobs`."""
    return f"{_number(what, number)} {unit(what, number)}"


def unit(what: str, number: int = 2) -> str:
    """Return the word for what is counted, `GPUs` or `GPU`."""
    words = {"cpu": "CPU", "mem": "memory", "node": "node", "gres/gpu": "GPU", "gres/shard": "GPU share",
             "jobs": "running job", "minutes": "minute"}  # fmt: skip
    word = f"{what.partition(':')[2]} GPU" if what.startswith("gres/gpu:") else words.get(what, what)
    return word if what == "mem" or number == 1 else f"{word}s"


def _number(what: str, number: int) -> str:
    return write_memory(number) if what == "mem" else str(number)


def _is_named(limit: Limit, reason: LimitReason) -> bool:
    what = {"gres": limit.what.startswith("gres/"), "wall": limit.what == "minutes"}
    same = what.get(reason.what, reason.what == limit.what)
    return same and reason.of == limit.of and reason.bound == limit.bound


def _qos_in_order(shape: Shape, rules: Rules) -> list[tuple[Qos, str]]:
    partition = rules.partitions.get(shape.partition)
    of_group = rules.qos.get(partition.qos) if partition else None
    own = rules.qos.get(shape.qos)
    pairs = [(of_group, shape.partition), (own, "")]
    if own and _OVER_PART_QOS in own.flags:
        pairs.reverse()
    return [(qos, group) for qos, group in pairs if qos]


def _chain(shape: Shape, associations: Sequence[Association]) -> Iterator[Association]:
    """Yield the associations that a job counts for: its user's, the account's, and each account above."""
    mine = [each for each in associations if (each.account, each.user) == (shape.account, shape.user)]
    mine.sort(key=lambda each: each.partition != shape.partition)
    if mine and mine[0].partition in {"", shape.partition}:
        yield mine[0]
    accounts = {each.account: each for each in associations if not each.user}
    name, seen = shape.account, set[str]()
    while (account := accounts.get(name)) and name not in seen:
        seen.add(name)
        yield account
        name = account.parent


def _of_qos(qos: Qos, group: str, shape: Shape, wanted: Tres, rules: Rules) -> Iterator[Limit]:
    use = next((each for each in rules.in_use.qos if each.name == qos.name), QosUse(name=qos.name))
    jobs = [each for each in rules.running if _counts_for(each, qos.name, rules)]
    limits = qos.limits
    bounds: tuple[tuple[Bound, str, Tres, int | None, Held], ...] = (
        ("all", "", limits.grp_tres, limits.grp_jobs, use.held),
        ("user", shape.user, limits.max_tres_per_user, limits.max_jobs_per_user, use.users.get(shape.user, Held())),
        (
            "account", shape.account, limits.max_tres_per_account, limits.max_jobs_per_account,
            use.accounts.get(shape.account, Held()),
        ),
    )  # fmt: skip
    for bound, whose, tres, most_jobs, held in bounds:
        theirs = [each for each in jobs if whose in {"", each.user if bound == "user" else each.account}]
        for what, most in _amounts(tres, most_jobs):
            yield Limit(
                of="qos", name=qos.name, bound=bound, whose=whose, group=group, what=what, most=most,
                used=_used(held, what), wanted=_wanted(wanted, what), holders=_sorted(theirs, what),
            )  # fmt: skip
    yield from _of_one_job(limits, shape, wanted, of="qos", name=qos.name, group=group)


def _of_association(each: Association, shape: Shape, wanted: Tres, rules: Rules) -> Iterator[Limit]:
    same = (
        use
        for use in rules.in_use.associations
        if (use.account, use.user, use.partition) == (each.account, each.user, each.partition)
    )
    held = next(same, AssociationUse(account=each.account)).held
    below = _below(each.account, rules.associations)
    jobs = [job for job in rules.running if job.account in below and each.user in {"", job.user}]
    name = f"{each.account}/{each.user}" if each.user else each.account
    most_jobs = _least(each.limits.grp_jobs, each.limits.max_jobs_per_user if each.user else None)
    for what, most in _amounts(each.limits.grp_tres, most_jobs):
        yield Limit(
            of="association", name=name, bound="all", whose=each.user, what=what, most=most,
            used=_used(held, what), wanted=_wanted(wanted, what), holders=_sorted(jobs, what),
        )  # fmt: skip
    yield from _of_one_job(each.limits, shape, wanted, of="association", name=name)


def _of_one_job(limits: Limits, shape: Shape, wanted: Tres, *, of: str, name: str, group: str = "") -> Iterator[Limit]:
    for what, most in limits.max_tres_per_job.items():
        if what not in _NOT_OURS:
            yield Limit(of=of, name=name, bound="job", group=group, what=what, most=most, wanted=_wanted(wanted, what))
    for what, most in limits.max_tres_per_node.items():
        if what not in _NOT_OURS:
            on_each = -(-_wanted(wanted, what) // shape.nodes)
            yield Limit(of=of, name=name, bound="node", group=group, what=what, most=most, wanted=on_each)
    if limits.max_wall is not None and shape.time_limit is not None:
        most, asked = (int(each.total_seconds()) // 60 for each in (limits.max_wall, shape.time_limit))
        yield Limit(of=of, name=name, bound="job", group=group, what="minutes", most=most, wanted=asked)


def _amounts(tres: Tres, most_jobs: int | None) -> Iterator[tuple[str, int]]:
    yield from ((what, most) for what, most in tres.items() if what not in _NOT_OURS)
    if most_jobs is not None:
        yield "jobs", most_jobs


def _used(held: Held, what: str) -> int:
    return held.jobs if what == "jobs" else held.tres.get(what, 0)


def _wanted(wanted: Tres, what: str) -> int:
    return 1 if what == "jobs" else wanted.get(what, 0)


def _sorted(jobs: Iterable[Job], what: str) -> tuple[Job, ...]:
    holding = [each for each in jobs if what == "jobs" or each.tres.get(what)]
    return tuple(sorted(holding, key=lambda each: (-each.tres.get(what, 1), each.job_id)))


def _counts_for(job: Job, qos: str, rules: Rules) -> bool:
    partition = rules.partitions.get(job.partition)
    return qos == job.qos or (partition is not None and partition.qos == qos)


def _below(account: str, associations: Sequence[Association]) -> set[str]:
    """Return the account and all below it; parents stand before their children, however deep."""
    found = {account}
    for _ in associations:
        more = {each.account for each in associations if not each.user and each.parent in found} - found
        if not more:
            break
        found |= more
    return found


def _least(*limits: int | None) -> int | None:
    return min((each for each in limits if each is not None), default=None)
