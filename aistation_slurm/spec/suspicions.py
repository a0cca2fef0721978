"""What a cluster file may say, and what looks like a mistake nevertheless."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aistation_slurm.spec.model import ClusterSpec
from aistation_slurm.spec.names import expand
from aistation_slurm.spec.source import Problem

_TIGHT = re.compile(r"(?P<stem>[A-Za-z][\w.-]*\d)\[\d")


def suspicions(spec: ClusterSpec) -> Iterator[Problem]:
    """Yield what is allowed but looks like a mistake."""
    yield from _folded(spec)
    yield from _several_teams(spec)
    yield from _never_reached(spec)
    yield from _parents(spec)
    yield from _at_no_switch(spec)
    if spec.calendar.workdays and not (spec.calendar.weekends or spec.calendar.holidays or spec.calendar.extra):
        yield Problem(("calendar", "workdays"), "workdays change nothing where neither weekends nor holidays count")
    if spec.calendar.quota and not spec.calendar.has_nights:
        text = "the quota of QOS night changes nothing where no night is named"
        yield Problem(("calendar", "quota"), text, 'say nights: "20:00-08:00", weekends or holidays')


def _folded(spec: ClusterSpec) -> Iterator[Problem]:
    for name, group in spec.groups.items():
        if match := _TIGHT.search(group.nodes):
            stem = match["stem"]
            yield Problem(
                ("groups", name, "nodes"),
                f"Slurm folds {group.nodes} into one number, and shows these nodes under other names",
                f"let the names end in '-' before their digits, such as {stem}-[01-08]",
            )


def _several_teams(spec: ClusterSpec) -> Iterator[Problem]:
    limit = spec.quota.per_user
    if limit.gpu is None and not limit.gpu_types:
        return
    found: dict[str, list[str]] = {}
    for name, team in spec.teams.items():
        for user in team.members:
            found.setdefault(user, []).append(name)
    for user, teams in sorted(found.items()):
        if len(teams) > 1:
            path = ("teams", teams[-1], "members", spec.teams[teams[-1]].members.index(user))
            yield Problem(path, f"{user} is in {' and '.join(teams)}: the user's quota holds in each of them by itself")


def _at_no_switch(spec: ClusterSpec) -> Iterator[Problem]:
    if spec.slurm.topology is None:
        return
    there = {node for switch in spec.slurm.topology.switches.values() for node in expand(switch.nodes or "")}
    for name, group in spec.groups.items():
        if away := [node for node in group.node_names() if node not in there]:
            more = f" and {len(away) - 1} more" if len(away) > 1 else ""
            text = f"{away[0]}{more} of group {name} stand at no switch: no job there runs on more than one node"
            yield Problem(("slurm", "topology", "switches"), text, "name every node")


def _never_reached(spec: ClusterSpec) -> Iterator[Problem]:
    for name, group in spec.groups.items():
        for who in ("per_user", "per_team"):
            quota = getattr(group.quota, who)
            if quota.gpu is not None and quota.gpu > group.total_gpus:
                text = f"{quota.gpu} GPUs are more than group {name} has: {group.total_gpus}"
                yield Problem(("groups", name, "quota", who, "gpu"), text, "leave it out where there is to be no limit")


def _parents(spec: ClusterSpec) -> Iterator[Problem]:
    for name, team in spec.teams.items():
        if team.members and spec.quota.per_team and not team.quota and spec.below(name):
            text = f"no quota holds for team {name}: per_team is not for teams that have others below them"
            yield Problem(("teams", name), text, "give it a quota of its own, for itself and all below it together")
