"""Who goes first: the right to emergency jobs, and their order."""
