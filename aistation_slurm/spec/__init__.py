"""What the administrator wants: the cluster file."""
