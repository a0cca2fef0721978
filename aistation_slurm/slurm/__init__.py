"""What Slurm is, and every way to ask or order it."""
