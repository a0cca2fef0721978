"""The rules of submission: Lua that is written by hand, and the table of data beside it, which is not.

`job_submit.lua` runs in slurmctld and reads its parts beside it. `cli_filter.lua` runs in the user's own command, and
is one file with the same parts in it: that is all that a configless Slurm hands out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from aistation_slurm.assets import asset_dir
from aistation_slurm.cluster.rules.table import table_text
from aistation_slurm.cluster.wanted.files import preamble
from aistation_slurm.spec import ClusterSpec

RULES = "job_submit.lua"
"""What slurmctld runs for each job; the name is Slurm's."""
FILTER = "cli_filter.lua"
"""What srun, salloc and sbatch run before they send anything; the name is Slurm's."""
REQUEST = "aistation_request.lua"
FIT = "aistation_fit.lua"
GROUPS = "aistation_groups.lua"
TABLE = "aistation_policy.lua"
NAMES = (TABLE, REQUEST, FIT, GROUPS, RULES)
"""In the order in which they are written: slurmctld reads all of them again once the last one is newer."""
PLUGIN = "job_submit_lua.so"


def rules_files(
    spec: ClusterSpec,
    *,
    source: str,
    exempt: int | None = None,
    with_filter: bool | None = None,
    release: str = "",
) -> dict[str, str]:
    """Return name -> text of the files that Slurm's Lua plugins need beside slurm.conf, in the order to write them.

    slurmctld watches job_submit.lua alone, so that file names what the others hold: it changes with them.
    `exempt` is SlurmUser's number, whose jobs pass as root's do. cli_filter.lua is among them where the cluster file
    wants it, unless `with_filter` says otherwise. `release` is Slurm's own, `22.05.8`.
    """
    bodies = {name: _asset(name) for name in NAMES if name != TABLE}
    bodies = {TABLE: table_text(spec, exempt=exempt, release=release), **bodies}
    parts = ", ".join(f"{name} ({_short(bodies[name])})" for name in NAMES if name != RULES)
    bodies[RULES] = f"-- Reads {parts}.\n{bodies[RULES]}"
    files = {name: preamble(body, source, comment="--") + body for name, body in bodies.items()}
    if spec.slurm.cli_filter if with_filter is None else with_filter:
        files = {FILTER: filter_text(spec, source=source, exempt=exempt), **files}
    return files


def filter_text(spec: ClusterSpec, *, source: str, exempt: int | None = None) -> str:
    """Return cli_filter.lua: the parts as functions, then the filter itself."""
    parts = {TABLE: table_text(spec, exempt=exempt, users=True)} | {
        name: _asset(name) for name in (REQUEST, FIT, GROUPS)
    }
    body = "".join(f"local function {Path(name).stem}(...)\n{text}end\n\n" for name, text in parts.items())
    body += _asset(FILTER)
    return preamble(body, source, comment="--") + body


def has_plugin(config: Mapping[str, str]) -> bool | None:
    """Return whether this Slurm can run Lua at all; None where its PluginDir is not known, or not on this machine.

    A slurmctld that is told of a plugin which it doesn't have ends at once (seen on a Slurm built without Lua).
    """
    if "lua" in config.get("JobSubmitPlugins", "").split(","):
        return True
    folders = [folder for each in config.get("PluginDir", "").split(":") if each and (folder := Path(each)).is_dir()]
    return any((folder / PLUGIN).is_file() for folder in folders) if folders else None


def slurm_user(config: Mapping[str, str]) -> int | None:
    """Return SlurmUser's number, as slurmctld tells it: `slurm(64030)`."""
    found = re.search(r"\((\d+)\)", config.get("SlurmUser", ""))
    return int(found[1]) if found else None


def _asset(name: str) -> str:
    return (asset_dir("slurm_conf") / name).read_text(encoding="utf-8")


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
