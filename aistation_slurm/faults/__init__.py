"""What broke, and what to start again: lost nodes are marked down, and their jobs run again elsewhere."""
