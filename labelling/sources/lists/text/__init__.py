"""Decode the bytes of a list and split them into a table of cells."""
