"""Which file of the source a list means."""
