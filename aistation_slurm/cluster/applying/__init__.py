"""A plan is carried out on a live cluster: whole, or not at all."""
