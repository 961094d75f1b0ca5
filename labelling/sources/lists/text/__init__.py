"""From the bytes of a list to a table of cells."""
