"""`aistation up` where a Slurm runs: look at it, write a cluster file from what it shows, serve the page. No more."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aistation_slurm.devcluster.daemons import Service, answers, wait_ready
from aistation_slurm.devcluster.daemons import start as start_service
from aistation_slurm.devcluster.processes import Process, end_all, read_processes, services
from aistation_slurm.errors import AistationError, NeedsRoot, PortInUse
from aistation_slurm.render import write_whole
from aistation_slurm.settings import SITE_FILE, Settings
from aistation_slurm.slurm.connect import Slurm

Say = Callable[[str], None]
Ask = Callable[[str], bool]

MADE = Path("/var/lib/aistation/adopted.json")
"""What we wrote, with the checksum of its bytes: `down` removes only what is still as we wrote it."""
LOG = Path("/var/log/aistation-page.log")
MARK = "(adopted)"
PAGE_USER = "nobody"


def adopt(slurm: Slurm, settings: Settings, *, say: Say, ask: Ask) -> None:
    """Look at the running Slurm, write a cluster file from what it shows, and serve the page.

    Nothing in Slurm is changed, and no file that is there already.

    Raises:
        NeedsRoot: the file has to be written, and this user may not.
    """
    from aistation_slurm.cluster import imported
    from aistation_slurm.cluster.doctor import examine

    for finding in examine(slurm):
        say(str(finding))
    target = SITE_FILE.parent / "cluster.yaml"
    if target.exists():
        say(f"{target} is there already, and left as it is.")
    else:
        if os.geteuid() != 0:
            raise NeedsRoot(f"{target} can only be written by root", hint="sudo aistation up")
        if not ask(f"Write {target} from what this Slurm shows, and serve the page? Nothing in Slurm is changed."):
            say("Nothing was changed.")
            return
        _write(target, imported(slurm, settings.slurm.conf.parent))
        say(f"written: {target}")
    try:
        _serve(settings)
    except AistationError:
        forget(say=say)  # nothing half done
        raise
    say(f"the page: http://{settings.web.listen}/")
    say("aistation cluster plan      what the file would change in Slurm; nothing is changed by it")
    say("aistation down              stops the page and forgets this; your Slurm is left as it is")


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, text)
    MADE.parent.mkdir(parents=True, exist_ok=True)
    write_whole(MADE, json.dumps({"file": str(target), "sha256": hashlib.sha256(text.encode()).hexdigest()}))


def _serve(settings: Settings) -> None:
    host, _, port = settings.web.listen.rpartition(":")
    user = PAGE_USER if os.geteuid() == 0 else "root"
    config = {"AISTATION_CONFIG": str(settings.source)} if settings.source else {}
    page = Service(
        "page",
        (sys.executable, "-m", "aistation_slurm", "serve"),
        LOG,
        user=user,
        env={"SLURM_CONF": str(settings.slurm.conf), **config},
        ready=partial(answers, host, int(port)),
    )
    if not _pages():
        if page.ready():
            hint = "stop what listens there, or set [web] listen in aistation.toml"
            raise PortInUse(f"{settings.web.listen}, which the page needs, is in use", hint=hint)
        start_service(page, MARK)
    wait_ready(page, lambda: bool(_pages()))


def _pages() -> list[Process]:
    return list(services(read_processes(), MARK).values())


def stands() -> bool:
    """True if there is something that `adopt` made."""
    return MADE.exists() or bool(_pages())


def forget(*, say: Say) -> None:
    """Stop the page, and remove the cluster file if it is still as it was written."""
    end_all(lambda found: services(found, MARK).values(), grace=5.0)
    if not MADE.exists():
        return
    made = json.loads(MADE.read_text(encoding="utf-8"))
    file = Path(made["file"])
    if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == made["sha256"]:
        file.unlink()
        say(f"removed: {file}")
    elif file.exists():
        say(f"{file} was changed since it was written, and is kept.")
    MADE.unlink()
