"""Data: what people may store, and where."""
