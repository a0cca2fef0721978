"""From what is wanted and what is there to the changes of slurmdbd; nothing is done here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

from aistation_slurm.cluster.changes import (
    AddUsers,
    Change,
    CreateAccounts,
    CreateQos,
    DeleteAccounts,
    DeleteQos,
    ModifyAssociations,
    ModifyQos,
    RemoveUsers,
    Rights,
    SetDefaultAccount,
)
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.account_tree import ROOT, coordinators, left_behind, moves
from aistation_slurm.cluster.wanted.desired import FAIRSHARE, JOB_QOS, NORMAL, Desired, WantedAccount, WantedUser
from aistation_slurm.cluster.wanted.limits import association_values, qos_values
from aistation_slurm.errors import SpecError
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Association, Qos
from aistation_slurm.slurm.writer.limits import Values

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def strangers(desired: Desired, observed: Observed) -> Iterator[SpecError]:
    """Yield the names that the cluster file needs and the site already uses for something of its own."""
    qos = [each for each in desired.qos if each in observed.qos and not observed.is_our_qos(each) and each != NORMAL]
    accounts = [each for each in desired.accounts if each in observed.accounts and not observed.is_our_account(each)]
    for noun, names in (("QOS", qos), ("account", accounts)):
        if names:
            command = f"sacctmgr modify {noun.lower()} where name={','.join(names)} set description={MARK}"
            text = f"{noun} {', '.join(names)}: made by the site, not by us"
            yield SpecError(text, where=desired.cluster, hint=f"rename it in the file, or hand it over: {command}")
    yield from left_behind(desired, observed, _going(desired, observed))


def accounting_changes(desired: Desired, observed: Observed) -> Iterator[Change]:
    """Yield what must change in slurmdbd."""
    steps, parents = moves(desired, observed, _going(desired, observed))
    yield from _qos(desired, observed)
    yield from _accounts(desired, observed)
    yield from steps
    yield from _users(desired, observed)
    yield from coordinators(desired, observed, parents)
    yield from _leavers(desired, observed)
    yield from _deletions(desired, observed)


def _qos(desired: Desired, observed: Observed) -> Iterator[Change]:
    missing = [each for each in desired.qos.values() if each.name not in observed.qos]
    for values, names in _alike((_key({**each.values, **each.at_first}), each.name) for each in missing):
        yield CreateQos(tuple(names), dict(values))
    for wanted in desired.qos.values():
        found = observed.qos.get(wanted.name)
        if found and observed.is_our_qos(wanted.name) and (old := observed_qos(found)) != wanted.values:
            yield ModifyQos(wanted.name, old, wanted.values)


def observed_qos(qos: Qos) -> Values:
    """Return what a QOS has, in sacctmgr's words, as far as we set any of it."""
    values = {
        "Flags": ",".join(sorted(qos.flags)),
        "Priority": str(qos.priority or ""),
        "Preempt": ",".join(sorted(qos.preempt)),
        "PreemptMode": qos.preempt_mode.lower().replace("cluster", ""),
    }
    return {**{key: value for key, value in values.items() if value}, **qos_values(qos.limits)}


def _accounts(desired: Desired, observed: Observed) -> Iterator[Change]:
    missing, changed = [], []
    for account in sorted(desired.accounts.values(), key=lambda each: len(desired.above(each.name))):
        found = observed.associations.get((account.name, ""))
        if found is None:
            above = {} if account.parent in {None, ROOT} else {"Parent": account.parent}
            missing.append(((_qos_list(account.qos), _key({**account.values, **above})), account.name))
        elif change := _modified(desired, account, found):
            changed.append(change)
    for (qos, limits), names in _alike(missing):
        yield CreateAccounts(desired.cluster, tuple(names), qos, dict(limits))
    yield from changed


def _users(desired: Desired, observed: Observed) -> Iterator[Change]:
    missing, changed = [], []
    for (account, user), wanted in desired.users.items():
        found = observed.associations.get((account, user))
        if found is None:
            missing.append(((account, _qos_list(wanted.qos), _key(wanted.limits)), user))
        elif change := _modified(desired, wanted, found):
            changed.append(((account, change.rights, _key(change.old), _key(change.new)), user))
    for (account, qos, limits), users in _alike(missing):
        yield AddUsers(desired.cluster, account, tuple(users), qos, dict(limits))
    for (account, rights, old, new), users in _alike(changed):
        yield ModifyAssociations(desired.cluster, account, tuple(users), rights, dict(old), dict(new))


def _modified(desired: Desired, wanted: WantedAccount | WantedUser, found: Association) -> ModifyAssociations | None:
    """Return what must change in an association, or None."""
    have = set(found.qos)
    give = tuple(each for each in JOB_QOS if each in wanted.qos - have)
    take = tuple(each for each in JOB_QOS if each in have - wanted.qos and each != NORMAL)
    old, new, rights = association_values(found.limits), wanted.values, Rights(give, take)
    if FAIRSHARE in new:
        old = {**old, FAIRSHARE: "parent" if found.share is None else str(found.share)}
    if rights == Rights() and old == new:
        return None
    return ModifyAssociations(desired.cluster, found.account, (), rights, old, new)


def _leavers(desired: Desired, observed: Observed) -> Iterator[Change]:
    """Yield the removal of users from accounts of ours, after another account has become their default."""
    gone = [
        (account, user)
        for account, user in observed.associations
        if user and _may_go(desired, observed, account) and (account, user) not in desired.users
    ]
    moves = []
    for account, user in gone:
        left = _accounts_left(desired, observed, user, account)
        if left and account == _default_account(observed, user):
            moves.append((left, user))
    for account, users in _alike(moves):
        yield SetDefaultAccount(desired.cluster, tuple(users), account)
    # Whoever leaves all of them leaves the default account last, and in a call without those who stay elsewhere:
    # slurmdbd refuses to take a default account otherwise (seen on 22.05).
    movers = {user for _, users in _alike(moves) for user in users}
    last = {(account, user) for account, user in gone if account == _default_account(observed, user)}
    last = {(account, user) for account, user in last if user not in movers}
    for pairs in ([each for each in gone if each not in last], [each for each in gone if each in last]):
        for account, users in _alike(pairs):
            yield RemoveUsers(desired.cluster, account, tuple(users))


def _default_account(observed: Observed, user: str) -> str:
    return observed.users[user].default_account if user in observed.users else ""


def _accounts_left(desired: Desired, observed: Observed, user: str, leaving: str) -> str:
    """Return an account that the user still has afterwards: one of the file's, else one of the site's."""
    sites = [
        account
        for account, name in observed.associations
        if name == user and account != leaving and not _may_go(desired, observed, account)
    ]
    return next(iter([*desired.accounts_of(user), *sites]), "")


def _deletions(desired: Desired, observed: Observed) -> Iterator[Change]:
    if gone := _going(desired, observed):
        yield DeleteAccounts(desired.cluster, gone)
    used = _used_by_the_site(desired, observed)
    unused = [name for name in observed.qos if observed.is_our_qos(name) and name not in {*desired.qos, *used}]
    if unused and not observed.other_clusters:
        yield DeleteQos(tuple(unused))


def _going(desired: Desired, observed: Observed) -> tuple[str, ...]:
    """Return the accounts that are to go."""
    accounts = [name for name, user in observed.associations if not user and _may_go(desired, observed, name)]
    return tuple(name for name in accounts if name not in desired.accounts)


def _may_go(desired: Desired, observed: Observed, account: str) -> bool:
    """True where we made the account, and the cluster file does not leave it to the site."""
    return observed.is_our_account(account) and account not in desired.left_alone


def _used_by_the_site(desired: Desired, observed: Observed) -> set[str]:
    """Return the QOS that accounts of the site's own rest on.

    A QOS that goes is taken from every association, and whoever had only that one may submit nothing more.
    """
    rows = [row for (account, _), row in observed.associations.items() if not _may_go(desired, observed, account)]
    return {name for row in rows for name in (*row.qos, row.default_qos)}


def _alike(pairs: Iterable[tuple[K, V]]) -> list[tuple[K, list[V]]]:
    """Return the values gathered by key, in the order in which the keys came."""
    gathered: dict[K, list[V]] = defaultdict(list)
    for key, value in pairs:
        gathered[key].append(value)
    return list(gathered.items())


def _key(values: Values) -> tuple[tuple[str, str], ...]:
    return tuple(values.items())


def _qos_list(qos: frozenset[str]) -> tuple[str, ...]:
    return tuple(each for each in JOB_QOS if each in qos)
