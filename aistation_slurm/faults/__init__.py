"""What broke, and what to start again."""
