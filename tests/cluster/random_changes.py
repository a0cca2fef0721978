"""Changes of a cluster file such as an administrator makes from day to day, at random: the same seed, the same change.

The file is plain data here, as YAML has it. Whatever is done to it, it stays a file that loads: whether Slurm can bear
the change is for the plan to say.
"""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from aistation_slurm.slurm.nodelist import expand, fold

Data = dict[str, Any]
Kind = Callable[[random.Random, Data, "Site"], str]
TIMES = ("12h", "2d", "7d", "30d")


@dataclass(frozen=True, slots=True)
class Site:
    """What there is, named in the file or not: nodes, each with what its first group says of it, and people."""

    nodes: Mapping[str, Data]
    people: Sequence[str]

    @classmethod
    def of(cls, data: Data) -> Site:
        """Return what a file says that names all of it."""
        hardware = {
            node: {key: group[key] for key in ("gpu_type", "shards_per_gpu") if key in group}
            for group in data["groups"].values()
            for node in expand(group["nodes"])
        }
        return cls(hardware, sorted({each for team in data["teams"].values() for each in team["members"]}))

    def spare(self, data: Data) -> list[str]:
        """Return the nodes that no group has."""
        taken = {node for group in data["groups"].values() for node in expand(group["nodes"])}
        return [node for node in self.nodes if node not in taken]


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing that a hand does to the file."""

    kind: str
    seed: int

    def do(self, data: Data, site: Site) -> str:
        """Do it to the data, and return what was done; nothing where the file has no place for it."""
        return KINDS[self.kind](random.Random(self.seed), data, site)


def read_data(text: str) -> Data:
    """Return the file as plain data."""
    data: Data = YAML(typ="safe", pure=True).load(text)
    return data


def write_data(data: Data) -> str:
    """Return plain data as a file, a value a line: two of them differ in the lines that were changed."""
    yaml, out = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(data, out)
    return out.getvalue()


def edited(data: Data, edits: Iterable[Edit], site: Site) -> tuple[Data, list[str]]:
    """Return the data with these edits made, one after the other, and what was done."""
    fresh = copy.deepcopy(data)
    return fresh, [said for each in edits if (said := each.do(fresh, site))]


def some_edits(dice: random.Random, data: Data, site: Site) -> list[Edit]:
    """Return edits that change the data: mostly one, sometimes several at once."""
    wanted, edits = dice.choice((1, 1, 1, 1, 2, 3)), list[Edit]()
    while len(edits) < wanted:
        fresh, _ = edited(data, edits, site)
        edit = Edit(dice.choice(list(KINDS)), dice.getrandbits(32))
        before = copy.deepcopy(fresh)
        if edit.do(fresh, site) and fresh != before:
            edits.append(edit)
    return edits


# Quotas --------------------------------------------------------------------------------------------------------------


def _some_quota(dice: random.Random, groups: Iterable[Data], *, gpus: Sequence[int]) -> Data:
    quota: Data = {"gpu": dice.choice(gpus)}
    of_a_model = {dice.choice([each["gpu_type"] for each in groups]): dice.choice((2, quota["gpu"]))}
    more = {"jobs": dice.choice((3, 20)), "submitted": dice.choice((5, 100)), "cpu": 8 * quota["gpu"], "memory": "1T",
            "shards": dice.choice((1, 16, 64)), "nodes": dice.choice((4, 30)), "gpu_types": of_a_model}  # fmt: skip
    return quota | {key: more[key] for key in dice.sample(sorted(more), dice.choice((0, 0, 1, 2)))}


def _set_quota(dice: random.Random, place: Data, key: str, quota: Data) -> str:
    """Put the quota there, or take away the one that is there."""
    if key in place and dice.random() < 0.3:
        return f"no quota any more: {place.pop(key)}"
    old, place[key] = place.get(key), quota
    return f"quota {old} -> {quota}"


def quota_of_each_user(dice: random.Random, data: Data, _: Site) -> str:
    quota = _some_quota(dice, data["groups"].values(), gpus=(8, 16, 24, 32, 40))
    return "each user: " + _set_quota(dice, data.setdefault("quota", {}), "per_user", quota)


def quota_of_each_team(dice: random.Random, data: Data, _: Site) -> str:
    quota = _some_quota(dice, data["groups"].values(), gpus=(64, 128, 320))
    return "each team: " + _set_quota(dice, data.setdefault("quota", {}), "per_team", quota)


def quota_of_one_team(dice: random.Random, data: Data, _: Site) -> str:
    name = dice.choice(list(data["teams"]))
    quota = _some_quota(dice, data["groups"].values(), gpus=(16, 64, 400))
    return f"team {name}: " + _set_quota(dice, data["teams"][name], "quota", quota)


def quota_in_a_group(dice: random.Random, data: Data, _: Site) -> str:
    name, whose = dice.choice(list(data["groups"])), dice.choice(("per_user", "per_team"))
    group = data["groups"][name]
    quota = _some_quota(dice, [group], gpus=(4, 8, 16, 32))
    return f"group {name}, {whose}: " + _set_quota(dice, group.setdefault("quota", {}), whose, quota)


# Teams and their members ---------------------------------------------------------------------------------------------


def member_comes(dice: random.Random, data: Data, site: Site) -> str:
    team = dice.choice(list(data["teams"]))
    members = data["teams"][team]["members"]
    user = dice.choice([each for each in site.people if each not in members])
    members.append(user)
    return f"{user} comes into {team}"


def _take_out(data: Data, team: str, user: str) -> None:
    for key in ("members", "emergency", "coordinators"):
        if user in data["teams"][team].get(key, []):
            data["teams"][team][key].remove(user)


def member_goes(dice: random.Random, data: Data, _: Site) -> str:
    team = dice.choice([name for name, each in data["teams"].items() if each["members"]])
    user = dice.choice(data["teams"][team]["members"])
    _take_out(data, team, user)
    return f"{user} goes out of {team}"


def member_moves(dice: random.Random, data: Data, site: Site) -> str:
    said = member_goes(dice, data, site)
    user = said.partition(" ")[0]
    free = [name for name, each in data["teams"].items() if user not in each["members"]]
    team = dice.choice(free)
    data["teams"][team]["members"].append(user)
    return f"{said}, into {team}"


def emergency_right(dice: random.Random, data: Data, _: Site) -> str:
    team = dice.choice([name for name, each in data["teams"].items() if each["members"]])
    user = dice.choice(data["teams"][team]["members"])
    rights = data["teams"][team].setdefault("emergency", [])
    (rights.remove if user in rights else rights.append)(user)
    return f"emergency of {user} in {team}: {user in rights}"


def team_comes(dice: random.Random, data: Data, site: Site) -> str:
    name = f"team{dice.randrange(1000)}"
    data["teams"][name] = {"description": "A new one", "members": dice.sample(list(site.people), dice.randrange(6))}
    return f"team {name} comes"


def _forget_team(data: Data, name: str, instead: Sequence[str] = ()) -> None:
    for group in data["groups"].values():
        if name in group.get("teams", []):
            at = group["teams"].index(name)
            group["teams"][at : at + 1] = instead
    for team in data["teams"].values():
        if team.get("parent") == name:
            team["parent"] = instead[0] if instead else None


def team_goes(dice: random.Random, data: Data, _: Site) -> str:
    if len(data["teams"]) < 2:
        return ""
    name = dice.choice(list(data["teams"]))
    del data["teams"][name]
    _forget_team(data, name)
    return f"team {name} goes"


def team_is_renamed(dice: random.Random, data: Data, _: Site) -> str:
    name = dice.choice(list(data["teams"]))
    fresh = f"{name.partition('_')[0]}_{dice.randrange(100)}"
    if fresh in data["teams"]:
        return ""
    data["teams"] = {fresh if each == name else each: team for each, team in data["teams"].items()}
    _forget_team(data, name, instead=[fresh])
    return f"team {name} becomes {fresh}"


def coordinator(dice: random.Random, data: Data, _: Site) -> str:
    team = dice.choice([name for name, each in data["teams"].items() if each["members"]])
    user = dice.choice(data["teams"][team]["members"])
    having = data["teams"][team].setdefault("coordinators", [])
    (having.remove if user in having else having.append)(user)
    return f"{user} coordinates {team}: {user in having}"


def team_above(dice: random.Random, data: Data, _: Site) -> str:
    """Stand a team below another one; a file with a circle would be refused before Slurm is looked at."""
    teams, name = data["teams"], dice.choice(list(data["teams"]))
    each = above = dice.choice([None, *teams])
    while each:
        if each == name:
            return ""
        each = teams[each].get("parent")
    teams[name]["parent"] = above
    return f"team {name} is below {above or 'nobody'}"


def weight(dice: random.Random, data: Data, _: Site) -> str:
    name = dice.choice(list(data["teams"]))
    data["teams"][name]["weight"] = value = dice.choice((None, 1, 10, 300))
    return f"team {name} weighs {value}"


def description(dice: random.Random, data: Data, _: Site) -> str:
    name = dice.choice(list(data["teams"]))
    data["teams"][name]["description"] = said = f"Team number {dice.randrange(1000)}, with a new sign on its door"
    return f"team {name} is described anew: {said}"


# Groups --------------------------------------------------------------------------------------------------------------


def teams_of_a_group(dice: random.Random, data: Data, _: Site) -> str:
    name, teams = dice.choice(list(data["groups"])), list(data["teams"])
    data["groups"][name]["teams"] = chosen = dice.sample(teams, dice.randint(0, min(4, len(teams))))
    return f"group {name} is for {chosen or 'all'}"


def times_of_a_group(dice: random.Random, data: Data, _: Site) -> str:
    name, longest = dice.choice(list(data["groups"])), dice.choice((None, *TIMES))
    group = data["groups"][name]
    group["max_time"] = longest
    group["default_time"] = dice.choice((None, "1h", "12h"))
    return f"group {name}: at most {longest}, by default {group['default_time']}"


def use_of_a_group(dice: random.Random, data: Data, _: Site) -> str:
    name, use = dice.choice(list(data["groups"])), dice.choice(("training", "development", "both"))
    data["groups"][name]["use"] = use
    return f"group {name} is for {use}"


def default_group(dice: random.Random, data: Data, _: Site) -> str:
    data["default_group"] = dice.choice([None, *data["groups"]])
    return f"default group: {data['default_group']}"


def group_comes(dice: random.Random, data: Data, site: Site) -> str:
    spare = site.spare(data)
    if not spare:
        return ""
    hardware = site.nodes[dice.choice(spare)]
    alike = [node for node in spare if site.nodes[node] == hardware]
    nodes, name = fold(alike[: dice.randint(1, len(alike))]), f"extra{dice.randrange(1000)}"
    data["groups"][name] = {"nodes": nodes, **hardware}
    return f"group {name} comes over {nodes}"


def _forget_group(data: Data, name: str) -> None:
    if data.get("default_group") == name:
        data["default_group"] = next(iter(data["groups"]))


def group_goes(dice: random.Random, data: Data, _: Site) -> str:
    if len(data["groups"]) < 2:
        return ""
    name = dice.choice(list(data["groups"]))
    del data["groups"][name]
    _forget_group(data, name)
    return f"group {name} goes"


def group_is_split(dice: random.Random, data: Data, _: Site) -> str:
    large = [name for name, group in data["groups"].items() if len(expand(group["nodes"])) > 1]
    if not large:
        return ""
    name, fresh = dice.choice(large), f"part{dice.randrange(1000)}"
    nodes = expand(data["groups"][name]["nodes"])
    at = dice.randrange(1, len(nodes))
    data["groups"][fresh] = {**copy.deepcopy(data["groups"][name]), "nodes": fold(nodes[at:])}
    data["groups"][name]["nodes"] = fold(nodes[:at])
    return f"group {name} leaves {fold(nodes[at:])} to {fresh}"


def groups_are_merged(dice: random.Random, data: Data, site: Site) -> str:
    hardware = {name: site.nodes[expand(group["nodes"])[0]] for name, group in data["groups"].items()}
    pairs = [(one, two) for one in hardware for two in hardware if one != two and hardware[one] == hardware[two]]
    if not pairs:
        return ""
    into, name = dice.choice(pairs)
    gone = data["groups"].pop(name)
    data["groups"][into]["nodes"] = fold([*expand(data["groups"][into]["nodes"]), *expand(gone["nodes"])])
    _forget_group(data, name)
    return f"group {name} becomes part of {into}"


def sharing(dice: random.Random, data: Data, _: Site) -> str:
    name, ratio = dice.choice(list(data["groups"])), dice.choice((1, 2, 4, 8))
    data["groups"][name]["shards_per_gpu"] = ratio
    return f"group {name} shares each GPU by {ratio}"


# Policies ------------------------------------------------------------------------------------------------------------


def over_request(dice: random.Random, data: Data, _: Site) -> str:
    data["over_request"] = dice.choice(("adjust", "remind", "refuse"))
    return f"over_request: {data['over_request']}"


def environments(dice: random.Random, data: Data, _: Site) -> str:
    sizes = {"per_user": (0, 1, 2, 3), "gpu_shares": (1, 2), "cpus": (1, 2, 4), "memory": ("2G", "7G")}
    key = dice.choice(list(sizes))
    data.setdefault("environments", {})[key] = value = dice.choice(sizes[key])
    return f"environments: {key} {value}"


def emergency_over_quota(dice: random.Random, data: Data, _: Site) -> str:
    data["emergency"] = {"over_quota": dice.random() < 0.5}
    return f"emergency: {data['emergency']}"


def scheduler(dice: random.Random, data: Data, _: Site) -> str:
    policy = data.setdefault("slurm", {})
    key, values = dice.choice((("profile", ("quick-start", "none")), ("edit", ("ask", "never"))))
    policy[key] = dice.choice(values)
    return f"slurm: {key} {policy[key]}"


def calendar(dice: random.Random, data: Data, _: Site) -> str:
    nights = dice.choice(("20:00-08:00", "22:00-06:00"))
    quota, days = {"quota": {"per_user": {"gpu": dice.choice((8, 64))}}}, {"extra": ["2026-12-24"], "weekends": True}
    data["calendar"] = dice.choice(({}, {"nights": nights}, {**days, "holidays": "CN"}, {"nights": nights, **quota}))
    return f"calendar: {data['calendar']}"


KINDS: dict[str, Kind] = {
    each.__name__: each
    for each in (
        quota_of_each_user, quota_of_each_team, quota_of_one_team, quota_in_a_group, member_comes, member_goes,
        member_moves, emergency_right, coordinator, team_comes, team_goes, team_is_renamed, team_above, weight,
        description, teams_of_a_group, times_of_a_group, use_of_a_group, default_group, group_comes, group_goes,
        group_is_split, groups_are_merged, sharing, over_request, environments, emergency_over_quota, scheduler,
        calendar,
    )
}  # fmt: skip
