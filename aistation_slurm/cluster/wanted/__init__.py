"""What the cluster file wants of Slurm: rows of slurmdbd with their limits, and whole files."""
