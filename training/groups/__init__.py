"""Near-duplicate groups, and how they are dealt to the splits."""
