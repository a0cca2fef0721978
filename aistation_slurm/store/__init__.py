"""What only we remember."""
