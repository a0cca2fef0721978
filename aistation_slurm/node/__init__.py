"""What runs on a compute node, and what hears it: light, for it imports neither Slurm nor web nor tables."""
