"""The rules of submission: job_submit.lua, which is written by hand, and the table of data beside it, which is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from aistation_slurm.assets import asset_dir
from aistation_slurm.cluster.files import preamble
from aistation_slurm.cluster.limits import development_limits
from aistation_slurm.render import printable
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.spec import ClusterSpec, GpuGroup, Quota, Team

RULES = "job_submit.lua"
"""What slurmctld runs for each job; the name is Slurm's."""
FIT = "aistation_fit.lua"
TABLE = "aistation_policy.lua"
NAMES = (TABLE, FIT, RULES)
"""In the order in which they are written: slurmctld reads all of them again once the last one is newer."""
PLUGIN = "job_submit_lua.so"

Lua = str | int | bool | Mapping[str, "Lua"] | Mapping[int, "Lua"] | list["Lua"] | None
_PLAIN = re.compile(r"[a-z_]+")
_KEYWORDS = frozenset({"and", "do", "end", "for", "if", "in", "nil", "not", "or", "then"})
_ROOT = 0


def rules_files(spec: ClusterSpec, *, source: str, exempt: int | None = None) -> dict[str, str]:
    """Return name -> text of the files that job_submit/lua needs beside slurm.conf, in the order to write them.

    slurmctld watches job_submit.lua alone, so that file names what the two others hold: it changes with them.
    `exempt` is SlurmUser's number, whose jobs pass as root's do.
    """
    folder = asset_dir("slurm_conf")
    table = table_text(spec, exempt=exempt)
    fit, rules = ((folder / name).read_text(encoding="utf-8") for name in (FIT, RULES))
    beside = f"-- Reads {TABLE} ({_short(table)}) and {FIT} ({_short(fit)}).\n"
    bodies = {TABLE: table, FIT: fit, RULES: beside + rules}
    return {name: preamble(body, source, comment="--") + body for name, body in bodies.items()}


def table_text(spec: ClusterSpec, *, exempt: int | None = None) -> str:
    """Return what the cluster file says of submissions, as a Lua table: a group or team a line."""
    tops: dict[str, Lua] = {
        "over_request": spec.over_request,
        "default_group": spec.default_group,
        "exempt": dict.fromkeys(sorted({_ROOT, *([] if exempt is None else [exempt])}), True),
        "user": _quota(spec.quota.per_user),
        "development": _development(spec),
        "order": list(spec.groups),
    }
    lines = [f"  {key} = {lua_value(value)},\n" for key, value in tops.items() if value is not None]
    groups = {name: _group(group) for name, group in spec.groups.items()}
    teams = {name: _team(spec, team) for name, team in spec.teams.items()}
    return "".join(["return {\n", *lines, *_block("groups", groups), *_block("teams", teams), "}\n"])


def lua_value(value: Lua) -> str:
    """Return the value as Lua writes it.

    Raises:
        UnprintableError: a text holds a control character.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "{" + ", ".join(map(lua_value, value)) + "}"
    if isinstance(value, Mapping):
        pairs = ((key, each) for key, each in value.items() if each is not None)
        return "{" + ", ".join(f"{_key(key)} = {lua_value(each)}" for key, each in pairs) + "}"
    text = printable("" if value is None else value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def table_changes(old: str, new: str) -> tuple[str, ...]:
    """Return what changes between two texts of the table, line by line, for people."""
    before, after = _lines(old), _lines(new)
    gone = [f"- {line}" for line in before if line not in after]
    return (*gone, *(f"+ {line}" for line in after if line not in before))


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


def _group(group: GpuGroup) -> Lua:
    return {
        "gpu_type": group.gpu_type,
        "use": group.use,
        "nodes": len(group.node_names()),
        "gpus": group.gpus_per_node,
        "cpus": group.cpus,
        "memory": group.memory,
        "shards": group.shards_per_node,
        "teams": dict.fromkeys(group.teams, True) if group.teams else None,
        "user": _quota(group.quota.per_user),
        "team": _quota(group.quota.per_team),
    }


def _team(spec: ClusterSpec, team: Team) -> Lua:
    return {**_limited(spec.quota.per_team), **_limited(team.quota)}


def _quota(quota: Quota) -> Lua:
    return dict(_limited(quota))


def _limited(quota: Quota) -> dict[str, Lua]:
    return {key: value for key, value in (("gpus", quota.gpu), ("shards", quota.shards)) if value is not None}


def _development(spec: ClusterSpec) -> Lua:
    """Return how large a development environment may be, as the QOS `development` says it too."""
    tres = read_tres(development_limits(spec)["MaxTRESPerJob"])
    names = {"gpus": "gres/gpu", "shards": "gres/shard", "cpus": "cpu", "memory": "mem"}
    limits: dict[str, Lua] = {key: tres[name] for key, name in names.items() if name in tres}
    return limits


def _block(name: str, rows: Mapping[str, Lua]) -> list[str]:
    return [f"  {name} = {{\n", *(f"    {_key(key)} = {lua_value(row)},\n" for key, row in rows.items()), "  },\n"]


def _key(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return key if _PLAIN.fullmatch(key) and key not in _KEYWORDS else f"[{lua_value(key)}]"


def _lines(text: str) -> list[str]:
    lines = (line.strip().rstrip(",") for line in text.splitlines())
    return [line for line in lines if " = " in line and not line.startswith("--") and not line.endswith("{")]


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
