"""The meaning of the columns of a table."""
