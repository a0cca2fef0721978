"""Who is asking, and whether they are an administrator."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping

from aistation_slurm.errors import NotPermitted
from aistation_slurm.slurm.connect import Slurm

LEVELS = frozenset({"operator", "administrator"})
"""The levels of slurmdbd that may change another's job, and an association."""


def require_administrator(slurm: Slurm, *, uid: int) -> None:
    """Do nothing where this Unix user may give orders about others' jobs: root, SlurmUser, an operator of Slurm.

    Raises:
        NotPermitted: they may not.
        SlurmError: Slurm can't be asked.
    """
    if uid == 0:
        return
    name = name_of(uid)
    if re.match(rf"{re.escape(name)}\(|{re.escape(name)}$", slurm.read.config().get("SlurmUser", "")):
        return
    if not any(each.name == name and each.admin_level.lower() in LEVELS for each in slurm.read.users()):
        hint = "run it as root, or as an Operator or Administrator of Slurm (sacctmgr show user)"
        raise NotPermitted(f"{name} is no administrator", hint=hint)


def who_acts(environ: Mapping[str, str], *, uid: int) -> str:
    """Return the name that the audit remembers; of root by sudo, who it was."""
    behind = environ.get("SUDO_USER", "") if uid == 0 else ""
    return f"{behind} as root" if behind and behind != "root" else name_of(uid)


def name_of(uid: int) -> str:
    """Return the Unix user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def here() -> int:
    """Return the Unix user that this process acts as."""
    return os.geteuid()
