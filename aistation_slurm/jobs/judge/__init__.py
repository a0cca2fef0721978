"""Whose fault it was that a job ended: the user's, the platform's, or nobody can tell; by a table that sites extend."""

from aistation_slurm.jobs.judge.ending import ending_of, read_ending
from aistation_slurm.jobs.judge.judge import judge
from aistation_slurm.jobs.judge.model import Ending, Rule, Verdict
from aistation_slurm.jobs.judge.table import load_table, site_table

__all__ = ["Ending", "Rule", "Verdict", "ending_of", "judge", "load_table", "read_ending", "site_table"]
