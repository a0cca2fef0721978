"""Files are replaced whole, and in an order in which slurmctld can start at every moment."""
