"""What somebody changed in Slurm by hand since the last apply, told apart from what the cluster file changes.

The cluster file as it was last applied says what Slurm was then; what is otherwise now was changed by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from aistation_slurm.cluster.changes import (
    AddCoordinators,
    AddUsers,
    Change,
    CreateAccounts,
    CreateQos,
    DeleteAccounts,
    DeleteQos,
    EditLines,
    ModifyAssociations,
    ModifyQos,
    MoveAccounts,
    RemoveCoordinators,
    RemoveUsers,
    Rights,
    TellController,
)
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.tell import differences_of
from aistation_slurm.cluster.site.changes import told_lines
from aistation_slurm.cluster.site.edits import wanted_edits
from aistation_slurm.cluster.site.text import SiteText
from aistation_slurm.cluster.wanted.desired import FAIRSHARE, Desired, WantedAccount, desired
from aistation_slurm.slurm.nodelist import fold
from aistation_slurm.slurm.units import write_duration
from aistation_slurm.slurm.writer.limits import Values, differences
from aistation_slurm.spec import ClusterSpec


def with_drift(changes: Sequence[Change], last: ClusterSpec | None, observed: Observed) -> list[Change]:
    """Return the changes, each with what it would undo of what was changed by hand; `last` is what was applied last."""
    if last is None:
        return list(changes)
    before = desired(last)
    return [
        replace(change, by_hand=found) if (found := tuple(_by_hand(change, before, last, observed))) else change
        for change in changes
    ]


def _by_hand(change: Change, before: Desired, last: ClusterSpec, observed: Observed) -> Iterator[str]:
    match change:
        case CreateQos():
            yield from _gone("qos", change.names, before.qos)
        case ModifyQos() if change.name in before.qos:
            yield from _changed(before.qos[change.name].values, change.old)
        case DeleteQos():
            yield from _came("qos", change.names, before.qos)
        case CreateAccounts():
            yield from _gone("account", change.names, before.accounts)
        case DeleteAccounts():
            yield from _came("account", change.names, before.accounts)
        case AddUsers():
            yield from _gone(
                "user", change.users, [user for account, user in before.users if account == change.account]
            )
        case RemoveUsers():
            yield from _came(
                "user", change.users, [user for account, user in before.users if account == change.account]
            )
        case ModifyAssociations():
            yield from _of_members(change, before)
        case MoveAccounts():
            moved = [each for each in change.names if _row(before, each).parent == change.parent]
            yield from [f"account {_few(moved)} was moved"] if moved else []
        case AddCoordinators() | RemoveCoordinators():
            yield from _of_coordinators(change, before)
        case TellController():
            yield from _of_groups(last, observed)
        case EditLines():
            yield from _of_lines(change, last, observed)


def _gone(what: str, names: Iterable[str], before: Iterable[str]) -> Iterator[str]:
    if gone := sorted(set(names) & set(before)):
        yield f"{what} {_few(gone)} was removed"


def _came(what: str, names: Iterable[str], before: Iterable[str]) -> Iterator[str]:
    if came := sorted(set(names) - set(before)):
        yield f"{what} {_few(came)} was added"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ",".join(names[:5]) + more


def _changed(before: Values, now: Values) -> Iterator[str]:
    if before != now:
        yield differences(before, now)


def _of_members(change: ModifyAssociations, before: Desired) -> Iterator[str]:
    """Yield what is otherwise than it was for those whom the change is about, alike ones together."""
    rows: dict[str, list[str]] = {}
    for user in change.users or ("",):
        row = before.users.get((change.account, user)) if user else before.accounts.get(change.account)
        if row is None:
            continue
        now = {key: value for key, value in change.old.items() if key != FAIRSHARE or key in row.values}
        said = [*_changed(row.values, now), *_rights(change.rights, row.qos)]
        if said:
            rows.setdefault("  ".join(said), []).append(user)
    for text, users in rows.items():
        yield text if len(users) == len(change.users or ("",)) else f"{_few(users)}: {text}"


def _row(before: Desired, account: str) -> WantedAccount:
    return before.accounts.get(account) or WantedAccount(account, frozenset())


def _of_coordinators(change: AddCoordinators | RemoveCoordinators, before: Desired) -> Iterator[str]:
    for account in change.accounts:
        had = _row(before, account).coordinators
        if had is None:
            continue
        came = isinstance(change, RemoveCoordinators)
        if users := [each for each in change.users if (each in had) is not came]:
            yield f"coordinator {_few(users)} of {account} was {'added' if came else 'removed'}"


def _rights(rights: Rights, before: frozenset[str]) -> Iterator[str]:
    if taken := [each for each in rights.give if each in before]:
        yield f"QOS {','.join(taken)} was taken"
    if given := [each for each in rights.take if each not in before]:
        yield f"QOS {','.join(given)} was given"


def _of_lines(change: EditLines, last: ClusterSpec, observed: Observed) -> Iterator[str]:
    """Yield which lines of the site's file are not what we had made of them."""
    was = wanted_edits(last, observed.site, has_lua=observed.has_lua).files.get(change.path)
    if was is not None and change.old is not None:
        yield from told_lines(was.edits_to(SiteText(change.old), change.path))


def _of_groups(last: ClusterSpec, observed: Observed) -> Iterator[str]:
    """Yield what slurmctld's partitions have otherwise than was applied, such as after `scontrol update`."""
    for name in last.managed_groups():
        found = observed.partitions.get(name)
        if found is None:
            continue
        for key, (now, was) in differences_of(name, last, found).items():
            yield f"partition {name} {key} {_said(key, was)} -> {_said(key, now)}"


def _said(key: str, value: object) -> str:
    if isinstance(value, frozenset):
        names = sorted(map(str, value))
        return (fold(names) if key == "Nodes" else ",".join(names)) or "none"
    if value is None or value == "":
        return "none"
    return write_duration(value) if isinstance(value, timedelta) else str(value)
