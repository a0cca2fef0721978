"""Ways to read Slurm, one contract."""
