"""What runs on a compute node; light, and knows neither Slurm nor web."""
