"""Which account stands below which, and who coordinates it: what must change; nothing is done here.

slurmdbd takes no circle, and an account that goes takes all below it along: the order of the moves is a part of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from aistation_slurm.cluster.changes import AddCoordinators, MoveAccounts, RemoveCoordinators
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.wanted.desired import Desired
from aistation_slurm.errors import SpecError

Parents = Mapping[str, str]
"""Account -> the one above it; of the highest ones it is root."""
ROOT = "root"


def parents_of(observed: Observed) -> dict[str, str]:
    """Return which account is below which in Slurm."""
    return {account: row.parent for (account, user), row in observed.associations.items() if not user and row.parent}


def moves(desired: Desired, observed: Observed, going: Collection[str]) -> tuple[list[MoveAccounts], Parents]:
    """Return the moves that put each account where the cluster file has it, and how all stand afterwards.

    Raises:
        SpecError: it would take a move of an account that is the site's own.
    """
    parents, steps = parents_of(observed), []
    for name in sorted(desired.accounts, key=lambda each: len(desired.above(each))):
        wanted = desired.accounts[name].parent
        if wanted is None or parents.get(name, wanted) == wanted:
            parents.setdefault(name, wanted or ROOT)
            continue
        if (link := _link(desired, parents, name, wanted)) is not None:
            steps.append(_move(desired, parents, link, parents[name]))
        steps.append(_move(desired, parents, name, wanted))
    orphans = [name for name in desired.accounts if parents[name] in going]
    steps += [_move(desired, parents, name, _staying(parents, name, going)) for name in orphans]
    return _together(steps), parents


def left_behind(desired: Desired, observed: Observed, going: Collection[str]) -> Iterator[SpecError]:
    """Yield what only the site can put right: its accounts below one that is to go, and those that are not there."""
    for name, account in desired.accounts.items():
        if account.parent not in {None, ROOT, *desired.accounts, *(each for each, _ in observed.associations)}:
            text = f"team {name} is to be below account {account.parent}, which Slurm does not have"
            hint = f"it is left to the site: sacctmgr add account {account.parent} cluster={desired.cluster}"
            yield SpecError(text, where=desired.cluster, hint=hint)
    for name, parent in parents_of(observed).items():
        if parent in going and name not in desired.accounts and name not in going:
            text = f"account {name} is the site's own, and stands below team {parent}, which is to go"
            hint = f"sacctmgr modify account where name={name} cluster={desired.cluster} set parent={ROOT}"
            yield SpecError(text, where=desired.cluster, hint=hint)


def coordinators(
    desired: Desired, observed: Observed, after: Parents
) -> Iterator[AddCoordinators | RemoveCoordinators]:
    """Yield who is to become a coordinator and who no more; `after` is how the accounts stand then.

    Slurm shows those of the accounts above among an account's own: they are nobody's to give or to take there.
    """
    before = parents_of(observed)
    add, remove = defaultdict(list), defaultdict(list)
    for name, account in desired.accounts.items():
        if account.coordinators is None:
            continue
        have = _seen(observed, name)
        lost = {user for each in _above(before, name) for user in _seen(observed, each)}
        kept = {user for each in _above(after, name) for user in _wanted(desired, observed, each)}
        if new := account.coordinators - (have - (lost - kept)):
            add[tuple(sorted(new))].append(name)
        if old := have - account.coordinators - kept:
            remove[tuple(sorted(old))].append(name)
    yield from (AddCoordinators(tuple(names), users) for users, names in add.items())
    yield from (RemoveCoordinators(tuple(names), users) for users, names in remove.items())


def _above(parents: Parents, name: str) -> Iterator[str]:
    while (name := parents.get(name, ROOT)) != ROOT:
        yield name


def _link(desired: Desired, parents: Parents, name: str, wanted: str) -> str | None:
    """Return the account that stands between the two, where the wanted parent is below the account now.

    Raises:
        SpecError: there is none of ours whose place the cluster file leaves open.
    """
    chain = [wanted, *_above(parents, wanted)]
    if name not in chain:
        return None
    for each in chain[: chain.index(name)]:
        if each in desired.accounts and desired.accounts[each].parent is None:
            return each
    text = f"team {name} can't be below {wanted}: that is the site's own, and stands below {name}"
    hint = f"sacctmgr modify account where name={wanted} cluster={desired.cluster} set parent={ROOT}"
    raise SpecError(text, where=desired.cluster, hint=hint)


def _move(desired: Desired, parents: dict[str, str], name: str, parent: str) -> MoveAccounts:
    old, parents[name] = parents[name], parent
    return MoveAccounts(desired.cluster, (name,), old, parent)


def _staying(parents: Parents, name: str, going: Collection[str]) -> str:
    return next((each for each in _above(parents, name) if each not in going), ROOT)


def _together(steps: list[MoveAccounts]) -> list[MoveAccounts]:
    """Return the moves, those from and to the same place that follow each other as one."""
    found: list[MoveAccounts] = []
    for step in steps:
        last = found[-1] if found else None
        if last and (last.old, last.parent) == (step.old, step.parent):
            found[-1] = MoveAccounts(step.cluster, (*last.names, *step.names), step.old, step.parent)
        else:
            found.append(step)
    return found


def _seen(observed: Observed, account: str) -> set[str]:
    return set(observed.accounts[account].coordinators) if account in observed.accounts else set()


def _wanted(desired: Desired, observed: Observed, account: str) -> set[str]:
    """Return who coordinates an account once the plan is carried out, as far as it is told there."""
    found = desired.accounts.get(account)
    return set(found.coordinators) if found and found.coordinators is not None else _seen(observed, account)
