"""Orders to slurmdbd: QOS, accounts, users and associations with their limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypedDict, Unpack

from aistation_slurm.errors import InvalidRequest, UnknownToSlurm
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.model import Account, Association, Limits, Qos
from aistation_slurm.slurm.refusals import complaints_in, refusal
from aistation_slurm.slurm.runner import Completed, shown
from aistation_slurm.slurm.writer.limits import ASSOCIATION_LIMITS, NOTHING, QOS_LIMITS, limit_words
from aistation_slurm.slurm.writer.orders import Orders, listed, one_name

# What sacctmgr says where nothing had to be done, 22.05 to 26.05; on stdout, and 24.11 now and then on stderr.
_NOTHING_TO_DO = re.compile(
    r"(?:sacctmgr: error: )?(?:Nothing (?:new added|added|modified|deleted|removed)\.?|Already existing .*"
    r"|Request didn't affect anything|Error with request: Data has not changed since time specified)"
)
_HUNG_UP = "sacctmgr: error: Getting response to message type: DBD_FINI"
"""What sacctmgr 26.05 may say beside a refusal: that slurmdbd hung up before it was told to take back nothing."""
_COMPLAINT = re.compile(r"no (?:parent )?account|doesn't exist|denied|problem|unknown|skipping", re.IGNORECASE)
_ERROR = re.compile(r"^sacctmgr: error: ", re.MULTILINE)

Names = tuple[str, ...]


class QosChanges(TypedDict, total=False):
    """What a QOS is made of; what is not named stays as it is, or as Slurm makes it."""

    priority: int
    preempt: Names
    preempt_mode: str
    grace_time: timedelta | None
    flags: Names
    """Slurm's words: `DenyOnLimit`, `OverPartQOS`, ..."""
    usage_factor: float
    limits: Limits
    """All of its limits: what is not limited here is limited no more."""


class AssociationChanges(TypedDict, total=False):
    """What an association is made of; what is not named stays as it is, or as its account has it."""

    parent: str
    """The account above; only an account's own association has one."""
    share: int | None
    """None: it counts as its parent."""
    qos: Names
    """Those that it may use; nobody named: those of its account."""
    default_qos: str
    """Empty takes it back."""
    limits: Limits
    """All of its own limits: what is not limited here is limited by its account alone."""


_QOS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "priority": ("Priority", str),
    "preempt": ("Preempt", lambda names: listed("QOS", names)),
    "preempt_mode": ("PreemptMode", lambda mode: one_name("preempt mode", mode)),
    "grace_time": ("GraceTime", lambda time: str(int(time.total_seconds())) if time else "0"),
    "flags": ("Flags", lambda flags: listed("flag", flags) or NOTHING),
    "usage_factor": ("UsageFactor", str),
}
_ASSOCIATION: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "parent": ("Parent", lambda name: one_name("account", name)),
    "share": ("Fairshare", lambda share: "parent" if share is None else str(share)),
    "qos": ("QOS", lambda names: listed("QOS", names)),
    "default_qos": ("DefaultQOS", lambda name: one_name("QOS", name) if name else NOTHING),
}


class AccountingOrders(Orders):
    """Adds, changes and takes away; only QOS and accounts that carry our mark are ever deleted.

    What adds or deletes returns False where there was nothing to do, what changes raises `UnknownToSlurm` where there
    is nothing of that name: sacctmgr tells it by the same "Nothing modified" on every release.
    """

    def add_qos(self, name: str, *, description: str = MARK, **wishes: Unpack[QosChanges]) -> bool:
        """Make the QOS; False where there is one of that name, which stays as it is."""
        words = (one_name("QOS", name), f"Description={_text(description)}", *_qos_words(wishes))
        return self._account("add", "qos", *words)

    def modify_qos(self, qos: Qos, **changes: Unpack[QosChanges]) -> None:
        """Change the QOS from what it was read as; nothing is said to Slurm where it is so already."""
        words = _qos_words(changes, old=qos)
        self._modify("qos", (f"name={one_name('QOS', qos.name)}",), words)

    def delete_qos(self, qos: Qos) -> bool:
        """Take away a QOS of ours; False where it was gone.

        Up to 24.11 one that jobs still use goes all the same; one that a partition names is fatal to slurmctld's
        next start.

        Raises:
            ValueError: it does not carry our mark.
        """
        _check_ours("QOS", qos.name, qos.description)
        return self._account("delete", "qos", "where", f"name={one_name('QOS', qos.name)}")

    def add_account(
        self, name: str, *, cluster: str, description: str = MARK, **wishes: Unpack[AssociationChanges]
    ) -> bool:
        """Make the account on this cluster, below root where no parent is named; False where it is there, as it is."""
        words = (
            one_name("account", name),
            f"Cluster={one_name('cluster', cluster)}",
            f"Description={_text(description)}",
            f"Organization={_text(description)}",
        )
        return self._account("add", "account", *words, *_association_words(wishes))

    def delete_account(self, account: Account, *, cluster: str) -> bool:
        """Take away an account of ours with all its associations on this cluster; False where it was gone.

        Raises:
            ValueError: it does not carry our mark.
            InUse: a job of it runs, or it is somebody's default account.
        """
        _check_ours("account", account.name, account.description)
        where = (f"name={one_name('account', account.name)}", f"cluster={one_name('cluster', cluster)}")
        return self._account("delete", "account", "where", *where)

    def add_user(self, name: str, *, account: str, cluster: str, **wishes: Unpack[AssociationChanges]) -> bool:
        """Make the user a member of the account on this cluster; False where that is so, and stays as it is."""
        where = (f"Account={one_name('account', account)}", f"Cluster={one_name('cluster', cluster)}")
        return self._account("add", "user", one_name("user", name), *where, *_association_words(wishes))

    def remove_user(self, name: str, *, account: Account, cluster: str) -> bool:
        """Take the user out of an account of ours on this cluster; False where they were not in it.

        A user who is in no account any more goes altogether.

        Raises:
            ValueError: the account does not carry our mark.
            InUse: a job of theirs runs in it, or it is their default account and not their last one.
        """
        _check_ours("account", account.name, account.description)
        where = (
            f"name={one_name('user', name)}",
            f"account={one_name('account', account.name)}",
            f"cluster={one_name('cluster', cluster)}",
        )
        return self._account("delete", "user", "where", *where)

    def modify_user(self, name: str, *, default_account: str, cluster: str) -> None:
        """Make the account the one that the user's jobs belong to where they name none."""
        where = (f"name={one_name('user', name)}", f"cluster={one_name('cluster', cluster)}")
        self._modify("user", where, (f"DefaultAccount={one_name('account', default_account)}",))

    def modify_association(self, association: Association, **changes: Unpack[AssociationChanges]) -> None:
        """Change the association from what it was read as; nothing is said to Slurm where it is so already."""
        noun = "user" if association.user else "account"
        words = _association_words(changes, old=association)
        if any(word.startswith("Parent=") for word in words):
            self._raise_without_account(changes["parent"], association.cluster)
        self._modify(noun, _where(association), words)

    def sacctmgr(self, *words: str) -> str:
        """Return what sacctmgr printed; that there was nothing to add, modify or delete is no error."""
        return self._sacctmgr(*words).stdout

    def _account(self, *words: str) -> bool:
        return not self._sacctmgr(*words).returncode

    def _raise_without_account(self, name: str, cluster: str) -> None:
        """Look for a parent first: sacctmgr 24.11 takes one that is not there without a word, and changes nothing."""
        argv = ("sacctmgr", "-n", "-P", "show", "association", f"account={one_name('account', name)}")
        if not self._order((*argv, f"cluster={cluster}", "format=account")).stdout.strip():
            raise UnknownToSlurm(f"no account {name!r} on {cluster}", where=shown(argv))

    def _modify(self, noun: str, where: Names, words: Names) -> None:
        if not words:
            return
        argv = ("modify", noun, "where", *where, "set", *words)
        if self._sacctmgr(*argv).returncode:
            raise UnknownToSlurm(f"no such {noun}", where=shown(("sacctmgr", *argv)))

    def _sacctmgr(self, *words: str) -> Completed:
        """Return what sacctmgr answered.

        A value that it can't read it only complains about, and does the rest: that is no success.
        """
        argv = ("sacctmgr", "-i", *words)
        done = self._order(argv, is_done=_is_so_already)
        if not done.returncode and _ERROR.search(done.stderr) and not _is_so_already(done):
            raise refusal(argv, done)
        return done


def _where(association: Association) -> Names:
    account = one_name("account", association.account)
    who = f"name={one_name('user', association.user)}" if association.user else f"name={account}"
    where = (who, *((f"account={account}",) if association.user else ()))
    where = (*where, f"cluster={one_name('cluster', association.cluster)}")
    return (*where, f"partition={one_name('partition', association.partition)}") if association.partition else where


def _qos_words(changes: QosChanges, *, old: Qos | None = None) -> Names:
    limits = changes.get("limits")
    words = _changed(_QOS, changes, old)
    if limits is None:
        return words
    return (*words, *limit_words(QOS_LIMITS, old=old.limits if old else Limits(), new=limits))


def _association_words(changes: AssociationChanges, *, old: Association | None = None) -> Names:
    limits = changes.get("limits")
    words = _changed(_ASSOCIATION, changes, old)
    if limits is None:
        return words
    return (*words, *limit_words(ASSOCIATION_LIMITS, old=old.limits if old else Limits(), new=limits))


def _changed(
    table: Mapping[str, tuple[str, Callable[[Any], str]]], changes: Mapping[str, Any], old: Qos | Association | None
) -> Names:
    wanted = {key: value for key, value in changes.items() if key in table}
    if old is not None:
        wanted = {key: value for key, value in wanted.items() if _plain(getattr(old, key)) != _plain(value)}
    return tuple(f"{table[key][0]}={table[key][1](value)}" for key, value in wanted.items())


def _plain(value: object) -> object:
    """Return the value so that two that mean the same to Slurm are equal: no grace time is 0 s, lists have no order."""
    if isinstance(value, tuple):
        return frozenset(value)
    return value or None if isinstance(value, timedelta) else value


def _check_ours(kind: str, name: str, description: str) -> None:
    if description != MARK:
        raise ValueError(f"the {kind} {name!r} is not ours: its description is {description!r}")


def _text(value: str) -> str:
    if not value.isprintable():
        raise InvalidRequest(f"{value!r} holds a character that a description can't hold")
    return value


def _is_so_already(done: Completed) -> bool:
    """True where sacctmgr found nothing to do, and complains about nothing."""
    complaints = [line for line in complaints_in(done.stderr) if line != _HUNG_UP]
    if _COMPLAINT.search(done.stdout) or not all(_NOTHING_TO_DO.fullmatch(line) for line in complaints):
        return False
    return bool(complaints) or any(_NOTHING_TO_DO.fullmatch(line.strip()) for line in done.stdout.splitlines())
