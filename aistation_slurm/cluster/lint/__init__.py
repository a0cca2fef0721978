"""The linter: what would end slurmctld, a slurmd or a job is found in the files before they are written.

Each rule is a function named like its findings: `duplicate_node` finds `duplicate-node`. docs/checks.md lists them.
"""

from __future__ import annotations

from aistation_slurm.cluster.lint import cores, keys, nodes, partitions, plugins, select
from aistation_slurm.cluster.lint.finding import LEVELS, Files, Finding, Level, Rule, Running

__all__ = ["LEVELS", "RULES", "Files", "Finding", "Level", "Rule", "Running", "lint"]

RULES: tuple[Rule, ...] = (
    keys.missing_include,
    keys.not_read_by_slurm,
    keys.no_pair,
    select.unknown_select_type,
    select.odd_select_parameters,
    select.shares_need_cons_tres,
    select.shares_of_nothing,
    keys.removed_option,
    keys.privileged_port,
    plugins.plugin_not_there,
    plugins.half_a_name,
    plugins.script_not_there,
    keys.munge_not_there,
    keys.unknown_slurm_user,
    keys.unknown_tres,
    keys.enforced_without_slurmdbd,
    keys.bad_licenses,
    keys.bad_weights,
    nodes.no_nodes,
    nodes.bad_node_list,
    nodes.duplicate_node,
    nodes.odd_node,
    cores.odd_cores,
    cores.no_core_left,
    nodes.gres_without_type,
    nodes.odd_gres_conf,
    nodes.shards_without_gres_line,
    partitions.no_partition,
    partitions.duplicate_partition,
    partitions.duplicate_nodeset,
    partitions.unknown_node_in_partition,
    partitions.partition_names_missing_qos,
    partitions.removing_a_partition_kills_its_jobs,
    nodes.removing_a_busy_node,
    nodes.cores_or_gres_of_a_busy_node,
    nodes.nodes_added_needs_restart,
    keys.identity_of_a_cluster,
    keys.key_needs_restart,
    keys.key_given_twice,
)


def lint(files: Files, running: Running | None = None) -> list[Finding]:
    """Return what every rule finds, the worst first; asks nobody."""
    found = [finding for rule in RULES for finding in rule(files, running or Running())]
    return sorted(dict.fromkeys(found), key=lambda each: LEVELS.index(each.level))
