"""What must hold between the parts of a cluster file, once each part is right by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aistation_slurm.spec.complaints import unknown_name
from aistation_slurm.spec.model import ClusterSpec
from aistation_slurm.spec.source import Problem

_TIGHT = re.compile(r"(?P<stem>[A-Za-z][\w.-]*\d)\[\d")


def check(spec: ClusterSpec) -> Iterator[Problem]:
    """Yield everything that is wrong between the parts."""
    yield from _twins(spec)
    yield from _overlaps(spec)
    yield from _group_teams(spec)
    yield from _emergency(spec)
    yield from _sizes(spec)
    if spec.default_group is not None and spec.default_group not in spec.groups:
        yield unknown_name(("default_group",), "GPU group", spec.default_group, spec.groups)


def suspicions(spec: ClusterSpec) -> Iterator[Problem]:
    """Yield what is allowed but looks like a mistake."""
    for name, group in spec.groups.items():
        if match := _TIGHT.search(group.nodes):
            stem = match["stem"]
            yield Problem(
                ("groups", name, "nodes"),
                f"Slurm folds {group.nodes} into one number, and shows these nodes under other names",
                f"let the names end in '-' before their digits, such as {stem}-[01-08]",
            )
    limit = spec.quota.per_user
    for user in spec.users() if limit.gpu is not None else ():
        if len(teams := spec.teams_of(user)) > 1:
            path = ("teams", teams[-1], "members", spec.teams[teams[-1]].members.index(user))
            yield Problem(path, f"{user} is in {' and '.join(teams)}: the user's quota holds in each of them by itself")


def _twins(spec: ClusterSpec) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name in spec.groups:
        if (other := first.setdefault(name.lower(), name)) != name:
            hint = "the QOS of both would be one: QOS names know no capitals"
            yield Problem(("groups", name), f"{name!r} differs from {other!r} in capitals only", hint)


def _overlaps(spec: ClusterSpec) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for name, group in spec.groups.items():
        shared: dict[str, list[str]] = {}
        for node in group.node_names():
            if (first := owner.setdefault(node, name)) != name:
                shared.setdefault(first, []).append(node)
        for first, nodes in shared.items():
            more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
            yield Problem(
                ("groups", name, "nodes"),
                f"{nodes[0]}{more} is in group {first!r} already",
                "a node belongs to one group; take it out of one of them",
            )


def _group_teams(spec: ClusterSpec) -> Iterator[Problem]:
    for name, group in spec.groups.items():
        for index, team in enumerate(group.teams):
            if team not in spec.teams:
                yield unknown_name(("groups", name, "teams", index), "team", team, spec.teams)


def _emergency(spec: ClusterSpec) -> Iterator[Problem]:
    for name, team in spec.teams.items():
        for index, user in enumerate(team.emergency):
            if user not in team.members:
                path = ("teams", name, "emergency", index)
                yield unknown_name(path, f"member of team {name}", user, team.members)


def _sizes(spec: ClusterSpec) -> Iterator[Problem]:
    for name, group in spec.groups.items():
        if group.cpus < group.gpus_per_node:
            text = f"cpus: {group.cpus} CPUs can't serve {group.gpus_per_node} GPUs"
            yield Problem(("groups", name, "cpus"), text, "a job needs at least one CPU for each GPU")
        if group.memory < group.cpus:
            text = f"memory: {group.memory} MiB can't serve {group.cpus} CPUs"
            yield Problem(("groups", name, "memory"), text, "a job's memory goes by its CPUs: at least 1 MiB for each")
        if group.default_time and group.max_time and group.default_time > group.max_time:
            text = "default_time is longer than max_time"
            yield Problem(("groups", name, "default_time"), text, "make it shorter")
