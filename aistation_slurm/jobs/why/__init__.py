"""Why a job waits: Slurm's reason, the number behind it, who is ahead, when it may start, and what would help."""
