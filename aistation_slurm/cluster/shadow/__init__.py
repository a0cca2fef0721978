"""A slurmctld of its own that reaches nobody, started with files that are to be written."""
