"""Changes of slurmdbd: QOS, accounts, users and their associations.

Rows that are to become alike are changed together: 120 users are added by a dozen calls of sacctmgr.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aistation_slurm.cluster.changes.base import Change, line, words
from aistation_slurm.slurm.marks import MARK
from aistation_slurm.slurm.writer.limits import Values, differences, set_words


@dataclass(frozen=True, slots=True)
class CreateQos(Change):
    """QOS that the cluster file asks for and slurmdbd lacks."""

    rank: ClassVar[int] = 10

    names: tuple[str, ...]
    values: Values

    def __str__(self) -> str:
        return line("+ qos", self.names, words(self.values))

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        return ("sacctmgr", "add", "qos", ",".join(self.names), f"Description={MARK}", *words(self.values))

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class ModifyQos(Change):
    """A QOS of ours whose values are not what the cluster file says."""

    rank: ClassVar[int] = 12

    name: str
    old: Values
    new: Values

    def __str__(self) -> str:
        return line("~ qos", (self.name,), [differences(self.old, self.new)])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        return ("sacctmgr", "modify", "qos", "where", f"name={self.name}", "set", *set_words(self.old, self.new))


@dataclass(frozen=True, slots=True)
class CreateAccounts(Change):
    """Teams that the cluster lacks."""

    rank: ClassVar[int] = 20

    cluster: str
    names: tuple[str, ...]
    qos: tuple[str, ...]
    limits: Values

    def __str__(self) -> str:
        return line("+ account", self.names, words(self.limits))

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        mark = (f"Description={MARK}", f"Organization={MARK}")
        names = ",".join(self.names)
        return (
            "sacctmgr",
            "add",
            "account",
            names,
            f"cluster={self.cluster}",
            *mark,
            *_rights(self.qos),
            *words(self.limits),
        )

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class MoveAccounts(Change):
    """Accounts that are not below the one that the cluster file names; made in the order in which they stand."""

    rank: ClassVar[int] = 22

    cluster: str
    names: tuple[str, ...]
    old: str
    parent: str

    def __str__(self) -> str:
        return line("~ account", self.names, [f"Parent {self.old} -> {self.parent}"])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        where = (f"name={','.join(self.names)}", f"cluster={self.cluster}")
        return ("sacctmgr", "modify", "account", "where", *where, "set", f"parent={self.parent}")

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class AddUsers(Change):
    """Members whom a team lacks."""

    rank: ClassVar[int] = 30

    cluster: str
    account: str
    users: tuple[str, ...]
    qos: tuple[str, ...]
    limits: Values

    def __str__(self) -> str:
        return line("+ user", self.users, [f"in {self.account}", f"qos={','.join(self.qos)}", *words(self.limits)])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        where = (f"account={self.account}", f"cluster={self.cluster}")
        return ("sacctmgr", "add", "user", ",".join(self.users), *where, *_rights(self.qos), *words(self.limits))

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.users)


@dataclass(frozen=True, slots=True)
class Rights:
    """QOS to be given and taken; others that somebody gave by hand stay."""

    give: tuple[str, ...] = ()
    take: tuple[str, ...] = ()

    def words(self) -> tuple[str, ...]:
        """Return sacctmgr's words."""
        return (*(f"QOS+={each}" for each in self.give), *(f"QOS-={each}" for each in self.take))


@dataclass(frozen=True, slots=True)
class ModifyAssociations(Change):
    """Associations whose limits or rights are not what the cluster file says: of an account, or of users in it."""

    rank: ClassVar[int] = 32

    cluster: str
    account: str
    users: tuple[str, ...]
    """Nobody: the account's own."""
    rights: Rights
    old: Values
    new: Values

    def __str__(self) -> str:
        kind, names = ("~ user", self.users) if self.users else ("~ account", (self.account,))
        inside = [f"in {self.account}"] if self.users else []
        return line(kind, names, [*inside, *self.rights.words(), differences(self.old, self.new)])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        who = (f"name={','.join(self.users)}", f"account={self.account}") if self.users else (f"name={self.account}",)
        noun = "user" if self.users else "account"
        words = (*self.rights.words(), *set_words(self.old, self.new))
        return ("sacctmgr", "modify", noun, "where", *who, f"cluster={self.cluster}", "set", *words)

    @property
    def count(self) -> int:
        """How many things it changes."""
        return max(1, len(self.users))


@dataclass(frozen=True, slots=True)
class AddCoordinators(Change):
    """Users who are to coordinate accounts; once they are in them."""

    rank: ClassVar[int] = 33

    accounts: tuple[str, ...]
    users: tuple[str, ...]

    def __str__(self) -> str:
        return line("+ coordinator", self.users, [f"of {','.join(self.accounts)}"])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        names = (f"account={','.join(self.accounts)}", f"names={','.join(self.users)}")
        return ("sacctmgr", "add", "coordinator", *names)

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.users) * len(self.accounts)


@dataclass(frozen=True, slots=True)
class RemoveCoordinators(Change):
    """Users who coordinate accounts, and are no more to; before anybody leaves them."""

    rank: ClassVar[int] = 34

    accounts: tuple[str, ...]
    users: tuple[str, ...]

    def __str__(self) -> str:
        return line("- coordinator", self.users, [f"of {','.join(self.accounts)}"])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        where = (f"account={','.join(self.accounts)}", f"names={','.join(self.users)}")
        return ("sacctmgr", "delete", "coordinator", "where", *where)

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.users) * len(self.accounts)


@dataclass(frozen=True, slots=True)
class SetDefaultAccount(Change):
    """Users whose default account is one that they are about to leave."""

    rank: ClassVar[int] = 35

    cluster: str
    users: tuple[str, ...]
    account: str

    def __str__(self) -> str:
        return line("~ user", self.users, [f"DefaultAccount -> {self.account}"])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        where = (f"name={','.join(self.users)}", f"cluster={self.cluster}")
        return ("sacctmgr", "modify", "user", "where", *where, "set", f"DefaultAccount={self.account}")

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.users)


@dataclass(frozen=True, slots=True)
class RemoveUsers(Change):
    """Members whom the cluster file no longer has in this team; only the association goes."""

    rank: ClassVar[int] = 60

    cluster: str
    account: str
    users: tuple[str, ...]

    def __str__(self) -> str:
        return line("- user", self.users, [f"in {self.account}"])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        where = (f"name={','.join(self.users)}", f"account={self.account}", f"cluster={self.cluster}")
        return ("sacctmgr", "delete", "user", "where", *where)

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.users)


@dataclass(frozen=True, slots=True)
class DeleteAccounts(Change):
    """Accounts that we made and the cluster file no longer has."""

    rank: ClassVar[int] = 70

    cluster: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return line("- account", self.names, [])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        return ("sacctmgr", "delete", "account", "where", f"name={','.join(self.names)}", f"cluster={self.cluster}")

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class DeleteQos(Change):
    """QOS that we made and the cluster file no longer has; last of all, since a partition may still name one."""

    rank: ClassVar[int] = 80

    names: tuple[str, ...]

    def __str__(self) -> str:
        return line("- qos", self.names, [])

    def argv(self) -> tuple[str, ...]:
        """Return the command that makes the change."""
        return ("sacctmgr", "delete", "qos", "where", f"name={','.join(self.names)}")

    @property
    def count(self) -> int:
        """How many things it changes."""
        return len(self.names)


def _rights(qos: tuple[str, ...]) -> tuple[str, ...]:
    return (f"QOS={','.join(qos)}", "DefaultQOS=normal")
