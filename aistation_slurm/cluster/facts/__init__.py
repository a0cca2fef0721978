"""What the nodes say of themselves: read, compared with the cluster file, and written as groups."""

from aistation_slurm.cluster.facts.compare import Finding, compare, for_system
from aistation_slurm.cluster.facts.groups import groups_block
from aistation_slurm.cluster.facts.reading import Facts, NodeFacts, read_facts

__all__ = ["Facts", "Finding", "NodeFacts", "compare", "for_system", "groups_block", "read_facts"]
