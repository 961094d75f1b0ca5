"""Which column of a table says what."""
