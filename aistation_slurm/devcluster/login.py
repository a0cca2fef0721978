"""Being a user of the cluster: the environment that a login would give, and the cluster's own words in it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aistation_slurm.devcluster.instance import DevCluster
from aistation_slurm.devcluster.lock import need_root
from aistation_slurm.errors import DevClusterError, UnknownNameError

_KEPT = ("TERM", "LANG", "LC_ALL", "TZ", "COLUMNS", "LINES", "NO_COLOR")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command, and whoever it is to be run as."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    account: pwd.struct_passwd | None
    """None: whoever we are."""

    def enter(self) -> None:
        """Become the user, in the folder; there is no way back."""
        if self.account:
            os.setgroups(os.getgrouplist(self.account.pw_name, self.account.pw_gid))
            os.setgid(self.account.pw_gid)
            os.setuid(self.account.pw_uid)
        try:
            os.chdir(self.cwd)
        except OSError as error:
            raise DevClusterError(f"can't go there ({error.strerror})", where=str(self.cwd)) from error


def become(cluster: DevCluster, argv: tuple[str, ...], *, user: str | None, cwd: Path | None = None) -> Prepared:
    """Return the command as that user would run it after a login.

    Raises:
        UnknownNameError: no such user.
        NeedsRoot: it is somebody else, and we are not root.
    """
    mine = pwd.getpwuid(os.geteuid())
    if user is None or user == mine.pw_name:
        return Prepared(argv, {**os.environ, **cluster.env()}, cwd or Path.cwd(), None)
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise UnknownNameError("user", user, where=cluster.record.name, known=cluster.record.users) from None
    need_root()
    home = Path(account.pw_dir)
    folder = cwd or (home if home.is_dir() else Path("/"))  # as login(1) does
    return Prepared(argv, login_env(cluster, account, os.environ), folder, account)


def login_env(cluster: DevCluster, account: pwd.struct_passwd, caller: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a login of this user who uses the cluster; of the caller's, only the terminal's."""
    kept = {key: caller[key] for key in _KEPT if key in caller}
    who = {
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell,
    }
    return {**kept, **who, **cluster.env(path="/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games")}
