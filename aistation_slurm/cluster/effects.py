"""What a changed key, node or file asks of the daemons, by the release that runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aistation_slurm.cluster.changes import (
    RECONFIGURE,
    RESTART_ALL,
    RESTART_CONTROLLER,
    Effect,
    restart_nodes,
)

Release = tuple[int, int]
"""(22, 5) of 22.05.8; (0, 0) where it is not known, which is taken for an old one."""

ANEW: Release = (23, 11)
"""From here on a reconfigure starts every daemon anew with the new files, and keeps the old one where that fails
(scontrol(1)): but for ports and authentication it brings all that a restart does."""

_KEYS: Mapping[str, Effect] = {
    "AccountingStorageEnforce": RESTART_CONTROLLER,
    # What slurmctld counts is told to slurmdbd when it starts, and never again (controller.c, 22.05).
    "AccountingStorageTRES": RESTART_CONTROLLER,
    "CredType": RESTART_CONTROLLER,
    "GresTypes": RESTART_ALL,
    "JobContainerType": RESTART_CONTROLLER,
    "MaxJobCount": RESTART_CONTROLLER,
    "PluginDir": RESTART_ALL,
    # A reconfigure tells the plugin that runs, and loads no other (slurm_priority.c, 22.05).
    "PriorityType": RESTART_CONTROLLER,
    "ProctrackType": RESTART_ALL,
    "SchedulerType": RESTART_CONTROLLER,
    "SelectType": RESTART_ALL,
    "SelectTypeParameters": RESTART_CONTROLLER,
    "SlurmctldHost": RESTART_CONTROLLER,
    "StateSaveLocation": RESTART_CONTROLLER,
    "SwitchType": RESTART_ALL,
    "TopologyPlugin": RESTART_CONTROLLER,
}
_ALWAYS: Mapping[str, Effect] = {
    "AuthAltTypes": RESTART_ALL,
    "AuthInfo": RESTART_ALL,
    "AuthType": RESTART_ALL,
    "SlurmctldPort": RESTART_ALL,
    "SlurmdPort": RESTART_ALL,
}
"""Those that no reconfigure brings, of whatever release."""
NEED_RESTART = frozenset({*_KEYS, *_ALWAYS})
"""Keys that a reconfigure does not bring on every release (slurm.conf(5))."""


def release_of(config: Mapping[str, str]) -> Release:
    """Return which Slurm runs, by what slurmctld tells of itself; (0, 0) where it doesn't."""
    found = re.match(r"(\d+)\.(\d+)", config.get("SLURM_VERSION", ""))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def effect_of_key(key: str, release: Release) -> Effect:
    """Return what must happen so that a key of the whole cluster is in force."""
    if key in _ALWAYS:
        return _ALWAYS[key]
    return RECONFIGURE if release >= ANEW else _KEYS.get(key, RECONFIGURE)


def effect_of_nodes(nodes: str, release: Release) -> Effect:
    """Return what must happen so that these nodes have the CPUs, memory and GRES of their NodeName line."""
    return RECONFIGURE if release >= ANEW else restart_nodes(nodes, controller=True)


def effect_of_gres(nodes: str, release: Release) -> Effect:
    """Return what must happen so that the slurmd of these nodes take gres.conf anew."""
    return RECONFIGURE if release >= ANEW else restart_nodes(nodes)
