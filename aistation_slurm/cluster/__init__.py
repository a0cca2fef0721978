"""Cluster file to Slurm: desired, observed, plan, apply."""

from aistation_slurm.cluster.applying.apply import apply
from aistation_slurm.cluster.imported import imported
from aistation_slurm.cluster.planning.plan import Plan, make_plan
from aistation_slurm.cluster.site.keys import site_keys
from aistation_slurm.spec import load_spec as load

__all__ = ["Plan", "apply", "imported", "load", "make_plan", "site_keys"]
