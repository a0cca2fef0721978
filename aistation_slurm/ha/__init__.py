"""Who leads: one row with an expiry says so."""
