"""How the daemons are told of a plan: a reconfigure where that brings it, a restart where it doesn't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aistation_slurm.cluster.changes import (
    RECONFIGURE,
    RESTART_CONTROLLER,
    Change,
    EditLinesFirst,
    Effect,
    Reach,
    Reconfigure,
    ReconfigureFirst,
    RestartController,
    RestartControllerFirst,
    RestartNodes,
    TellController,
    WriteFile,
    restart_nodes,
    widest,
)
from aistation_slurm.cluster.effects import effect_of_key, effect_of_nodes
from aistation_slurm.cluster.observed import Observed
from aistation_slurm.cluster.planning.nodes import poor_nodes
from aistation_slurm.cluster.site.changes import lacks_tres
from aistation_slurm.cluster.site.edits import FIRST, SiteEdits
from aistation_slurm.cluster.site.keys import fixed, site_keys
from aistation_slurm.cluster.wanted.desired import job_qos, partition_qos
from aistation_slurm.slurm.model import Partition
from aistation_slurm.slurm.nodelist import expand, fold
from aistation_slurm.slurm.states import NodeState
from aistation_slurm.spec import ClusterSpec


def told(
    spec: ClusterSpec, observed: Observed, edits: SiteEdits, changes: Sequence[Change], qos: frozenset[str]
) -> Iterator[Change]:
    """Yield what tells the daemons of these changes, and of what they have not taken yet; `qos` partitions rest on."""
    first = [change for change in changes if isinstance(change, EditLinesFirst)]
    lacks = lacks_tres(spec, observed)
    if lacks and edits.files:
        yield _first(widest([effect_of_key("AccountingStorageTRES", observed.release)]), f"it counts no {lacks[0]} yet")
    files = [change for change in changes if isinstance(change, WriteFile) and change not in first]
    late = dict(_not_in_force(spec, observed, edits, told_first=bool(lacks)))
    effect = widest([*(change.effect for change in files), *late.values()])
    why = "its files change" if any(each.effect for each in files) else next(iter(late), "")
    why = why or _missed(spec, observed)
    if effect.restarts_controller:
        yield RestartController(why, qos, effect=RESTART_CONTROLLER)
    elif why:
        yield Reconfigure(why, qos, effect=RECONFIGURE)
    if nodes := _restarted(effect, observed):
        yield RestartNodes(nodes, "it takes its GPUs when it starts", effect=restart_nodes(nodes))


def _first(effect: Effect, why: str) -> TellController:
    if effect.restarts_controller:
        return RestartControllerFirst(why, effect=RESTART_CONTROLLER)
    return ReconfigureFirst(why, effect=RECONFIGURE)


def _restarted(effect: Effect, observed: Observed) -> str:
    """Return the nodes whose slurmd must be restarted; one that does not run reads its files when it starts."""
    names = observed.nodes if effect.reach is Reach.ALL else expand(effect.nodes)
    return fold(name for name in names if name in observed.nodes and not _is_away(observed.nodes[name].state))


def _is_away(state: NodeState) -> bool:
    """True while no slurmd runs there; one whose registration was refused does, whatever else the node is."""
    return state.is_not_responding or (state.is_away_on_purpose and "INVALID_REG" not in state.words)


def _not_in_force(
    spec: ClusterSpec, observed: Observed, edits: SiteEdits, *, told_first: bool
) -> Iterator[tuple[str, Effect]]:
    """Yield (what slurmctld has not taken yet of what stands in the site's files, what brings it)."""
    if not edits.files or not spec.is_ours:
        return
    for key, value in site_keys(spec).items():
        if not observed.config or fixed(key, value, observed.site.value(key)) or (told_first and key in FIRST):
            continue
        runs = observed.config.get(key, "")
        if fixed(key, value, runs):
            yield f"it still runs with {key}={runs}", effect_of_key(key, observed.release)
    poor = poor_nodes(spec, observed.nodes)
    if strange := [name for name in poor if name not in observed.nodes]:
        yield f"it does not know node {fold(strange)} yet", effect_of_nodes(fold(strange), observed.release)
    if poor := [name for name in poor if name in observed.nodes]:
        yield f"it has {fold(poor)} as before", effect_of_nodes(fold(poor), observed.release)


def _missed(spec: ClusterSpec, observed: Observed) -> str:
    """Return what slurmctld has otherwise than its files, or nothing."""
    for name in spec.managed_groups():
        found = observed.partitions.get(name)
        if found is None:
            return f"it does not know partition {name} yet"
        if differs := next(iter(differences_of(name, spec, found)), ""):
            return f"{differs} of its partition {name} is not the file's"
    return ""


def differences_of(name: str, spec: ClusterSpec, found: Partition) -> dict[str, tuple[object, object]]:
    """Return key -> (is, should be) of what slurmctld's partition has otherwise; its state is the site's to set."""
    group = spec.groups[name]
    qos = job_qos(group, has_nights=spec.calendar.has_nights)
    pairs: dict[str, tuple[object, object]] = {
        "Nodes": (frozenset(expand(found.nodes)), frozenset(group.node_names())),
        "QOS": (found.qos, partition_qos(name)),
        "AllowQos": (frozenset(found.allow_qos), frozenset(qos)),
        "AllowAccounts": (frozenset(found.allow_accounts), frozenset(spec.allowed_teams(name))),
        "MaxTime": (found.max_time, group.max_time),
    }
    if group.default_time is not None:  # else it is what a PartitionName=DEFAULT of the site's may say
        pairs["DefaultTime"] = (found.default_time, group.default_time)
    return {key: (is_so, should) for key, (is_so, should) in pairs.items() if is_so != should}
