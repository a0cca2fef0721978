"""What the cluster file says of submissions, as a Lua table: the data that the hand-written rules read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aistation_slurm.cluster.wanted.limits import (
    development_limits,
    group_limits,
    group_quotas,
    team_limits,
    user_limits,
)
from aistation_slurm.render import printable
from aistation_slurm.slurm.tres import read_tres
from aistation_slurm.spec import ClusterSpec, GpuGroup, Quota, Quotas

Lua = str | int | bool | Mapping[str, "Lua"] | Mapping[int, "Lua"] | list["Lua"] | None
_PLAIN = re.compile(r"[a-z_]+")
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        "and break do else elseif end false for function goto if in local nil not or "
        "repeat return then true until while",
    )
)
"""A group or team may be called so; goto since Lua 5.2."""
_ROOT = 0


def table_text(spec: ClusterSpec, *, exempt: int | None = None, users: bool = False, release: str = "") -> str:
    """Return what the cluster file says of submissions, as a Lua table: a group or team a line.

    Groups of the site's own are left out, so that the rules leave them alone. `exempt` is SlurmUser's number. With
    `users` the table says which team a user is in: a user's own command has nobody else to ask. `release` is Slurm's,
    `22.05.8`, for rules that hold on some releases only.
    """
    groups, teams = table_groups(spec), table_teams(spec)
    first = {"over_request": None, "default_group": None}  # in the order in which they are written
    exempted = dict.fromkeys(sorted({_ROOT, *([] if exempt is None else [exempt])}), True)
    tops: dict[str, Lua] = {
        **first,
        "release": release or None,
        "exempt": exempted,
        **table_tops(spec),
        "order": list(groups),
        "users": _users(spec) if users else None,
    }
    lines = [f"  {key} = {lua_value(value)},\n" for key, value in tops.items() if value is not None]
    return "".join(["return {\n", *lines, *_block("groups", groups), *_block("teams", teams), "}\n"])


def table_groups(spec: ClusterSpec) -> dict[str, dict[str, Lua]]:
    """Return what each group of ours has, and what of it a user and a team may have."""
    return {name: _group(spec, name, group) for name, group in spec.managed_groups().items()}


def table_teams(spec: ClusterSpec) -> dict[str, dict[str, Lua]]:
    """Return what each team of ours may have in all, and which is above it."""
    return {name: _team(spec, name) for name in spec.managed_teams()}


def table_tops(spec: ClusterSpec) -> dict[str, Lua]:
    """Return what holds for all groups and teams; None is not said."""
    groups = spec.managed_groups()
    return {
        "over_request": spec.over_request,
        "default_group": spec.default_group if spec.default_group in groups else None,
        "user": _quota(spec.quota.per_user, user_limits(spec).get("GrpTRES", "")),
        "development": _development(spec),
        "night": _both(spec.calendar.quota) if spec.calendar.has_nights and spec.calendar.quota else None,
        "over_quota": True if spec.emergency.over_quota else None,
    }


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


def _group(spec: ClusterSpec, name: str, group: GpuGroup) -> dict[str, Lua]:
    limits, quotas = group_limits(group, spec.quota), group_quotas(group, spec.quota)
    # NVIDIA's service shares one GPU of a node among the jobs of one user: a job can't have shares of two.
    shares = group.shards_per_gpu if group.sharing == "mps" and group.shards_per_gpu > 1 else group.shards_per_node
    return {
        "gpu_type": group.gpu_type,
        "use": group.use,
        "nodes": len(group.node_names()),
        "names": group.nodes,
        "gpus": group.gpus_per_node,
        "cpus": group.cpus,
        "memory": group.memory,
        "shards": shares,
        "sharing": group.sharing if group.sharing != "shard" and shares else None,
        "teams": dict.fromkeys(spec.allowed_teams(name), True) if group.teams else None,
        "user": _quota(quotas.per_user, limits.get("MaxTRESPerUser", "")),
        "team": _quota(quotas.per_team, limits.get("MaxTRESPerAccount", "")),
    }


def _team(spec: ClusterSpec, name: str) -> dict[str, Lua]:
    team = spec.teams[name]
    quota = team.quota if spec.below(name) else team.quota.over(spec.quota.per_team)
    limits = team_limits(spec, name)
    return {**_limited(quota, limits.get("GrpTRES", "")), "parent": team.parent if team.parent in spec.teams else None}


def _both(quotas: Quotas) -> Lua:
    return {"user": _quota(quotas.per_user), "team": _quota(quotas.per_team)}


def _quota(quota: Quota, tres: str = "") -> Lua:
    return dict(_limited(quota, tres))


def _limited(quota: Quota, tres: str = "") -> dict[str, Lua]:
    """Return the quota's numbers; its CPUs and memory as Slurm is given them, where they follow from the GPUs."""
    follow = read_tres(tres)
    said: dict[str, Lua] = {
        "gpus": quota.gpu,
        "types": dict(sorted(quota.gpu_types.items())) if quota.gpu_types else None,
        "shards": quota.shards,
        "nodes": quota.nodes,
        "cpus": quota.cpu if quota.cpu is not None else follow.get("cpu"),
        "memory": quota.memory if quota.memory is not None else follow.get("mem"),
    }
    return {key: value for key, value in said.items() if value is not None}


def _development(spec: ClusterSpec) -> Lua:
    """Return how large a development environment may be, as the QOS `development` says it too."""
    tres = read_tres(development_limits(spec)["MaxTRESPerJob"])
    names = {"gpus": "gres/gpu", "shards": "gres/shard", "cpus": "cpu", "memory": "mem"}
    limits: dict[str, Lua] = {key: tres[name] for key, name in names.items() if name in tres}
    return {**limits, "shards": tres.get("gres/shard", tres.get("gres/mps"))}


def _users(spec: ClusterSpec) -> Lua:
    """Return user -> team of those who are in one team only: whose job it is without --account is certain."""
    found: dict[str, Lua] = {}
    for user in spec.users():
        teams = spec.teams_of(user)
        if len(teams) == 1 and spec.teams[teams[0]].is_ours:
            found[user] = teams[0]
    return found


def _block(name: str, rows: Mapping[str, Mapping[str, Lua]]) -> list[str]:
    return [f"  {name} = {{\n", *(f"    {_key(key)} = {lua_value(row)},\n" for key, row in rows.items()), "  },\n"]


def _key(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return key if _PLAIN.fullmatch(key) and key not in _KEYWORDS else f"[{lua_value(key)}]"
