"""Teams from accounts: their people, who stands above them, and what they may have; and the users' total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aistation_slurm.cluster.imported.entry import Entry
from aistation_slurm.cluster.imported.quotas import PER_SOMEBODY, quota_of, rest_of
from aistation_slurm.cluster.imported.seen import ROOT, Remarks, Seen
from aistation_slurm.cluster.imported.words import Data
from aistation_slurm.cluster.wanted.desired import DEVELOPMENT, EMERGENCY, NORMAL
from aistation_slurm.slurm.model import Association
from aistation_slurm.spec import is_user

MOST_WEIGHT = 1_000_000
_GROUP_LIMITS = ("grp_tres", "grp_jobs", "grp_submit_jobs")


def teams_of(seen: Seen, ours: frozenset[str], models: frozenset[str], remarks: Remarks) -> dict[str, Entry]:
    """Return the teams, parents first; `ours` are those that are ours to write."""
    for row in seen.rows:
        if not row.user and row.account not in seen.teams and row.account != ROOT:
            remarks.add(f"account {row.account}", "its name can't be a team's")
    return {name: _team(seen, row, name in ours, models, remarks) for name, row in seen.teams.items()}


def _team(seen: Seen, row: Association, is_ours: bool, models: frozenset[str], remarks: Remarks) -> Entry:
    people = seen.members(row.account)
    names = sorted({each.user for each in people if is_user(each.user)})
    if lost := sorted({each.user for each in people} - set(names)):
        remarks.add(f"users {', '.join(lost)} of account {row.account}", "no Unix names")
    data: dict[str, Data] = {
        "members": names,
        "emergency": sorted({each.user for each in people if EMERGENCY in each.qos} & set(names)),
        "coordinators": _coordinators(seen, row.account, names, remarks),
        "parent": _parent(seen, row, remarks),
        **_weight(row, remarks),
    }
    said = quota_of(row.limits.grp_tres, jobs=row.limits.grp_jobs, submitted=row.limits.grp_submit_jobs, models=models)
    if unsaid := [*said.unsaid, *rest_of(row.limits, *_GROUP_LIMITS)]:
        remarks.add(f"account {row.account}", f"{' '.join(unsaid)}: no key says that")
    _unsaid_of_users(row, people, remarks)
    return Entry(data, is_ours, {"": said.quota})


def _coordinators(seen: Seen, account: str, members: Sequence[str], remarks: Remarks) -> Sequence[str]:
    found = seen.observed.accounts[account].coordinators if account in seen.observed.accounts else ()
    if strangers := sorted(set(found) - set(members)):
        remarks.add(f"coordinator {', '.join(strangers)} of account {account}", "not a member of it")
    return sorted(set(found) & set(members))


def _parent(seen: Seen, row: Association, remarks: Remarks) -> str:
    if row.parent in seen.teams:
        return row.parent
    if row.parent not in {"", ROOT}:
        remarks.add(f"account {row.account}", f"its parent {row.parent} is no team")
    return ""


def _weight(row: Association, remarks: Remarks) -> dict[str, Data]:
    if row.share is not None and 1 < row.share <= MOST_WEIGHT:
        return {"weight": row.share}
    if row.share != 1:
        said = "parent" if row.share is None else row.share
        remarks.add(f"account {row.account}", f"Fairshare={said}: no key says that")
    return {}


def _unsaid_of_users(account: Association, people: Sequence[Association], remarks: Remarks) -> None:
    """Remark on what users have of their own, those together who have the same."""
    found: dict[str, list[str]] = {}
    for row in people:
        rest = [each for each in rest_of(row.limits, *_GROUP_LIMITS) if each not in rest_of(account.limits)]
        share = [] if row.share == 1 else [f"Fairshare={'parent' if row.share is None else row.share}"]
        if said := " ".join([*share, *rest]):
            found.setdefault(said, []).append(row.user)
    for said, names in found.items():
        remarks.add(f"{_some('user', names)} of account {account.account}", f"{said}: no key says that")


def _some(noun: str, names: Sequence[str]) -> str:
    if len(names) > 3:
        return f"{len(names)} {noun}s"
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}"


def users_quota(
    seen: Seen, accounts: Iterable[str], models: frozenset[str], remarks: Remarks, *, of_most: bool
) -> dict[str, Data]:
    """Return what each user of these accounts may have over all groups.

    It is said where all of them have the same; `of_most` takes what most have instead.
    """
    rows = [row for account in accounts for row in seen.members(account)]
    found = Counter((_key(row.limits.grp_tres), row.limits.grp_jobs, row.limits.grp_submit_jobs) for row in rows)
    if not found:
        return {}
    (tres, jobs, submitted), count = found.most_common(1)[0]
    if count < len(rows):
        many = f"{len(rows) - count} of {len(rows)} users have others than the rest"
        remarks.add("limits of users over all groups", f"{many}: no key says that")
        if not of_most:
            return {}
    said = quota_of(dict(tres), jobs=jobs, submitted=submitted, models=models)
    if said.unsaid:
        remarks.add("limits of users over all groups", f"{' '.join(said.unsaid)}: no key says that")
    return said.quota


def _key(tres: dict[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(tres.items()))


def common_qos(seen: Seen) -> str:
    """Return the one QOS that all users' jobs run under unless they say otherwise; nothing where there are several."""
    rows = [row for account in seen.teams for row in seen.members(account)]
    defaults = {row.default_qos or (row.qos[0] if len(row.qos) == 1 else "") for row in rows}
    name = defaults.pop() if len(defaults) == 1 else ""
    return name if name in seen.observed.qos else ""


def qos_quotas(seen: Seen, name: str, models: frozenset[str], remarks: Remarks) -> dict[str, dict[str, Data]]:
    """Return what this QOS allows each user and each account."""
    limits = seen.observed.qos[name].limits
    user = quota_of(
        limits.max_tres_per_user,
        jobs=limits.max_jobs_per_user,
        submitted=limits.max_submit_jobs_per_user,
        models=models,
    )
    team = quota_of(
        limits.max_tres_per_account,
        jobs=limits.max_jobs_per_account,
        submitted=limits.max_submit_jobs_per_account,
        models=models,
    )
    if user.quota or team.quota:
        why = "its limits stand in `quota`, since all users' jobs run under it unless they say otherwise"
        remarks.note(f"QOS {name}", why)
    if unsaid := [*user.unsaid, *team.unsaid]:
        remarks.add(f"QOS {name}", f"{' '.join(unsaid)}: no key says that")
    return {who: said.quota for who, said in (("per_user", user), ("per_team", team)) if said.quota}


def unsaid_qos(seen: Seen, remarks: Remarks, *, said: str) -> None:
    """Remark on each QOS of the site's own that jobs run under and that limits them, or goes first.

    Of the one whose limits for users and accounts are `said` already, only on the others.
    """
    of_partitions = {each.qos for each in seen.observed.partitions.values()}
    for name, qos in seen.observed.qos.items():
        if seen.observed.is_our_qos(name) or name in of_partitions:
            continue
        values = [f"Priority={qos.priority}"] if qos.priority else []
        values += [f"Preempt={','.join(sorted(qos.preempt))}"] if qos.preempt else []
        values += rest_of(qos.limits, *(PER_SOMEBODY if name == said else ()))
        users = len({row.user for row in seen.rows if row.user and name in row.qos})
        if values or (users and name not in {NORMAL, DEVELOPMENT, EMERGENCY}):
            many = f"{users} user{'' if users == 1 else 's'}" if users else "nobody"
            remarks.add(f"QOS {name}, which {many} may use", f"{' '.join(values) or 'its name'}: no key says that")
