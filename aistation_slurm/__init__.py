"""An AI development platform beside an existing Slurm."""

__version__ = "0.1.0"
