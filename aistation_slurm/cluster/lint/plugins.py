"""Rules about plugins: that they are installed, called by the name that Slurm takes, and find their files."""

from __future__ import annotations

from collections.abc import Iterator

from aistation_slurm.cluster.lint.finding import Files, Finding, Running

_PLUGINS = {
    "AccountingStorageType": "accounting_storage",
    "AcctGatherEnergyType": "acct_gather_energy",
    "AcctGatherFilesystemType": "acct_gather_filesystem",
    "AcctGatherInterconnectType": "acct_gather_interconnect",
    "AcctGatherProfileType": "acct_gather_profile",
    "AuthAltTypes": "auth",
    "AuthType": "auth",
    "BurstBufferType": "burst_buffer",
    "CliFilterPlugins": "cli_filter",
    "CoreSpecPlugin": "core_spec",
    "CredType": "cred",
    "ExtSensorsType": "ext_sensors",
    "JobAcctGatherType": "jobacct_gather",
    "JobCompType": "jobcomp",
    "JobContainerType": "job_container",
    "JobSubmitPlugins": "job_submit",
    "MCSPlugin": "mcs",
    "NodeFeaturesPlugins": "node_features",
    "PowerPlugin": "power",
    "PreemptType": "preempt",
    "PrEpPlugins": "prep",
    "PrioritySiteFactorPlugin": "site_factor",
    "PriorityType": "priority",
    "ProctrackType": "proctrack",
    "RoutePlugin": "route",
    "SchedulerType": "sched",
    "SelectType": "select",
    "SlurmctldPlugstack": "slurmctld",
    "SwitchType": "switch",
    "TaskPlugin": "task",
    "TopologyPlugin": "topology",
}
"""Keys whose values are plugins, and what these plugins' names begin with."""
_NEVER_NONE = frozenset(
    {"auth", "cred", "job_submit", "node_features", "prep", "priority", "proctrack", "sched", "select"}
)
_SCRIPTS = {
    ("JobSubmitPlugins", "lua"): "job_submit.lua",
    ("BurstBufferType", "lua"): "burst_buffer.lua",
    ("JobContainerType", "tmpfs"): "job_container.conf",
    ("NodeFeaturesPlugins", "helpers"): "helpers.conf",
    ("TopologyPlugin", "tree"): "topology.conf",
    ("TopologyPlugin", "block"): "topology.conf",
}
_WHOLE_NAME = frozenset({"accounting_storage", "jobacct_gather", "preempt", "priority", "sched", "select"})
"""Kinds whose plugins are called by their whole name, `preempt/qos`."""
_WHOLE_NAME_ONCE = frozenset({"auth", "cred", "mcs", "switch", "topology"})
"""The same, but no longer in 24.11."""
_SHORT_NAME = (24, 11)


def plugin_not_there(files: Files, running: Running) -> Iterator[Finding]:
    """A plugin that is not installed: slurmctld, or a slurmd, ends as soon as it starts."""
    if running.plugins is None:
        return
    for key, kind in _PLUGINS.items():
        line = files.conf.line_of(key)
        for name in plugin_names(line.name, kind) if line else ():
            if line and f"{kind}_{name}" not in running.plugins and not _is_built_in(kind, name, running):
                what = f"{key}={line.name}, and {kind}_{name}.so is not in PluginDir"
                yield Finding("plugin-not-there", "fatal", line.where, what, "install it first, or take it out")


def plugin_names(value: str, kind: str) -> list[str]:
    """Return `["lua", "throttle"]` of `job_submit/lua,throttle`."""
    return [each.strip().removeprefix(f"{kind}/") for each in value.split(",") if each.strip()]


def _is_built_in(kind: str, name: str, running: Running) -> bool:
    """True for `none`, which is no plugin from 23.02 on."""
    return name.lower() == "none" and kind not in _NEVER_NONE and running.version >= (23, 2)


def script_not_there(files: Files, running: Running) -> Iterator[Finding]:
    """A plugin that needs a file beside slurm.conf."""
    for (key, name), file in _SCRIPTS.items():
        names = plugin_names(files.conf.value(key), _PLUGINS[key])
        if running.files and name in names and file not in running.files:
            what = f"{key}={files.conf.value(key)} needs {file} beside slurm.conf"
            yield Finding("script-not-there", "fatal", files.conf.where(key), what, "write that file first")


def half_a_name(files: Files, running: Running) -> Iterator[Finding]:
    """A plugin without what its name begins with, where Slurm wants that."""
    is_old = (0, 0) < running.version < _SHORT_NAME
    kinds = _WHOLE_NAME | _WHOLE_NAME_ONCE if is_old else _WHOLE_NAME
    for key, kind in _PLUGINS.items():
        value = files.conf.value(key)
        if value and kind in kinds and not value.lower().startswith(f"{kind}/") and key != "AuthAltTypes":
            where = files.conf.where(key)
            yield Finding("half-a-name", "fatal", where, f"{key}={value}", f"{key}={kind}/{value}")
