"""Rules about partitions and nodesets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from aistation_slurm.cluster.conf import Conf, Line
from aistation_slurm.cluster.lint.finding import Files, Finding, Level, Running
from aistation_slurm.cluster.lint.nodes import names_of, nodes_of
from aistation_slurm.slurm.nodelist import fold

_BEARS_NONE = (23, 2)
"""From here on slurmctld starts without a partition."""


def partition_lines(conf: Conf) -> Iterator[Line]:
    """Yield the PartitionName lines that make partitions: not the defaults, which have no name."""
    yield from (line for line in conf.of("PartitionName") if line.name.upper() != "DEFAULT")


def with_default(conf: Conf, key: str) -> Iterator[tuple[Line, str]]:
    """Yield each line that makes a partition, with its value of the key, or that of the DEFAULT line before it."""
    default = ""
    for line in conf.of("PartitionName"):
        if line.name.upper() == "DEFAULT":
            default = line.get(key) or default
        else:
            yield line, line.get(key) or default


def no_partition(files: Files, running: Running) -> Iterator[Finding]:
    """A cluster without a partition."""
    if not any(partition_lines(files.conf)):
        level: Level = "note" if running.version >= _BEARS_NONE else "fatal"
        yield Finding("no-partition", level, str(files.conf.path), "has no PartitionName line", "keep one")


def duplicate_partition(files: Files, running: Running) -> Iterator[Finding]:
    """A partition in two lines."""
    seen: dict[str, Line] = {}
    for line in partition_lines(files.conf):
        if first := seen.get(line.name):
            what = f"partition {line.name} stands in {first.where} too"
            yield Finding("duplicate-partition", "fatal", line.where, what, "keep one of the two")
        seen.setdefault(line.name, line)


def duplicate_nodeset(files: Files, running: Running) -> Iterator[Finding]:
    """A nodeset that has a node's name, or stands twice with other nodes."""
    nodes = nodes_of(files.conf)
    for line in files.conf.of("NodeSet"):
        if line.name in nodes:
            what = f"nodeset {line.name} has the name of a node"
            yield Finding("duplicate-nodeset", "note", line.where, what, "give it another")
    for first, line in pairwise(sorted(files.conf.of("NodeSet"), key=lambda each: each.name)):
        if first.name == line.name:
            what = f"nodeset {line.name} stands in {first.where} too"
            yield Finding("duplicate-nodeset", "note", line.where, what, "keep one of the two")


def unknown_node_in_partition(files: Files, running: Running) -> Iterator[Finding]:
    """A partition or nodeset of nodes that no NodeName line makes."""
    nodes = nodes_of(files.conf)
    sets = {line.name for line in files.conf.of("NodeSet")} | {"ALL"}
    partitions = ((line, said) for line, said in with_default(files.conf, "Nodes"))
    for line, said in (*partitions, *((line, line.get("Nodes")) for line in files.conf.of("NodeSet"))):
        known = sets if line.noun == "partitionname" else frozenset[str]()
        unknown = [each for each in names_of(said) or () if each not in nodes and each not in known]
        if said and unknown:
            what = f"{line.noun.removesuffix('name')} {line.name} has {fold(unknown)}, which no NodeName line makes"
            yield Finding("unknown-node-in-partition", "fatal", line.where, what, "add the node first, or take it out")


def partition_names_missing_qos(files: Files, running: Running) -> Iterator[Finding]:
    """A partition with a QOS that slurmctld doesn't know."""
    if running.qos is None or "slurmdbd" not in files.conf.value("AccountingStorageType").lower():
        return
    for line, qos in with_default(files.conf, "QOS"):
        if qos and qos.lower() not in running.qos:
            fix = f"create it first: sacctmgr add qos {qos}"
            what = f"partition {line.name} has QOS {qos}, which slurmctld doesn't know"
            yield Finding("partition-names-missing-qos", "fatal", line.where, what, fix)


def removing_a_partition_kills_its_jobs(files: Files, running: Running) -> Iterator[Finding]:
    """A partition that would go with jobs in it; a new name is a new partition."""
    wanted = {line.name for line in partition_lines(files.conf)}
    for name in running.partitions:
        if name in wanted:
            continue
        jobs = [job.job_id for job in running.alive if name in job.partition.split(",")]
        if jobs:
            what = f"partition {name} would go, with {len(jobs)} jobs, such as {jobs[0]}"
            fix = f"scontrol update partition={name} state=DRAIN, wait for its jobs, then apply"
            yield Finding("removing-a-partition-kills-its-jobs", "kills jobs", str(files.conf.path), what, fix)
