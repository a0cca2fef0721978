"""From what is wanted and what is there to a plan, which says itself; nothing is done here."""
