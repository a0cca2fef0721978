"""One row with an expiry says who leads."""
