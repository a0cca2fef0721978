"""What was applied, when, by whom, and what became of it; it stands beside Slurm's files."""
