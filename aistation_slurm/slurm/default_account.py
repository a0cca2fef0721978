"""Which account a user's jobs count for where none is named: slurmctld knows, and answers within milliseconds."""

from __future__ import annotations

import re

from aistation_slurm.errors import SlurmError
from aistation_slurm.slurm.runner import Runner

_SECONDS = 10.0
_USER = re.compile(r"^UserName=(?P<user>[^(\s]+)\(\d+\) DefAccount=(?P<account>\S+)", re.MULTILINE)


def default_account(runner: Runner, user: str) -> str | None:
    """Return the account, in lower case; None where slurmctld doesn't tell, or nobody answers.

    slurmdbd would take 0.2-0.4 s; slurmctld has the user's record in memory (`scontrol show assoc_mgr`).
    """
    argv = ("scontrol", "-o", "show", "assoc_mgr", "flags=users", f"users={user}")
    try:
        done = runner.run(argv, timeout=_SECONDS)
    except SlurmError:
        return None
    found = next((match for match in _USER.finditer(done.stdout) if match["user"] == user), None)
    return found["account"].lower() if found and found["account"] != "(null)" else None
