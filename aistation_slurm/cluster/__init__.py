"""Cluster file to Slurm: desired, observed, plan, apply."""
