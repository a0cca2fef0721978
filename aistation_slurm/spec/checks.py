"""What must hold between the parts of a cluster file, once each part is right by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aistation_slurm.spec.complaints import unknown_name
from aistation_slurm.spec.model import ClusterSpec
from aistation_slurm.spec.names import ROOT
from aistation_slurm.spec.quotas import Quota, Quotas
from aistation_slurm.spec.source import Path_, Problem
from aistation_slurm.spec.switches import check_switches


def check(spec: ClusterSpec) -> Iterator[Problem]:
    """Yield everything that is wrong between the parts."""
    yield from _twins(spec)
    yield from _overlaps(spec)
    yield from _group_teams(spec)
    yield from _of_members(spec)
    yield from _parents(spec)
    yield from _sizes(spec)
    yield from _sharing(spec)
    for path, quota in _quotas(spec):
        yield from _quota(spec, path, quota)
    yield from _calendar(spec)
    if spec.slurm.topology:
        yield from check_switches(spec.slurm.topology)
    if spec.default_group is not None and spec.default_group not in spec.groups:
        yield unknown_name(("default_group",), "GPU group", spec.default_group, spec.groups)


def _twins(spec: ClusterSpec) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for name in spec.groups:
        if (other := first.setdefault(name.lower(), name)) != name:
            hint = "the QOS of both would be one: QOS names know no capitals"
            yield Problem(("groups", name), f"{name!r} differs from {other!r} in capitals only", hint)


def _overlaps(spec: ClusterSpec) -> Iterator[Problem]:
    """Yield the nodes that are in two groups; two partitions of the site's own may share theirs."""
    owner: dict[str, str] = {}
    ours = {name: group.is_ours for name, group in spec.groups.items()}
    for name, group in sorted(spec.groups.items(), key=lambda each: not ours[each[0]]):
        shared: dict[str, list[str]] = {}
        for node in group.node_names():
            first = owner.setdefault(node, name)
            if first != name and (ours[first] or ours[name]):
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


def _of_members(spec: ClusterSpec) -> Iterator[Problem]:
    for name, team in spec.teams.items():
        for key, users in (("emergency", team.emergency), ("coordinators", team.coordinators)):
            for index, user in enumerate(users):
                if user not in team.members:
                    yield unknown_name(("teams", name, key, index), f"member of team {name}", user, team.members)


def _parents(spec: ClusterSpec) -> Iterator[Problem]:
    for name, team in spec.teams.items():
        path = ("teams", name, "parent")
        if team.parent in {None, ROOT}:
            continue
        if team.parent not in spec.teams:
            yield unknown_name(path, "team", team.parent, spec.teams)
        elif name in (above := spec.above(name)):
            circle = " > ".join([name, *above[: above.index(name) + 1]])
            yield Problem(path, f"team {name} is above itself: {circle}", "take one of these parents out")


def _sizes(spec: ClusterSpec) -> Iterator[Problem]:
    for name, group in spec.managed_groups().items():
        if group.cpus < group.gpus_per_node:
            text = f"cpus: {group.cpus} CPUs can't serve {group.gpus_per_node} GPUs"
            yield Problem(("groups", name, "cpus"), text, "a job needs at least one CPU for each GPU")
        if group.memory < group.cpus:
            text = f"memory: {group.memory} MiB can't serve {group.cpus} CPUs"
            yield Problem(("groups", name, "memory"), text, "a job's memory goes by its CPUs: at least 1 MiB for each")
        if group.default_time and group.max_time and group.default_time > group.max_time:
            text = "default_time is longer than max_time"
            yield Problem(("groups", name, "default_time"), text, "make it shorter")


def _sharing(spec: ClusterSpec) -> Iterator[Problem]:
    for name, group in spec.managed_groups().items():
        if group.sharing == "mps" and group.shards_per_gpu == 1:
            text = "sharing: mps shares a GPU, but shards_per_gpu is 1"
            yield Problem(("groups", name, "sharing"), text, "say by how many: shards_per_gpu: 4")


def _quotas(spec: ClusterSpec) -> Iterator[tuple[Path_, Quota]]:
    """Yield every quota of the file with its place."""
    yield from _both(("quota",), spec.quota)
    yield from _both(("calendar", "quota"), spec.calendar.quota)
    for name, group in spec.groups.items():
        yield from _both(("groups", name, "quota"), group.quota)
    for name, team in spec.teams.items():
        yield ("teams", name, "quota"), team.quota


def _both(path: Path_, quotas: Quotas) -> Iterator[tuple[Path_, Quota]]:
    yield (*path, "per_user"), quotas.per_user
    yield (*path, "per_team"), quotas.per_team


def _quota(spec: ClusterSpec, path: Path_, quota: Quota) -> Iterator[Problem]:
    yield from _storage(spec, path, quota)
    models: Iterable[str] = spec.models()
    if path[0] == "groups":
        models = [spec.groups[str(path[1])].gpu_type]
    for model, count in quota.gpu_types.items():
        here = (*path, "gpu_types", model)
        if model not in models:
            yield unknown_name(here, "GPU model", model, models)
        elif quota.gpu is not None and count > quota.gpu:
            text = f"{count} GPUs of {model} are more than the {quota.gpu} GPUs of any model beside it"
            yield Problem(here, text, "make it less, or gpu more")


def _storage(spec: ClusterSpec, path: Path_, quota: Quota) -> Iterator[Problem]:
    if quota.storage and path[0] in {"groups", "calendar"}:
        text = f"storage: a quota of {'a group' if path[0] == 'groups' else 'the calendar'} can't limit disks"
        yield Problem((*path, "storage"), text, "write it into `quota` at the top, or into a team's")
        return
    is_team = path[0] == "teams" or path[-1] == "per_team"
    for name, each in quota.storage.items():
        here = (*path, "storage", name)
        if name not in spec.storage:
            yield unknown_name(here, "file system", name, spec.storage)
        elif is_team and spec.storage[name].team_folders is None:
            hint = f"write it into storage: {name}, such as team_folders: {spec.storage[name].path}/{{team}}"
            yield Problem(here, f"a team's quota is one of its folder, and {name!r} doesn't say where that is", hint)
        if 0 in {each.space, each.files}:
            yield Problem(here, "0 means without end to a file system", "leave it out, or write how much")


def _calendar(spec: ClusterSpec) -> Iterator[Problem]:
    for index, day in enumerate(spec.calendar.workdays):
        if day in spec.calendar.extra:
            text = f"{day} is a holiday in `extra` and a workday in `workdays`"
            yield Problem(("calendar", "workdays", index), text, "take it out of one of them")
