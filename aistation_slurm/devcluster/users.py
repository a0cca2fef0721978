"""The Unix users of the teams: made in bulk, marked, counted across clusters, removed with the last that uses them.

An account that was there before is used as it is: never changed, never counted, never removed.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from aistation_slurm.devcluster.commands import run
from aistation_slurm.devcluster.lock import base_locked
from aistation_slurm.devcluster.processes import end_all
from aistation_slurm.errors import DevClusterError
from aistation_slurm.render import write_whole

GECOS = "aistation dev cluster"
GROUP = "aistation-dev"
# Above what distributions give to people and systemd to dynamic users (61184-65519), below the first subuid.
FIRST_ID, LAST_ID = 70001, 79999
GROUP_ID = 70000


class UserBook(BaseModel):
    """Which clusters use which of the accounts that we made."""

    uses: dict[str, tuple[str, ...]] = {}

    def with_cluster(self, cluster: str, users: Iterable[str]) -> UserBook:
        """Return the book in which the cluster uses exactly these."""
        left = {user: [each for each in clusters if each != cluster] for user, clusters in self.uses.items()}
        for user in users:
            left[user] = [*left.get(user, []), cluster]
        return UserBook(uses={user: tuple(clusters) for user, clusters in sorted(left.items())})

    def unused(self) -> list[str]:
        """Return those that no cluster uses any more."""
        return [user for user, clusters in self.uses.items() if not clusters]

    def without(self, users: Iterable[str]) -> UserBook:
        """Return the book without these."""
        gone = set(users)
        return UserBook(uses={user: each for user, each in self.uses.items() if user not in gone})


def use_users(base: Path, cluster: str, wanted: Iterable[str]) -> int:
    """Make the accounts that are missing, remove those that nobody wants any more, and return how many were made.

    The book is written before the first account is made, so that an interruption leaves none that nobody knows of.

    Raises:
        DevClusterError: an account can't be made.
    """
    wanted = sorted(set(wanted))
    with _book(base) as (before, save):
        known = {each.pw_name: each for each in pwd.getpwall()}
        ours = [user for user in wanted if user not in known or known[user].pw_gecos == GECOS]
        book = before.with_cluster(cluster, ours)
        save(book)
        missing = [user for user in ours if user not in known]
        if missing:
            _make_group()
        free = iter(sorted(set(range(FIRST_ID, LAST_ID + 1)) - {each.pw_uid for each in known.values()}))
        for user in missing:
            _make(user, next(free), base / "home" / user)
        _remove(base, book, save)
        return len(missing)


def release_users(base: Path, cluster: str) -> int:
    """Remove the accounts that no other cluster uses, and return how many those were."""
    with _book(base) as (before, save):
        book = before.with_cluster(cluster, ())
        save(book)
        return _remove(base, book, save)


def _make_group() -> None:
    with contextlib.suppress(KeyError):
        grp.getgrnam(GROUP)
        return
    run(("groupadd", "--gid", str(GROUP_ID), "-K", f"GID_MAX={LAST_ID}", GROUP))


def _make(user: str, uid: int, home: Path) -> None:
    run((
        "useradd", "--uid", str(uid), "--gid", GROUP, "--no-user-group", "--no-create-home", "--home-dir", str(home),
        "--shell", "/bin/bash", "--comment", GECOS, "-K", f"UID_MAX={LAST_ID}", user,
    ))  # fmt: skip
    home.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    os.chown(home, uid, GROUP_ID)
    home.chmod(0o700)


def _remove(base: Path, book: UserBook, save: _Save) -> int:
    gone = book.unused()
    uids = {each.pw_uid for each in map(_account, gone) if each}
    if uids:
        end_all(lambda processes: [each for each in processes if each.uid in uids])
    for user in gone:
        if account := _account(user):
            run(("userdel", "--force", user))
            shutil.rmtree(account.pw_dir, ignore_errors=True)
            Path("/var/mail", user).unlink(missing_ok=True)
    book = book.without(gone)
    save(book)
    if not book.uses:
        _remove_group(base)
    return len(gone)


def _account(user: str) -> pwd.struct_passwd | None:
    """Return the account if it is one that we made."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return None
    return account if account.pw_gecos == GECOS else None


def _remove_group(base: Path) -> None:
    in_use = any(each.pw_gid == GROUP_ID for each in pwd.getpwall())
    with contextlib.suppress(KeyError):
        if grp.getgrnam(GROUP).gr_gid == GROUP_ID and not in_use:
            run(("groupdel", GROUP))
    shutil.rmtree(base / "home", ignore_errors=True)
    (base / "users.json").unlink(missing_ok=True)


class _Save:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, book: UserBook) -> None:
        write_whole(self.path, book.model_dump_json(indent=1) + "\n")


@contextlib.contextmanager
def _book(base: Path) -> Iterator[tuple[UserBook, _Save]]:
    path = base / "users.json"
    with base_locked(base):
        text = path.read_text(encoding="utf-8") if path.exists() else "{}"
        try:
            book = UserBook.model_validate_json(text)
        except ValidationError as error:
            raise DevClusterError("is damaged", where=str(path), hint="remove it by hand") from error
        yield book, _Save(path)
