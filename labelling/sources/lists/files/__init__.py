"""Find the file of the source that a list names."""
